//! An armed version that the boot loader doesn't start: the agent must not restart the machine for it again and again.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use slipway_updater::agent::{Agent, AgentError, Outcome};
use slipway_updater::disk::Disk;
use slipway_updater::ledger::{FailureReason, Ledger};
use slipway_updater::machine::{State, Stuck};
use slipway_updater::release::{Refusal, Terms};

use super::firmware::{self, esp_of, with_fatfs};
use super::recorded::{Image, RecordedDisk, RecordedLedger};
use super::world::{LEDGER, MemorySource, Release, Still, agent, factory, install};

/// The disk of a host with version 1, on which version 2 waits, and the names of its boot entries.
pub fn armed() -> (RecordedDisk, [Arc<Release>; 2]) {
    let releases = [1, 2].map(Release::new);
    let disk = RecordedDisk::new(factory(&releases[0]));
    let (mut agent, _) = agent(&disk, releases[0].hash()).unwrap();
    install(&mut agent, &releases[1]).unwrap();
    (disk, releases)
}

/// Overwrites the head of an entry's kernel image.
pub fn damage_head(image: &mut Image, entry: &str) {
    with_fatfs(esp_of(image).unwrap(), |folder| {
        let mut file = folder.open_file(entry)?;
        file.read_exact(&mut [0; 512])?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[0xff; 512])
    })
    .unwrap();
}

const NEW: &str = "edge-web_2026.11.2+3.efi";

#[test]
fn s08_a_kernel_image_that_is_damaged_while_it_waits_is_written_again() {
    for restarts in [false, true] {
        let (disk, [v1, v2]) = armed();
        let mut image = disk.image();
        damage_head(&mut image, NEW);
        let disk = if restarts {
            assert_eq!(firmware::boot(&mut image).unwrap().root_hash, v1.hash());
            RecordedDisk::new(image)
        } else {
            disk.with(image)
        };
        if !restarts {
            // Whoever only looks doesn't read the kernel image each time.
            let store = RecordedLedger::new(disk.clone(), LEDGER);
            let surroundings = Still(disk.boot());
            let (looks, pending) = Agent::examine(Disk::new(disk.clone(), v1.hash()), store, surroundings).unwrap();
            assert_eq!((looks.state(), pending), (State::Armed, Vec::new()));
        }
        let (mut after, outcome) = agent(&disk, v1.hash()).unwrap();
        assert_eq!((outcome, after.state()), (Outcome::Done, State::Idle { fallback: false }));
        assert_eq!(after.ledger().unwrap().failure(v2.hash()), None, "it is not the version's fault");
        assert!(after.ledger().unwrap().history.last().unwrap().detail.contains("kernel image"));
        assert_eq!(firmware::entries(&mut disk.image()).unwrap().len(), 1);
        install(&mut after, &v2).unwrap();
        assert_eq!(firmware::boot(&mut disk.image()).unwrap().root_hash, v2.hash());
    }
}

#[test]
fn s08_what_the_boot_loader_passes_over_is_given_up() {
    let (disk, [v1, v2]) = armed();
    // The next boot is of what runs all the same, as when somebody has chosen that.
    let disk = RecordedDisk::new(disk.image());
    let (mut after, outcome) = agent(&disk, v1.hash()).unwrap();
    assert_eq!((outcome, after.state()), (Outcome::Done, State::Idle { fallback: false }));
    assert_eq!(after.ledger().unwrap().failure(v2.hash()).unwrap().reason, FailureReason::PassedOver);
    assert_eq!(firmware::entries(&mut disk.image()).unwrap().len(), 1);
    let refused = after.admit(&v2.verified()).unwrap_err();
    assert!(matches!(refused, AgentError::Release(Refusal::Failed { .. })), "{refused}");
    // The next version goes the whole way.
    let v3 = Release::new(3);
    install(&mut after, &v3).unwrap();
    assert_eq!(firmware::boot(&mut disk.image()).unwrap().root_hash, v3.hash());
}

#[test]
fn s08_a_wait_that_was_not_noted_is_given_up_one_boot_later() {
    let (disk, [v1, v2]) = armed();
    let mut image = disk.image();
    damage_head(&mut image, NEW);
    // The power went before the note.
    let forgotten = RecordedDisk::new(image);
    let store = RecordedLedger::new(forgotten.clone(), LEDGER);
    let mut ledger: Ledger<_> = Ledger::load(store).map_err(|(_, error)| error).unwrap();
    ledger.change(|contents| contents.waiting = None).unwrap();
    let (first, _) = agent(&forgotten, v1.hash()).unwrap();
    assert_eq!(first.state(), State::Armed, "nobody can know yet");
    let (second, _) = agent(&RecordedDisk::new(forgotten.image()), v1.hash()).unwrap();
    assert_eq!(second.state(), State::Idle { fallback: false });
    assert!(second.ledger().unwrap().failure(v2.hash()).is_some());
}

#[test]
fn a_version_is_waited_for_all_through_the_boot_that_armed_it() {
    let (disk, [v1, _]) = armed();
    for _ in 0..3 {
        let (again, outcome) = agent(&disk, v1.hash()).unwrap();
        assert_eq!((again.state(), outcome), (State::Armed, Outcome::Done));
    }
}

#[test]
fn an_older_version_that_waits_is_not_expected_before_what_runs_is_left() {
    let (disk, [_, v2]) = armed();
    let mut image = disk.image();
    firmware::boot(&mut image).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut second, _) = agent(&disk, v2.hash()).unwrap();
    second.healthy().unwrap();
    let older = Release::new(0);
    let terms = Terms { instead_of_withdrawn: true, lowered_floor: Some(older.label.version()), ..Terms::default() };
    let admitted = second.admit_on(&older.verified(), &terms).unwrap();
    second.install(admitted, &mut MemorySource::new(&older)).unwrap();
    // A restart that nobody asked for.
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().root_hash, v2.hash());
    let disk = RecordedDisk::new(image);
    let (mut second, _) = agent(&disk, v2.hash()).unwrap();
    assert_eq!(second.state(), State::Armed);
    second.leave_withdrawn("it eats disks").unwrap();
    let mut image = disk.image();
    damage_head(&mut image, "edge-web_2026.11.0+3.efi");
    // Now it is due, and can't be read: what was left is all there is.
    assert_eq!(firmware::boot(&mut image).unwrap().root_hash, v2.hash());
    let (second, outcome) = agent(&RecordedDisk::new(image), v2.hash()).unwrap();
    assert_eq!(outcome, Outcome::Done, "no restart would change anything");
    assert_eq!(second.state(), State::Stuck { why: Stuck::NoFallback });
}

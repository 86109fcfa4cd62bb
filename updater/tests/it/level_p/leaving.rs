//! Versions that are left, where something else is wrong at the same time, and what becomes of them later.

use std::io;
use std::sync::Arc;

use slipway_images::verity::RootHash;
use slipway_updater::agent::{Agent, AgentError, Outcome};
use slipway_updater::disk::Disk;
use slipway_updater::ledger::{CopyName, LedgerStore};
use slipway_updater::machine::{State, Stuck};
use slipway_updater::release::Refusal;

use super::damage::updated;
use super::firmware;
use super::passed_over::{armed, damage_head};
use super::recorded::{RecordedDisk, RecordedLedger};
use super::world::{LEDGER, Release, Still, agent, install};

/// The disk of a host with version 1, on which version 2 has started so many times.
fn on_trial(tries: usize) -> (RecordedDisk, [Arc<Release>; 2]) {
    let (disk, releases) = armed();
    let mut image = disk.image();
    for _ in 0..tries {
        assert_eq!(firmware::boot(&mut image).unwrap().label, releases[1].label);
    }
    (RecordedDisk::new(image), releases)
}

#[test]
fn s18_an_operator_lets_what_was_left_be_tried_again() {
    let (disk, [v1, v2]) = on_trial(1);
    let (mut trial, _) = agent(&disk, v2.hash()).unwrap();
    trial.unhealthy("web").unwrap();
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().label, v1.label);
    let disk = RecordedDisk::new(image);
    let (mut back, _) = agent(&disk, v1.hash()).unwrap();
    assert!(back.allow(&v2.label).unwrap());
    // Another process installs it: what is left of the first time doesn't speak against it.
    let (mut next, _) = agent(&disk, v1.hash()).unwrap();
    assert_eq!(next.state(), State::Idle { fallback: false });
    install(&mut next, &v2).unwrap();
    assert_eq!(firmware::boot(&mut disk.image()).unwrap().label, v2.label);
}

/// A ledger on a file system that is full.
struct Full(RecordedLedger);

impl LedgerStore for Full {
    fn read(&self, copy: CopyName) -> io::Result<Option<Vec<u8>>> {
        self.0.read(copy)
    }

    fn replace(&mut self, _: CopyName, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

fn full(disk: &RecordedDisk, booted: RootHash) -> Result<(Agent<RecordedDisk, Full, Still>, Outcome), AgentError> {
    let store = Full(RecordedLedger::new(disk.clone(), LEDGER));
    Agent::start(Disk::new(disk.clone(), booted), store, Still(disk.boot()))
}

#[test]
fn s14_a_version_that_fills_the_disk_is_left_and_noted_later() {
    let (disk, [v1, v2]) = on_trial(1);
    let (mut trial, _) = full(&disk, v2.hash()).unwrap();
    assert_eq!(trial.unhealthy("disk: no space is left").unwrap(), Outcome::Restart);
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().label, v1.label, "at the first restart");
    let disk = RecordedDisk::new(image);
    // As long as nothing can be noted, nothing is installed either.
    assert!(full(&disk, v1.hash()).is_err());
    let (mut back, _) = agent(&disk, v1.hash()).unwrap();
    assert!(matches!(install(&mut back, &v2), Err(AgentError::Release(Refusal::Failed { .. }))));
}

#[test]
fn s14_a_version_that_fills_the_disk_is_left_once_where_nothing_else_can_be_started() {
    let (disk, [_, v2]) = on_trial(1);
    assert_eq!(full(&disk, v2.hash()).unwrap().0.unhealthy("disk: no space is left").unwrap(), Outcome::Restart);
    let mut image = disk.image();
    damage_head(&mut image, "edge-web_2026.11.1.efi");
    assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label, "there is nothing else");
    let (mut again, outcome) = full(&RecordedDisk::new(image), v2.hash()).unwrap();
    assert_eq!((outcome, again.state()), (Outcome::Done, State::Trial { fallback: false }));
    again.unhealthy("disk: no space is left").unwrap_err();
}

#[test]
fn s09_a_cut_before_the_mark_on_the_last_try_but_one_leads_back_all_the_same() {
    let (disk, [v1, v2]) = on_trial(2);
    let (mut trial, _) = agent(&disk, v2.hash()).unwrap();
    // The power goes when the reason is written down, and before the mark.
    disk.fail_after(4);
    trial.unhealthy("web").unwrap_err();
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label, "its last try");
    let disk = RecordedDisk::new(image);
    let (last, outcome) = agent(&disk, v2.hash()).unwrap();
    assert_eq!(outcome, Outcome::Restart);
    assert!(last.ledger().unwrap().failure(v2.hash()).is_some());
    assert_eq!(firmware::boot(&mut disk.image()).unwrap().label, v1.label);
}

#[test]
fn s19_a_fallback_that_the_boot_loader_cannot_start_is_gone_back_to_once() {
    let [v1, v2, v3] = [1, 2, 3].map(Release::new);
    let disk = updated(&v1, &v2);
    let (mut found, _) = agent(&disk, v2.hash()).unwrap();
    found.roll_back("too slow").unwrap();
    let mut image = disk.image();
    damage_head(&mut image, "edge-web_2026.11.1.efi");
    assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label, "there is nothing else");
    let disk = RecordedDisk::new(image);
    for _ in 0..2 {
        let (again, outcome) = agent(&disk, v2.hash()).unwrap();
        assert_eq!((again.state(), outcome), (State::Stuck { why: Stuck::NoFallback }, Outcome::Done));
    }
    let (mut again, _) = agent(&disk, v2.hash()).unwrap();
    install(&mut again, &v3).unwrap();
    assert_eq!(agent(&disk, v2.hash()).unwrap().1, Outcome::Restart);
    assert_eq!(firmware::boot(&mut disk.image()).unwrap().label, v3.label);
}

//! The agent on a host as the system shows it: its files, its mounts, the device of its disk.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use slipway_images::boot::{BOOT_FACTS_PATH, BootFacts, BootPartitions, GptUsed};
use slipway_images::disk::Slot;
use slipway_updater::host::{Host, STATE_NOT_MOUNTED};
use slipway_updater::host_agent::{HostLedger, OpenError, examine, start, start_when_free};
use slipway_updater::ledger::{Happening, Ledger, UnixSeconds};
use slipway_updater::machine::{State, Stuck};
use slipway_updater::view::View;
use tempfile::TempDir;

use crate::level_p::world::{Release, factory};

const ROOT: &str = "21 1 254:0 / / ro - erofs /dev/dm-0 ro\n";
const STATE: &str = "30 21 254:6 / /var rw - ext4 /dev/vda6 rw\n";

fn host(root: &Path) -> Host {
    Host::read(root).unwrap()
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn mount(root: &Path, mounts: &str) {
    write(root, "proc/self/mountinfo", mounts.as_bytes());
}

/// The files of a host that runs a version with its state mounted.
fn factory_host() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let release = Release::new(1);
    let disk = factory(&release);
    let mut bytes = vec![0; usize::try_from(crate::level_p::world::SIZES.disk).unwrap()];
    disk.read(&mut bytes, 0).unwrap();
    write(root, "dev/vda", &bytes);
    let facts = BootFacts {
        disk: "vda".into(),
        slot: Slot::A,
        root_hash: release.hash(),
        root_partition: 2,
        partitions: BootPartitions::default(),
        gpt_used: GptUsed::Primary,
        initrd_started_ms: 1,
        switch_root_ms: 2,
    };
    write(root, BOOT_FACTS_PATH, &serde_json::to_vec(&facts).unwrap());
    write(root, "etc/os-release", b"IMAGE_ID=edge-web\nIMAGE_VERSION=2026.11.1\n");
    write(root, "proc/cmdline", format!("roothash={}\n", release.hash()).as_bytes());
    mount(root, &format!("{ROOT}{STATE}"));
    folder
}

#[test]
fn whoever_decides_about_a_trial_waits_for_another_agent() {
    let folder = factory_host();
    let root = folder.path().to_owned();
    fs::create_dir_all(root.join("var/lib/slipway")).unwrap();
    let (at_work, _) = start(&root).unwrap();
    let waited = start_when_free(&root, Duration::ZERO);
    assert!(matches!(waited, Err(OpenError::Locked)), "{waited:?}");
    let waiting = thread::spawn(move || start_when_free(&root, Duration::from_mins(1)).map(|(agent, _)| agent.state()));
    thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished());
    drop(at_work);
    assert_eq!(waiting.join().unwrap().unwrap(), State::Idle { fallback: false });
}

#[test]
fn a_host_whose_state_is_not_mounted_is_none_on_which_nothing_has_happened() {
    let folder = factory_host();
    let root = folder.path();
    let mut ledger = Ledger::load(HostLedger::of(&host(root), root)).unwrap();
    ledger.change(|contents| contents.note(UnixSeconds(1), Happening::Failed, "edge-web_2026.11.2", "web")).unwrap();
    let (agent, pending) = examine(root).unwrap();
    let view = View::of(&agent, &pending).unwrap();
    assert_eq!((view.state, view.ledger.unwrap().history.len()), (State::Idle { fallback: false }, 1));

    mount(root, ROOT);
    assert!(host(root).problems[0].starts_with(STATE_NOT_MOUNTED), "{:?}", host(root).problems);
    let (agent, pending) = examine(root).unwrap();
    let view = View::of(&agent, &pending).unwrap();
    assert_eq!((view.state, &view.ledger), (State::Stuck { why: Stuck::NoLedger }, &None));
    let told = view.explain();
    assert!(told.starts_with("the ledger can't be read: what failed here is not known"), "{told}");
    assert!(told.contains(&format!("  ledger  can't read copy a of the ledger: {STATE_NOT_MOUNTED}\n")), "{told}");
    assert!(told.contains("  runs    slot a: edge-web_2026.11.1, found good\n"), "{told}");
    // Nor is anything written where the partition is to be mounted.
    let (store, _) = Ledger::load(HostLedger::of(&host(root), root)).unwrap_err();
    assert!(Ledger::load(store).is_err());
}

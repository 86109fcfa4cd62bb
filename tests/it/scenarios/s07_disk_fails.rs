//! The disk fails under a host that updates itself, in QEMU's block layer: a sector of the other slot, or of the ESP, can't be
//! written, or nothing can be flushed. The update ends with an error that says so, nothing boots what is not whole, and what runs
//! is untouched. On a disk that works the update is finished.

use slipway_images::disk::TypeGuid;
use slipway_qemu::DiskFault;
use slipway_tests::updates::{Build, Edition, EspFiles, Host};

use crate::machines::slot_b;

const SECTOR: u64 = 512;
/// What the agent writes to the ESP at a time is more than this.
const SPACING: u64 = 64 << 10;
/// Behind the tables and folders of an ESP.
const CONTENT: u64 = 4 << 20;

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn a_write_to_the_other_slot_or_to_the_esp_fails() {
    let (mut host, new) = offered("s07-write");
    let middle = new.path("root.erofs").metadata().unwrap().len() / 2;
    let sector = (slot_b(host.disk(), TypeGuid::ROOT_X86_64).start + middle) / SECTOR;
    host.machine().break_disk(0, &[DiskFault::Write { sector }]).unwrap();
    let said = host.pass();
    println!("s07: {said}");
    assert!(is_of_the_disk(&said, "write"), "{said}");
    let kernel = host.shell("journalctl --no-pager -k -o cat");
    assert!(kernel.contains("I/O error, dev vda, sector"), "{kernel}");
    untouched(&mut host);
    let explained = host.explain();
    assert!(is_of_the_disk(&explained, "write") && explained.contains("(1 times)"), "{explained}");

    let EspFiles { start, size, .. } = EspFiles::of(host.disk());
    let places = (start + CONTENT..start + size).step_by(usize::try_from(SPACING).unwrap());
    let faults: Vec<_> = places.map(|place| DiskFault::Write { sector: place / SECTOR }).collect();
    host.machine().break_disk(0, &faults).unwrap();
    let refused = host.run(&["slipway-agent", "update", "--no-restart", "--now"]);
    println!("s07: {}", refused.stderr);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(is_of_the_disk(&refused.stderr, "write"), "{refused:?}");
    untouched(&mut host);
    host.power_off();
    let esp = host.esp();
    assert_eq!(esp.entries(), ["minimal_1.efi"], "nothing is left behind");
    finishes(&mut host);
}

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn flushes_fail() {
    let (mut host, _) = offered("s07-flush");
    let update = "slipway-agent update --no-restart > /run/said 2>&1; echo $? > /run/status; touch /run/ended";
    host.shell(&format!("systemd-run --quiet /bin/bash -c '{update}'"));
    host.shell("until [[ $(journalctl -o cat) == *'minimal_2 is being installed'* ]]; do sleep 0.1; done");
    host.machine().break_disk(0, &[DiskFault::Flush]).unwrap();
    let said = host.shell("until test -e /run/ended; do sleep 0.2; done; cat /run/status /run/said");
    println!("s07: {said}");
    assert!(said.starts_with("1\n"), "{said}");
    // The file system of `/var` may notice first, and is read-only then.
    assert!(is_of_the_disk(&said, "flush") || said.contains("of the ledger: "), "{said}");
    host.cut_power();
    assert_eq!(host.esp().entries(), ["minimal_1.efi"]);
    finishes(&mut host);
}

/// A host with version 1, which version 2 is offered to.
fn offered(name: &str) -> (Host, Build) {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (host, ..) = Host::offered(name, &old, &new);
    (host, new)
}

fn is_of_the_disk(said: &str, doing: &str) -> bool {
    said.contains(&format!("can't {doing} the disk at byte ")) && said.contains("Input/output error (os error 5)")
}

fn untouched(host: &mut Host) {
    let status = host.status();
    assert_eq!((&status["running"]["standing"], &status["other"]["standing"]), (&"good".into(), &"closed".into()));
    assert_eq!(status["state"], serde_json::json!({ "state": "idle", "fallback": false }), "{status}");
    assert_eq!(host.resets(), 0);
}

/// Switched on again, with a disk that works.
fn finishes(host: &mut Host) {
    host.start();
    host.wait_until_runs("1");
    let _ = host.output(&["slipway-agent", "update", "--no-restart", "--now"]);
    host.restart();
    host.wait_until_runs("2");
    assert_eq!((host.resets(), host.problems()), (1, Vec::new()));
    host.power_off();
    assert_eq!(host.esp().entries(), ["minimal_1.efi", "minimal_2.efi"]);
}

//! An image that isn't what was signed: a part with a flipped bit on the server is refused before anything boots it; a flipped bit or a
//! truncated root on the disk, after that was checked, makes the host fall back.

use slipway_images::disk::TypeGuid;
use slipway_tests::updates::{Edition, Fault, Host, Repository, Server};

use crate::machines::{console_until_restart, copy, overwrite, partition, slot_b};

/// Behind the superblock's block: the top of the tree.
const TOP: u64 = 4096;

#[test]
fn an_initrd_that_fails_says_why_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(folder.path());
    overwrite(&disk, partition(&disk, TypeGuid::ROOT_VERITY_X86_64).start + TOP, &[0; 64]);
    let console = console_until_restart("damaged-hash-tree", &disk);
    let said: Vec<&String> = console.iter().filter(|line| line.contains("slipway-initrd")).collect();
    let expected = "hash tree on /dev/vda3: block 1 of the hash device doesn't match the root hash; restarting";
    assert!(matches!(*said, [line] if line.ends_with(expected)), "{console:#?}");
}

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn parts_with_other_bytes_are_refused_before_a_boot() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let mut repository = Repository::new("s12-parts");
    repository.publish(&new, &[]);
    let server = Server::start(repository.folder());
    let mut host = Host::booted("s12-parts", &old, &server);
    // The one server that there is lies in every part.
    for _ in 0..1000 {
        server.fail("/parts/", Fault::FlippedBit);
    }
    let refused = host.run(&["slipway-agent", "update", "--no-restart"]);
    println!("s12: {}", refused.stderr);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("other bytes than were signed"), "{refused:?}");
    let status = host.status();
    assert_eq!((&status["running"]["standing"], &status["other"]["standing"]), (&"good".into(), &"closed".into()));
    server.forget_faults();
    let _ = host.output(&["slipway-agent", "update", "--no-restart", "--now"]);
    host.restart();
    host.wait_until_runs("2");
}

#[test]
#[ignore = "five boots: `make scenarios` runs it"]
fn a_truncated_root_falls_back() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered("s12-truncated", &old, &new);
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    host.power_off();
    // All but its first mebibyte: it is found and opened, and ends where programs should be.
    let root = slot_b(host.disk(), TypeGuid::ROOT_X86_64);
    let kept = 1 << 20;
    let used = new.path("root.erofs").metadata().unwrap().len();
    overwrite(host.disk(), root.start + kept, &vec![0; usize::try_from(used - kept).unwrap()]);
    host.start();
    host.wait_until_runs("1");
    assert_eq!(host.resets(), 3, "one for each try");
    let said = host.pass();
    assert!(said.contains("2 failed here: it did not come up in any of its tries"), "{said}");
}

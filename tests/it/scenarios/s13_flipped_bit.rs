//! One bit of the root is another than was built, or a sector can't be read any more: the machine restarts, it does not hang, and
//! nothing wrong is ever read. At boot, so that boot counting can act; and while the machine runs. An update leaves the sector behind.

use serde_json::Value;
use slipway_images::disk::TypeGuid;
use slipway_qemu::DiskFault;
use slipway_tests::updates::{Build, Edition, Host, PATIENCE, Repository, Server};

use crate::machines::{console_until_restart, copy, overwrite, partition};

/// The magic number of EROFS, which every mount reads.
const SUPERBLOCK: u64 = 1024;
/// Far more than a block, and not like anything in the image.
const MARKER: &str = "a text that nothing else in the image has, of which a bit will be another";

#[test]
fn a_root_with_a_flipped_byte_restarts_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(folder.path());
    overwrite(&disk, partition(&disk, TypeGuid::ROOT_X86_64).start + SUPERBLOCK, &[0xff]);
    let console = console_until_restart("flipped-byte", &disk);
    assert!(console.iter().any(|line| line.contains("data block 0 is corrupted")), "{console:#?}");
    assert!(!console.iter().any(|line| line.contains("login:")), "{console:#?}");
}

#[test]
#[ignore = "two boots: `make scenarios` runs it"]
fn a_running_machine_restarts_and_reads_nothing_wrong() {
    let (build, content) = marked("1.marked");
    let repository = Repository::new("s13");
    let server = Server::start(repository.folder());
    let mut host = Host::booted("s13", &build, &server);
    host.shell("echo kept > /var/lib/witness && sync /var/lib/witness");

    // Under the machine's feet, in the block with the text's middle.
    let (at, byte) = middle(&build, &content);
    let start = partition(host.disk(), TypeGuid::ROOT_X86_64).start;
    overwrite(host.disk(), start + at, &[byte ^ 1]);
    restarts_when_it_is_read(&mut host);
    let console = host.console();
    println!("s13: {:#?}", console.iter().filter(|line| line.contains("verity")).collect::<Vec<_>>());
    assert!(console.iter().any(|line| line.contains("is corrupted")), "{console:#?}");

    overwrite(host.disk(), start + at, &[byte]);
    host.wait_until_runs("1.marked");
    assert_eq!(host.shell("cat /usr/share/marked"), content);
    assert_eq!(host.shell("cat /var/lib/witness"), "kept\n");
}

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn a_sector_that_can_t_be_read_restarts_the_machine_and_an_update_leaves_it_behind() {
    let ((old, content), (new, _)) = (marked("1.marked"), marked("2.marked"));
    let (mut host, ..) = Host::offered("s13-sector", &old, &new);
    let (at, _) = middle(&old, &content);
    let sector = (partition(host.disk(), TypeGuid::ROOT_X86_64).start + at) / 512;
    host.machine().break_disk(0, &[DiskFault::Read { sector }]).unwrap();
    restarts_when_it_is_read(&mut host);
    let console = host.console();
    println!("s13: {:#?}", console.iter().filter(|line| line.contains("verity")).collect::<Vec<_>>());
    host.wait_until_runs("1.marked");

    let said = host.output(&["slipway-agent", "update", "--json", "--no-restart"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    println!("s13: {said}");
    let why = said["patch_failure"].as_str().unwrap_or_default();
    assert!(why.contains("Input/output error"), "the patch of the old file can't be used: {said}");
    assert!(said["blocks"]["fetched"].as_u64().unwrap() > 0, "{said}");
    host.restart();
    host.wait_until_runs("2.marked");
    assert_eq!(host.shell("echo 3 > /proc/sys/vm/drop_caches; cat /usr/share/marked"), content);
    assert_eq!((host.resets(), host.problems()), (2, Vec::new()));
}

/// A version with a text in a file, and the text.
fn marked(version: &str) -> (Build, String) {
    let content = format!("{MARKER}\n").repeat(200);
    (Edition::new(version).with_file("/usr/share/marked", &content).build(), content)
}

/// Where in a root the middle of the text is, and the byte there.
fn middle(build: &Build, content: &str) -> (u64, u8) {
    let root = std::fs::read(build.path("root.erofs")).unwrap();
    let at = root.windows(MARKER.len()).position(|bytes| bytes == MARKER.as_bytes()).expect("files are not compressed");
    let at = at + content.len() / 2;
    (at as u64, root[at])
}

fn restarts_when_it_is_read(host: &mut Host) {
    let before = host.machine().events().len();
    let read = host.try_run(&["/bin/bash", "-c", "echo 3 > /proc/sys/vm/drop_caches; cat /usr/share/marked"], PATIENCE);
    assert!(read.is_err(), "the file was read: {read:?}");
    host.machine().wait_for_reset(before, PATIENCE).unwrap();
}

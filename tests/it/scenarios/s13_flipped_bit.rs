//! One bit of the root is another than was built: the machine restarts, it does not hang, and nothing wrong is ever read. At boot, so
//! that boot counting can act; and while the machine runs.

use slipway_images::disk::TypeGuid;
use slipway_tests::updates::{Edition, Host, PATIENCE, Repository, Server};

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
    let content = format!("{MARKER}\n").repeat(200);
    let build = Edition::new("1.marked").with_file("/usr/share/marked", &content).build();
    let repository = Repository::new("s13");
    let server = Server::start(repository.folder());
    let mut host = Host::booted("s13", &build, &server);
    host.shell("echo kept > /var/lib/witness && sync /var/lib/witness");

    // Under the machine's feet, in the block with the text's middle.
    let root = std::fs::read(build.path("root.erofs")).unwrap();
    let at = root.windows(MARKER.len()).position(|bytes| bytes == MARKER.as_bytes()).expect("files are not compressed");
    let at = (at + content.len() / 2) as u64;
    let start = partition(host.disk(), TypeGuid::ROOT_X86_64).start;
    let flipped = root[usize::try_from(at).unwrap()] ^ 1;
    overwrite(host.disk(), start + at, &[flipped]);
    let before = host.machine().events().len();
    let read = host.try_run(&["/bin/bash", "-c", "echo 3 > /proc/sys/vm/drop_caches; cat /usr/share/marked"], PATIENCE);
    assert!(read.is_err(), "the file was read: {read:?}");
    host.machine().wait_for_reset(before, PATIENCE).unwrap();
    let console = host.console();
    println!("s13: {:#?}", console.iter().filter(|line| line.contains("verity")).collect::<Vec<_>>());
    assert!(console.iter().any(|line| line.contains("is corrupted")), "{console:#?}");

    overwrite(host.disk(), start + at, &[flipped ^ 1]);
    host.wait_until_runs("1.marked");
    assert_eq!(host.shell("cat /usr/share/marked"), content);
    assert_eq!(host.shell("cat /var/lib/witness"), "kept\n");
}

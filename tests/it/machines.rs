//! What the scenarios with virtual machines share: the image, changed copies of it, and the machine.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use slipway_images::disk::{Partition, PartitionTable, TypeGuid};
use slipway_qemu::{Disk, Machine, OnReset, Running};

/// An emulated machine on a busy host takes minutes for what takes a real one seconds.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// The disk of `recipes/minimal.toml`, built once. It is not to be written to.
pub fn disk() -> &'static Path {
    static DISK: OnceLock<PathBuf> = OnceLock::new();
    DISK.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let out = workspace.join("target/vm-images");
        let status = Command::new(workspace.join("target/release/slipway"))
            .args(["--quiet", "--out", out.to_str().unwrap(), "build"])
            .arg(workspace.join("recipes/minimal.toml"))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        out.join("minimal_1/disk.raw")
    })
}

/// A copy of the disk that can be written to; holes stay holes.
pub fn copy(folder: &Path) -> PathBuf {
    let copy = folder.join("disk.raw");
    let status =
        Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(disk()).arg(&copy).status().unwrap();
    assert!(status.success());
    copy
}

/// The first partition of that type.
pub fn partition(disk: &Path, kind: TypeGuid) -> Partition {
    let table = PartitionTable::read(&mut File::open(disk).unwrap()).unwrap();
    table.partitions.into_iter().find(|partition| partition.type_guid == kind).unwrap()
}

/// The partition of that type that belongs to slot B: the second one.
pub fn slot_b(disk: &Path, kind: TypeGuid) -> Partition {
    let table = PartitionTable::read(&mut File::open(disk).unwrap()).unwrap();
    table.partitions.into_iter().filter(|partition| partition.type_guid == kind).nth(1).unwrap()
}

/// Writes over the disk's bytes from `offset` on.
pub fn overwrite(disk: &Path, offset: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(disk).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

/// Starts a machine with these disks, the firmware's first choice first.
pub fn start(name: &str, disks: impl IntoIterator<Item = Disk>) -> Running {
    let machine = Machine::new(name).with_guest_channel();
    disks.into_iter().fold(machine, Machine::disk).start().unwrap()
}

/// Starts a machine with one disk, waits until it restarts, and gives what the console said until then.
pub fn console_until_restart(name: &str, disk: &Path) -> Vec<String> {
    let machine = Machine::new(name).disk(Disk::raw(disk).thrown_away()).on_reset(OnReset::End).start().unwrap();
    let stopped = machine.wait_until_off(PATIENCE).unwrap();
    let reason =
        stopped.events().iter().find(|event| event.name == "SHUTDOWN").map(|event| event.data["reason"].clone());
    assert_eq!(reason, Some("guest-reset".into()));
    stopped.serial().lines().into_iter().map(|line| line.text).collect()
}

/// What a command prints in the guest.
pub fn output(machine: &mut Running, command: &[&str]) -> String {
    let output = machine.guest().unwrap().run(command, PATIENCE).unwrap();
    assert!(output.succeeded(), "{command:?}: {output:?}");
    output.stdout
}

/// Waits until the agent answers, and gives the initrd's boot facts.
pub fn boot_facts(machine: &mut Running) -> serde_json::Value {
    machine.guest().unwrap().wait_for_hello(PATIENCE).unwrap();
    serde_json::from_str(&output(machine, &["cat", slipway_images::boot::BOOT_FACTS_PATH])).unwrap()
}

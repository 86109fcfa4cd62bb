//! The one-sector guest, and the lock that keeps machines apart.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use slipway_qemu::{Accel, Bus, Disk, Firmware, Machine};
use tempfile::TempDir;

/// Long enough for a machine that starts in a second, on a host that is ten times as busy as it should be.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Held while a machine runs: no two test programs on this host run one at a time.
pub(crate) fn one_at_a_time() -> File {
    let lock = File::create(std::env::temp_dir().join("slipway-qemu-tests.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// A disk with the guest of `boot_sector.S`.
pub(crate) struct Sector {
    folder: TempDir,
    _lock: File,
}

impl Sector {
    pub(crate) fn new() -> Self {
        let lock = one_at_a_time();
        let folder = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/boot_sector.S");
        let assemble = "as --32 \"$1\" -o s.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o disk.raw s.o && truncate -s 1M disk.raw";
        let status = Command::new("sh").args(["-c", assemble, "sh", source]).current_dir(&folder).status().unwrap();
        assert!(status.success(), "binutils are needed, as for linking this test");
        Self { folder, _lock: lock }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk.raw")
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk::raw(self.path()).on(Bus::Virtio)
    }

    /// How many starts the disk itself counts.
    pub(crate) fn starts(&self) -> u8 {
        fs::read(self.path()).unwrap()[512]
    }
}

/// A machine that boots such a disk.
pub(crate) fn machine(disk: Disk) -> Machine {
    Machine::new("sector").accel(Accel::Tcg).firmware(Firmware::Bios).memory_mib(64).cpus(1).disk(disk)
}

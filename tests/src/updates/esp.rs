//! The EFI system partition of a disk whose machine is off, as an administrator sees it: with mtools.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use slipway_images::disk::{PartitionTable, TypeGuid};
use tempfile::NamedTempFile;

use crate::program::oracle;

/// The ESP of a disk image.
#[derive(Clone, Debug)]
pub struct EspFiles {
    /// What mtools call it: the image and where in it the partition begins.
    image: OsString,
    disk: PathBuf,
    /// The byte at which it begins.
    pub start: u64,
    /// Its bytes.
    pub size: u64,
}

/// The bit that says that it was cleanly left (`ClnShutBitMask` of the FAT specification, in its byte).
const CLEAN: u8 = 0x08;
/// The byte of the boot sector, and the bit in it, by which Linux says that it wasn't.
const DIRTY_AT: u64 = 65;
const DIRTY: u8 = 1;

/// Where the boot entries are.
pub const ENTRIES: &str = "EFI/Linux";

impl EspFiles {
    /// That of the disk in this file.
    pub fn of(disk: &Path) -> Self {
        let table = PartitionTable::read(&mut File::open(disk).unwrap()).unwrap();
        let esp = table.partitions.iter().find(|partition| partition.type_guid == TypeGuid::ESP).unwrap();
        let mut image = disk.as_os_str().to_owned();
        image.push(format!("@@{}", esp.start));
        Self { image, disk: disk.to_owned(), start: esp.start, size: esp.size }
    }

    /// The names of boot entries, sorted.
    pub fn entries(&self) -> Vec<String> {
        let listed = self.run("mdir", &["-b", &format!("::/{ENTRIES}")]);
        let name = |line: &str| line.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
        let mut names: Vec<String> = listed.lines().filter_map(name).collect();
        names.sort();
        names
    }

    /// Every file and folder, as `mdir` lists them.
    pub fn all(&self) -> Vec<String> {
        let mut all: Vec<String> = self.run("mdir", &["-b", "-/", "::/"]).lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    /// The bytes of a file.
    pub fn read(&self, path: &str) -> Vec<u8> {
        let copy = NamedTempFile::new().unwrap();
        self.run("mcopy", &["-n", &format!("::/{path}"), copy.path().to_str().unwrap()]);
        fs::read(copy.path()).unwrap()
    }

    /// Writes a file, over what is there.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let source = NamedTempFile::new().unwrap();
        fs::write(source.path(), bytes).unwrap();
        self.run("mcopy", &["-o", source.path().to_str().unwrap(), &format!("::/{path}")]);
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) {
        self.run("mdel", &[&format!("::/{path}")]);
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let listed = self.run("mdir", &["::/"]);
        let line = listed.lines().rev().find_map(|line| line.trim().strip_suffix("bytes free"));
        let digits: String = line.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no free bytes are told: {listed}"))
    }

    /// Marks it as not cleanly left, in both ways: as Windows does, and as Linux does.
    pub fn mark_dirty(&self) {
        let marked = [(self.mark_offset(), self.mark() & !CLEAN), (self.start + DIRTY_AT, DIRTY)];
        let mut disk = File::options().write(true).open(&self.disk).unwrap();
        for (offset, byte) in marked {
            disk.seek(SeekFrom::Start(offset)).unwrap();
            disk.write_all(&[byte]).unwrap();
        }
    }

    /// Whether it was cleanly left.
    pub fn is_clean(&self) -> bool {
        self.mark() & CLEAN != 0 && self.bytes(self.start + DIRTY_AT, 1)[0] & DIRTY == 0
    }

    /// Copies it, whole, into a file of its own.
    pub fn extract(&self, to: &Path) {
        let mut disk = File::open(&self.disk).unwrap();
        disk.seek(SeekFrom::Start(self.start)).unwrap();
        io::copy(&mut disk.take(self.size), &mut File::create(to).unwrap()).unwrap();
    }

    fn mark(&self) -> u8 {
        self.bytes(self.mark_offset(), 1)[0]
    }

    /// Where the marks are: the last byte of the second entry of the FAT.
    fn mark_offset(&self) -> u64 {
        let boot = self.bytes(self.start, 16);
        let [sector, reserved] = [11, 14].map(|at| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]])));
        self.start + sector * reserved + 7
    }

    fn bytes(&self, offset: u64, count: usize) -> Vec<u8> {
        let mut disk = File::open(&self.disk).unwrap();
        disk.seek(SeekFrom::Start(offset)).unwrap();
        let mut bytes = vec![0; count];
        disk.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-i", &self.image];
        words.extend(args.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>));
        oracle(program, &words).stdout
    }
}

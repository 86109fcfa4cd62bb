//! Partition tables, judged by `sfdisk`.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use slipway_images::disk::{
    Attributes, DiskIdentity, DiskLayout, DiskSizes, FilledSlot, Lba, Part, PartGuid, Partition, PartitionTable,
    RejectReason, SectorSize, Slot, TableCopy, TableImage, TypeGuid, write_table,
};
use uuid::uuid;

const ROOT: PartGuid = PartGuid(uuid!("11111111-2222-4333-8444-555555555555"));
const MIB: u64 = 1 << 20;

/// A sparse disk of 64 MiB whose table `sfdisk` wrote.
fn foreign_disk(path: &Path) -> File {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(64 * MIB).unwrap();
    let script = format!(
        "label: gpt\nlabel-id: 99999999-2222-4333-8444-555555555555\n\
         start=2048, size=8192, type=uefi, name=esp\n\
         start=16384, size=32768, type={}, uuid={ROOT}, name=\"edge-web_1.0~rc1\", attrs=\"GUID:60\"\n",
        TypeGuid::ROOT_X86_64
    );
    let mut sfdisk = Command::new("sfdisk");
    sfdisk.args(["-q", "--no-reread", "--no-tell-kernel"]).arg(path);
    let mut child = sfdisk.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    file
}

fn overwrite(file: &mut (impl Write + Seek), offset: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_table_made_by_sfdisk_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = foreign_disk(&folder.path().join("disk"));
    let table = PartitionTable::read(&mut disk).unwrap();
    assert_eq!((table.copy, &table.primary_fault, table.sector_size), (TableCopy::Primary, &None, SectorSize::B512));
    assert_eq!(table.disk_guid, uuid!("99999999-2222-4333-8444-555555555555"));
    let root = table.find(ROOT).unwrap();
    assert_eq!((root.number.0, root.start, root.size), (2, 8 * MIB, 16 * MIB));
    assert_eq!((root.first, root.last), (Lba(16384), Lba(49151)));
    assert_eq!((root.type_guid, root.name.as_str()), (TypeGuid::ROOT_X86_64, "edge-web_1.0~rc1"));
    assert_eq!(root.attributes.0, 1 << 60);
}

#[test]
fn the_backup_serves_whatever_part_of_the_primary_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = foreign_disk(&folder.path().join("disk"));
    let whole = PartitionTable::read(&mut disk).unwrap();
    for (offset, fault) in [(1024 + 60, "table checksum"), (512 + 60, "header checksum"), (512, "no signature")] {
        overwrite(&mut disk, offset, &[0xa5]);
        let table = PartitionTable::read(&mut disk).unwrap();
        assert_eq!((table.copy, &table.partitions), (TableCopy::Backup, &whole.partitions));
        assert!(table.primary_fault.as_deref().unwrap().contains(fault), "{:?}", table.primary_fault);
    }
    overwrite(&mut disk, 64 * MIB - 512 + 80, &[1]);
    let error = PartitionTable::read(&mut disk).unwrap_err().to_string();
    assert!(error.contains("primary: no signature; backup: header checksum"), "{error}");
}

#[test]
fn a_disk_cut_short_or_grown_without_its_backup_is_judged_by_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = foreign_disk(&folder.path().join("disk"));
    disk.set_len(32 * MIB).unwrap();
    let error = PartitionTable::read(&mut disk).unwrap_err().to_string();
    assert!(error.contains("usable sectors"), "{error}");
    disk.set_len(128 * MIB).unwrap();
    assert_eq!(PartitionTable::read(&mut disk).unwrap().partitions.len(), 2);
}

/// A table built by hand: what `sfdisk` wouldn't write.
struct Forgery {
    sector: usize,
    entries: Vec<[u8; 128]>,
    claimed_count: Option<u32>,
    table_lba: u64,
}

impl Forgery {
    fn new(sector: usize) -> Self {
        Self { sector, entries: Vec::new(), claimed_count: None, table_lba: 2 }
    }

    fn entry(mut self, guid: u128, first: u64, last: u64) -> Self {
        let mut entry = [0; 128];
        entry[..16].copy_from_slice(&TypeGuid::VAR.0.to_bytes_le());
        entry[16..32].copy_from_slice(&uuid::Uuid::from_u128(guid).to_bytes_le());
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        self.entries.push(entry);
        self
    }

    fn device(&self) -> Cursor<Vec<u8>> {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
        let table = self.entries.concat();
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        header[24..32].copy_from_slice(&1_u64.to_le_bytes());
        header[40..48].copy_from_slice(&40_u64.to_le_bytes());
        header[48..56].copy_from_slice(&400_u64.to_le_bytes());
        header[72..80].copy_from_slice(&self.table_lba.to_le_bytes());
        let count = self.claimed_count.unwrap_or(u32::try_from(self.entries.len()).unwrap());
        header[80..84].copy_from_slice(&count.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        header[88..92].copy_from_slice(&crc.checksum(&table).to_le_bytes());
        let checksum = crc.checksum(&header);
        header[16..20].copy_from_slice(&checksum.to_le_bytes());
        let mut device = vec![0; 500 * self.sector];
        device[self.sector..][..92].copy_from_slice(&header);
        device[2 * self.sector..][..table.len()].copy_from_slice(&table);
        Cursor::new(device)
    }

    fn read(&self) -> Result<PartitionTable, String> {
        PartitionTable::read(&mut self.device()).map_err(|error| error.to_string())
    }
}

#[test]
fn sectors_of_4096_bytes_are_recognised() {
    let table = Forgery::new(4096).entry(1, 40, 49).read().unwrap();
    assert_eq!(table.sector_size, SectorSize::B4096);
    assert_eq!((table.partitions[0].start, table.partitions[0].size), (40 * 4096, 10 * 4096));
}

#[test]
fn entries_that_make_no_sense_are_set_aside() {
    let table = Forgery::new(512)
        .entry(1, 50, 59)
        .entry(2, 60, 99)
        .entry(3, 70, 79)
        .entry(4, 99, 120)
        .entry(5, 39, 45)
        .entry(6, 390, 401)
        .entry(7, 130, 129)
        .entry(8, 121, 130)
        .entry(9, 0, u64::MAX)
        .read()
        .unwrap();
    let kept: Vec<u32> = table.partitions.iter().map(|partition| partition.number.0).collect();
    assert_eq!(kept, [1, 8]);
    let set_aside: Vec<_> = table.rejected.iter().map(|entry| (entry.number.0, entry.reason)).collect();
    let (overlap, range) = (RejectReason::Overlap, RejectReason::OutOfRange);
    assert_eq!(set_aside, [(2, overlap), (3, overlap), (4, overlap), (5, range), (6, range), (7, range), (9, range)]);
}

#[test]
fn of_two_partitions_with_one_guid_neither_is_found() {
    let table = Forgery::new(512).entry(1, 50, 59).entry(1, 60, 69).entry(2, 70, 79).read().unwrap();
    let find = |guid| table.find(PartGuid(uuid::Uuid::from_u128(guid)));
    assert!(find(1).unwrap_err().to_string().starts_with("more than one partition"));
    assert_eq!(find(2).unwrap().number.0, 3);
    assert!(find(3).unwrap_err().to_string().starts_with("no partition"));
}

#[test]
fn tables_beyond_reason_are_refused_before_they_are_read() {
    for (count, lba) in [(u32::MAX, 2), (8193, 2), (0, 2), (4, 500), (4, u64::MAX), (4, 1)] {
        let forgery = Forgery { claimed_count: Some(count), table_lba: lba, ..Forgery::new(4096).entry(1, 50, 59) };
        let error = forgery.read().unwrap_err();
        assert!(error.contains(&format!("table of {count} entries of 128 bytes at LBA {lba}")), "{error}");
    }
}

/// Panics if the table breaks a promise of its own documentation.
fn check(table: &PartitionTable, size: u64) {
    let mut by_start: Vec<&Partition> = table.partitions.iter().collect();
    by_start.sort_by_key(|partition| partition.start);
    let mut end = 0;
    for partition in by_start {
        assert!(partition.start >= end && partition.size > 0);
        end = partition.start.checked_add(partition.size).unwrap();
    }
    assert!(end <= size);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_or_overstep(
        places in prop::collection::vec((0_usize..2048, any::<u8>()), 0..6),
        ranges in prop::collection::vec((0_u64..450, 0_u64..450), 1..8),
        fix_checksums in any::<bool>(),
        keep in 0_usize..300_000,
    ) {
        let forgery = ranges.iter().fold(Forgery::new(512), |forgery, &(first, last)| forgery.entry(7, first, last));
        let mut device = forgery.device().into_inner();
        for (place, byte) in places {
            device[place] ^= byte;
        }
        if fix_checksums {
            let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
            let table = crc.checksum(&device[1024..1024 + 128 * ranges.len()]);
            device[600..604].copy_from_slice(&table.to_le_bytes());
            device[528..532].fill(0);
            let header = crc.checksum(&device[512..604]);
            device[528..532].copy_from_slice(&header.to_le_bytes());
        }
        device.truncate(keep);
        let size = device.len() as u64;
        if let Ok(table) = PartitionTable::read(&mut Cursor::new(device)) {
            check(&table, size);
        }
    }
}

#[test]
fn a_device_that_fails_is_told_apart_from_an_empty_one() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("bad sector"))
        }
    }
    impl Seek for Failing {
        fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
            Ok(MIB)
        }
    }
    let error = PartitionTable::read(&mut Failing).unwrap_err().to_string();
    assert!(error.contains("primary: can't be read: bad sector"), "{error}");
    assert!(PartitionTable::read(&mut Cursor::new(Vec::new())).unwrap_err().to_string().contains("no signature"));
}

/// An image's disk with an empty ESP and roots.
fn own_disk(path: &Path) -> (File, DiskLayout) {
    let layout = DiskLayout::plan(DiskSizes { disk: 600 * MIB, esp: 64 * MIB, slot: 200 * MIB }).unwrap();
    let mut file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(layout.disk_bytes()).unwrap();
    let label = "edge-web_2026.11.22".parse().unwrap();
    let identity = DiskIdentity::derive(&label);
    let slot = FilledSlot { label, root: ROOT, verity: uuid!("66666666-2222-4333-8444-555555555555").into() };
    write_table(&mut file, layout, &identity, &slot).unwrap();
    (file, layout)
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn sfdisk_finds_no_fault_with_our_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let (mut disk, layout) = own_disk(&path);
    let verdict = output_of(Command::new("sfdisk").arg("--verify").arg(&path));
    assert!(verdict.contains("No errors detected"), "{verdict}");
    assert!(!verdict.contains("warning") && !verdict.contains("unused gaps"), "{verdict}");

    let dump = output_of(Command::new("sfdisk").arg("--json").arg(&path));
    let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
    let table = PartitionTable::read(&mut disk).unwrap();
    assert_eq!(dump["partitiontable"]["id"], table.disk_guid.to_string().to_uppercase());
    let partitions = dump["partitiontable"]["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), Part::ALL.len());
    for ((theirs, ours), part) in partitions.iter().zip(&table.partitions).zip(Part::ALL) {
        assert_eq!(theirs["start"], layout.span(part).first.0);
        assert_eq!(theirs["size"], layout.span(part).len() / 512);
        assert_eq!(theirs["type"], part.type_guid().to_string().to_uppercase());
        assert_eq!(theirs["uuid"], ours.guid.to_string().to_uppercase());
        assert_eq!(theirs["name"], ours.name);
    }
    assert_eq!(partitions[1]["attrs"], "GUID:60");
    assert_eq!(partitions[3]["attrs"], "GUID:60,63");
}

#[test]
fn both_copies_of_our_table_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, layout) = own_disk(&folder.path().join("disk"));
    let primary = PartitionTable::read(&mut disk).unwrap();
    assert!(primary.rejected.is_empty());
    let root = primary.find(ROOT).unwrap();
    assert_eq!(
        (root.number, root.start),
        (Part::Root(Slot::A).number(), layout.span(Part::Root(Slot::A)).bytes().start)
    );
    assert_eq!(root.name, "edge-web_2026.11.22");
    let empty = &primary.partitions[3];
    assert_eq!(empty.name, "_empty");
    assert!(empty.attributes.contains(Attributes::NO_AUTO));

    overwrite(&mut disk, 512, &[0; 512]);
    let backup = PartitionTable::read(&mut disk).unwrap();
    assert_eq!(backup.copy, TableCopy::Backup);
    assert_eq!((backup.partitions, backup.disk_guid), (primary.partitions, primary.disk_guid));
}

#[test]
fn the_same_image_gives_the_same_table_and_hardly_any_of_it_is_data() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1"), folder.path().join("2"));
    let (disk, _) = own_disk(&first);
    own_disk(&second);
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());
    assert!(disk.metadata().unwrap().blocks() * 512 < MIB);
}

#[test]
fn systemd_repart_adds_a_state_partition_and_leaves_the_rest_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let (mut disk, layout) = own_disk(&path);
    disk.set_len(layout.disk_bytes() + 500 * MIB).unwrap();
    let before = PartitionTable::read(&mut disk).unwrap();
    let definitions = folder.path().join("repart.d");
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join("50-state.conf"), "[Partition]\nType=var\nLabel=state\n").unwrap();
    let mut repart = Command::new("systemd-repart");
    repart.args(["--dry-run=no"]).arg("--definitions").arg(&definitions).arg(&path);
    output_of(&mut repart);

    let after = PartitionTable::read(&mut disk).unwrap();
    assert_eq!(after.partitions[..5], before.partitions);
    let state = &after.partitions[5];
    assert_eq!((state.type_guid, state.name.as_str()), (TypeGuid::VAR, "state"));
    assert!(state.size > 500 * MIB);
}

/// Puts both copies of a table where they belong.
fn put(disk: &mut (impl Write + Seek), table: &TableImage) {
    for copy in table.copies().unwrap() {
        overwrite(disk, copy.entries.offset, &copy.entries.bytes);
        overwrite(disk, copy.header.offset, &copy.header.bytes);
    }
}

#[test]
fn a_renamed_partition_is_all_that_changes_and_sfdisk_is_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let mut disk = foreign_disk(&path);
    let before = PartitionTable::read(&mut disk).unwrap();
    let guid = PartGuid(uuid!("aaaaaaaa-2222-4333-8444-555555555555"));
    for from in [TableCopy::Primary, TableCopy::Backup] {
        let mut table = TableImage::read(&mut disk, from).unwrap();
        let number = before.partitions[1].number;
        table.rename(number, guid, "edge-web_2.0", Attributes::READ_ONLY.with(Attributes::NO_AUTO)).unwrap();
        put(&mut disk, &table);
        let after = PartitionTable::read(&mut disk).unwrap();
        assert_eq!((&after.partitions[0], after.primary_fault), (&before.partitions[0], None));
        let mut expected = before.partitions[1].clone();
        (expected.guid, expected.name) = (guid, "edge-web_2.0".to_owned());
        expected.attributes = Attributes::READ_ONLY.with(Attributes::NO_AUTO);
        assert_eq!(after.partitions[1], expected);
        let copies = [TableCopy::Primary, TableCopy::Backup].map(|copy| TableImage::read(&mut disk, copy).unwrap());
        assert!(copies[0].same_entries(&copies[1]));
        let output = Command::new("sfdisk").arg("--verify").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // The next round starts from the backup alone.
        overwrite(&mut disk, 512, &[0; 512]);
    }
}

#[test]
fn only_partitions_that_are_there_are_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = foreign_disk(&folder.path().join("disk"));
    let mut table = TableImage::read(&mut disk, TableCopy::Primary).unwrap();
    for number in [0, 3, 129, u32::MAX] {
        let error = table.rename(slipway_images::disk::PartitionNumber(number), ROOT, "x", Attributes::default());
        assert!(error.unwrap_err().to_string().contains("is not in the table"), "{number}");
    }
    let long = "x".repeat(37);
    let error = table.rename(slipway_images::disk::PartitionNumber(1), ROOT, &long, Attributes::default());
    assert!(error.unwrap_err().to_string().contains("too long"));
    overwrite(&mut disk, 1024, &[1]);
    assert!(TableImage::read(&mut disk, TableCopy::Primary).is_err(), "a damaged copy is never taken");
}

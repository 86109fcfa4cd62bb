//! A disk in memory, as the builder makes it, and damage to the parts of it that are read before anything is verified.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::sync::{Arc, OnceLock};

use slipway_images::content::{Content, ReadAt};
use slipway_images::disk::{DiskIdentity, DiskLayout, DiskSizes, FilledSlot, Part, write_table};
use slipway_images::esp::{EspOptions, LOADER_CONF, SYSTEMD_BOOT, VolumeLabel, format};
use slipway_images::names::{BootEntryName, PartitionLabel};
use slipway_images::verity::RootHash;
use slipway_updater::disk::device::BlockDevice;

const MIB: u64 = 1 << 20;
const PAGE: usize = 4096;
const SECTOR: u64 = 512;
const CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// What the machine with the disk of [`Disk::good`] was started with.
pub const BOOTED: RootHash = RootHash::from_bytes([0x5a; 32]);
/// Where the ESP is on the disk, in bytes.
pub const ESP: std::ops::Range<u64> = MIB..35 * MIB;
/// The disk's size, in bytes.
pub const SIZE: u64 = 40 * MIB;

/// Pages that are not zero, shared between clones.
#[derive(Clone)]
pub struct Disk(BTreeMap<u64, Arc<[u8; PAGE]>>);

impl Disk {
    /// Partition table, ESP with two boot entries, one image; the contents of the slots are zeros.
    pub fn good() -> Self {
        static DISK: OnceLock<Disk> = OnceLock::new();
        DISK.get_or_init(|| {
            let label: PartitionLabel = "edge-web_2026.11.1".parse().expect("the label is good");
            let sizes = DiskSizes { disk: SIZE, esp: ESP.end - ESP.start, slot: MIB };
            let layout = DiskLayout::plan(sizes).expect("the sizes are good");
            assert_eq!(layout.span(Part::Esp).bytes(), ESP);
            let identity = DiskIdentity::derive(&label);
            let (root, verity) = (BOOTED.root_part_guid().into(), BOOTED.verity_part_guid().into());
            let mut table = Cursor::new(vec![0; usize::try_from(SIZE).expect("memory has room")]);
            let slot = FilledSlot { label: label.clone(), root, verity };
            write_table(&mut table, layout, &identity, &slot).expect("the table is good");
            let kernel = |byte: u8| Content::from_bytes(vec![byte; 3000]);
            let files = vec![
                (SYSTEMD_BOOT.to_owned(), kernel(1)),
                (LOADER_CONF.to_owned(), Content::from_bytes(*b"timeout 0\n")),
                (BootEntryName::good(label).path(), kernel(2)),
                ("EFI/Linux/edge-web_2026.10.9+2-1.efi".to_owned(), kernel(3)),
            ];
            let options = EspOptions { serial: identity.esp_serial, label: VolumeLabel::ESP, files };
            let mut esp = Cursor::new(Vec::new());
            format(&mut esp, ESP.end - ESP.start, &options).expect("the files fit");
            let mut disk = Self(BTreeMap::new());
            for (place, bytes) in [(0, table.into_inner()), (ESP.start, esp.into_inner())] {
                for (number, page) in bytes.chunks(PAGE).enumerate() {
                    if page.iter().any(|byte| *byte != 0) {
                        let start = place + (number * PAGE) as u64;
                        disk.put(page, start).expect("it is on the disk");
                    }
                }
            }
            disk
        })
        .clone()
    }

    /// Changes bytes of pages that aren't zero: each change is an offset in these pages, three bytes of it, and the new byte.
    /// Those before `from`, in bytes from the start of the disk, stay.
    pub fn damage(&mut self, from: u64, changes: &[u8]) {
        let pages: Vec<u64> = self.0.keys().copied().filter(|page| page * PAGE as u64 >= from).collect();
        for change in changes.chunks_exact(4) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) | usize::from(change[2] & 1) << 16;
            if let Some(page) = pages.get(at / PAGE).and_then(|page| self.0.get_mut(page)) {
                Arc::make_mut(page)[at % PAGE] = change[3];
            }
        }
    }

    /// Makes the checksums of both copies of the partition table right, whatever they are about.
    pub fn reseal_tables(&mut self) {
        for sector in [1, SIZE / SECTOR - 1] {
            let mut header = [0; SECTOR as usize];
            let place = sector * SECTOR;
            self.read(&mut header, place).expect("it is on the disk");
            let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let len = number(80).saturating_mul(number(84)).min(1 << 20);
            let table = u64::from(number(72)) * SECTOR;
            let mut entries = vec![0; len as usize];
            if number(76) == 0 && self.read(&mut entries, table).is_ok() {
                header[88..92].copy_from_slice(&CRC32.checksum(&entries).to_le_bytes());
            }
            let covered =
                (u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize).clamp(20, 512);
            header[16..20].fill(0);
            let checksum = CRC32.checksum(&header[..covered]);
            header[16..20].copy_from_slice(&checksum.to_le_bytes());
            self.put(&header, place).expect("it is on the disk");
        }
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (part, page, within) in pieces(buf.len(), offset)? {
            match self.0.get(&page) {
                Some(page) => buf[part.clone()].copy_from_slice(&page[within..within + part.len()]),
                None => buf[part].fill(0),
            }
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        for (part, page, within) in pieces(bytes.len(), offset)? {
            let page = self.0.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[within..within + part.len()].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }
}

/// Which of these bytes are in which page, and where in it.
fn pieces(len: usize, offset: u64) -> io::Result<Vec<(std::ops::Range<usize>, u64, usize)>> {
    if offset.checked_add(len as u64).is_none_or(|end| end > SIZE) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < len {
        let place = offset + done as u64;
        let within = (place % PAGE as u64) as usize;
        let count = (PAGE - within).min(len - done);
        pieces.push((done..done + count, place / PAGE as u64, within));
        done += count;
    }
    Ok(pieces)
}

impl ReadAt for Disk {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read(buf, offset)
    }
}

impl BlockDevice for Disk {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read(buf, offset)
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.put(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reader(&self) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(self.clone()))
    }
}

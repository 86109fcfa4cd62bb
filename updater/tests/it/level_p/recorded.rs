//! A disk in memory that remembers the order of writes and flushes.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use slipway_images::content::ReadAt;
use slipway_updater::disk::device::BlockDevice;
use slipway_updater::ledger::{BootId, CopyName, LedgerStore};

pub const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// Contents of a disk: pages that are not zero, shared between copies.
#[derive(Clone)]
pub struct Image {
    pages: HashMap<u64, Arc<[u8; PAGE]>>,
    pub size: u64,
}

impl Image {
    pub fn new(size: u64) -> Self {
        Self { pages: HashMap::new(), size }
    }

    pub fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset + buf.len() as u64 > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < buf.len() {
            let place = offset + done as u64;
            let within = usize::try_from(place % PAGE as u64).unwrap();
            let count = (PAGE - within).min(buf.len() - done);
            match self.pages.get(&(place / PAGE as u64)) {
                Some(page) => buf[done..done + count].copy_from_slice(&page[within..within + count]),
                None => buf[done..done + count].fill(0),
            }
            done += count;
        }
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if offset + bytes.len() as u64 > self.size {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut done = 0;
        while done < bytes.len() {
            let place = offset + done as u64;
            let within = usize::try_from(place % PAGE as u64).unwrap();
            let count = (PAGE - within).min(bytes.len() - done);
            let page = self.pages.entry(place / PAGE as u64).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        Ok(())
    }
}

/// What the disk was asked to do.
#[derive(Clone, Debug)]
pub enum Op {
    Write { offset: u64, bytes: Vec<u8> },
    Flush,
}

struct Inner {
    image: Image,
    /// Which boot of the machine uses it.
    boot: u64,
    log: Vec<Op>,
    /// Writes and flushes until the disk fails for good.
    left: Option<usize>,
    /// A byte that changes once it was written and flushed.
    flip: Option<u64>,
}

/// A handle on a disk; all handles are of the same one.
#[derive(Clone)]
pub struct RecordedDisk(Arc<Mutex<Inner>>);

impl RecordedDisk {
    /// The disk as a boot of the machine finds it: each is another one.
    pub fn new(image: Image) -> Self {
        static BOOTS: AtomicU64 = AtomicU64::new(0);
        let boot = BOOTS.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Mutex::new(Inner { image, boot, log: Vec::new(), left: None, flip: None })))
    }

    /// The disk with this on it, in the same boot, without faults.
    pub fn with(&self, image: Image) -> Self {
        let boot = self.inner().boot;
        Self(Arc::new(Mutex::new(Inner { image, boot, log: Vec::new(), left: None, flip: None })))
    }

    /// The boot that uses the disk.
    pub fn boot(&self) -> BootId {
        BootId(format!("boot {}", self.inner().boot))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// What is on it now, were every write to last.
    pub fn image(&self) -> Image {
        self.inner().image.clone()
    }

    pub fn log(&self) -> Vec<Op> {
        self.inner().log.clone()
    }

    /// Lets every write and flush fail after this many more.
    pub fn fail_after(&self, ops: usize) {
        self.inner().left = Some(ops);
    }

    /// Lets a bit of this byte flip at the first flush after it was written.
    pub fn flip_on_flush(&self, offset: u64) {
        self.inner().flip = Some(offset);
    }

    fn record(&self, op: Op) -> io::Result<()> {
        let mut inner = self.inner();
        if let Some(left) = &mut inner.left {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the disk is dead"))?;
        }
        if let Op::Write { offset, bytes } = &op {
            assert!(
                offset.is_multiple_of(512) && bytes.len().is_multiple_of(SECTOR),
                "{} bytes at {offset}",
                bytes.len()
            );
            inner.image.write(bytes, *offset)?;
        }
        if let (Op::Flush, Some(place)) = (&op, inner.flip) {
            let mut byte = [0];
            inner.image.read(&mut byte, place)?;
            if byte != [0] {
                inner.image.write(&[byte[0] ^ 4], place)?;
                inner.flip = None;
            }
        }
        inner.log.push(op);
        Ok(())
    }
}

impl BlockDevice for RecordedDisk {
    fn size(&self) -> u64 {
        self.inner().image.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner().image.read(buf, offset)
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.record(Op::Write { offset, bytes: bytes.to_vec() })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.record(Op::Flush)
    }

    fn reader(&self) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(Reader(self.clone())))
    }
}

struct Reader(RecordedDisk);

impl ReadAt for Reader {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        BlockDevice::read_exact_at(&self.0, buf, offset)
    }
}

/// An image, or a part of one, as a file.
pub struct Cursor<'a> {
    pub image: &'a mut Image,
    pub start: u64,
    pub len: u64,
    pub position: u64,
}

impl<'a> Cursor<'a> {
    pub fn whole(image: &'a mut Image) -> Self {
        let len = image.size;
        Self { image, start: 0, len, position: 0 }
    }

    fn here(&self, wanted: usize) -> usize {
        wanted.min(usize::try_from(self.len.saturating_sub(self.position)).unwrap())
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.here(buf.len());
        self.image.read(&mut buf[..count], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Cursor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.here(bytes.len());
        self.image.write(&bytes[..count], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(offset) => offset,
            SeekFrom::End(offset) => self.len.checked_add_signed(offset).unwrap(),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset).unwrap(),
        };
        Ok(self.position)
    }
}

impl std::fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cursor at {}", self.position)
    }
}

const AREA: u64 = 64 << 10;
const MAGIC: &[u8; 8] = b"COPYHEAD";

/// The ledger's two files, on the same disk. A file is replaced as a journalling file system does it: the new content goes
/// to a place of its own, is flushed, and one sector makes it count.
#[derive(Clone)]
pub struct RecordedLedger {
    disk: RecordedDisk,
    start: u64,
}

impl RecordedLedger {
    pub fn new(disk: RecordedDisk, start: u64) -> Self {
        Self { disk, start }
    }

    fn place(&self, copy: CopyName) -> u64 {
        self.start + if copy == CopyName::A { 0 } else { 3 * AREA }
    }

    /// Which of a copy's two areas counts, and its length.
    fn head(&self, copy: CopyName) -> io::Result<Option<(u64, usize)>> {
        let mut head = [0; SECTOR];
        self.disk.read_exact_at(&mut head, self.place(copy))?;
        let len = u32::from_le_bytes(head[9..13].try_into().unwrap()) as usize;
        Ok(head.starts_with(MAGIC).then_some((u64::from(head[8]), len)))
    }
}

impl LedgerStore for RecordedLedger {
    fn read(&self, copy: CopyName) -> io::Result<Option<Vec<u8>>> {
        let Some((area, len)) = self.head(copy)? else { return Ok(None) };
        let mut bytes = vec![0; len];
        self.disk.read_exact_at(&mut bytes, self.place(copy) + AREA * (1 + area))?;
        Ok(Some(bytes))
    }

    fn replace(&mut self, copy: CopyName, content: &[u8]) -> io::Result<()> {
        let area = self.head(copy)?.map_or(0, |(area, _)| 1 - area);
        let mut padded = content.to_vec();
        padded.resize(content.len().next_multiple_of(SECTOR), 0);
        let place = self.place(copy);
        self.disk.write_all_at(&padded, place + AREA * (1 + area))?;
        self.disk.flush()?;
        let len = u32::try_from(content.len()).unwrap().to_le_bytes();
        let mut head = [MAGIC.as_slice(), &[u8::try_from(area).unwrap()], &len].concat();
        head.resize(SECTOR, 0);
        self.disk.write_all_at(&head, place)?;
        self.disk.flush()
    }
}

//! A device in memory that holds only those of its blocks that are not zero.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::disk::seek_within;

const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = 4096;

/// `fatfs` writes a few bytes at a time, and zeros where a fresh image has them already. Here both cost nothing.
pub(super) struct SparseBlocks {
    blocks: BTreeMap<u64, Box<[u8; BLOCK]>>,
    len: u64,
    position: u64,
}

impl SparseBlocks {
    /// A device of `len` zeros.
    pub(super) fn new(len: u64) -> Self {
        Self { blocks: BTreeMap::new(), len, position: 0 }
    }

    /// Writes the blocks that are not zero to their places in `out`.
    pub(super) fn write_to(&self, out: &mut (impl Write + Seek)) -> io::Result<()> {
        let mut next = None;
        for (&index, block) in &self.blocks {
            if block.iter().all(|&byte| byte == 0) {
                continue;
            }
            let start = index * BLOCK_BYTES;
            if next != Some(index) {
                out.seek(SeekFrom::Start(start))?;
            }
            let used = usize::try_from(self.len - start).unwrap_or(BLOCK).min(BLOCK);
            out.write_all(&block[..used])?;
            next = Some(index + 1);
        }
        out.flush()
    }

    /// The block at the present place, the offset in it, and how many of `wanted` bytes are in it and on the device.
    fn here(&self, wanted: usize) -> (u64, usize, usize) {
        let offset = usize::try_from(self.position % BLOCK_BYTES).unwrap_or(0);
        let left = usize::try_from(self.len.saturating_sub(self.position)).unwrap_or(usize::MAX);
        (self.position / BLOCK_BYTES, offset, wanted.min(BLOCK - offset).min(left))
    }
}

impl Read for SparseBlocks {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (index, offset, count) = self.here(buf.len());
        match self.blocks.get(&index) {
            Some(block) => buf[..count].copy_from_slice(&block[offset..offset + count]),
            None => buf[..count].fill(0),
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for SparseBlocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (index, offset, count) = self.here(bytes.len());
        let bytes = &bytes[..count];
        if let Some(block) = self.blocks.get_mut(&index) {
            block[offset..offset + count].copy_from_slice(bytes);
        } else if bytes.iter().any(|&byte| byte != 0) {
            let mut block = Box::new([0; BLOCK]);
            block[offset..offset + count].copy_from_slice(bytes);
            self.blocks.insert(index, block);
        }
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SparseBlocks {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_within(self.len, self.position, to)?;
        Ok(self.position)
    }
}

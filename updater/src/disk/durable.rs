//! The one place that writes to the disk: write, flush, re-read, compare.
//!
//! A write is refused unless it lies in an area that was opened for it, and it may cover kept bytes only with the very bytes
//! that are there. What belongs to the running system is never opened, or kept: so no mistake above this module can hurt it.

use std::io;
use std::ops::Range;

use slipway_images::digest::Digest;

use super::device::BlockDevice;

/// Bytes that are read back at a time.
const CHUNK: usize = 1 << 20;

/// What went wrong at a write.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It would reach outside the areas that are opened.
    #[error("refuses to write {len} bytes at byte {offset} of the disk, which is not open for writing")]
    NotOpen {
        /// Where.
        offset: u64,
        /// How much.
        len: u64,
    },
    /// It would change what is to stay.
    #[error("refuses to change byte {offset} of the disk, which is part of the {what}")]
    Kept {
        /// The first kept byte.
        offset: u64,
        /// What it is.
        what: &'static str,
    },
    /// The device failed.
    #[error("can't {doing} the disk at byte {offset}")]
    Io {
        /// `read`, `write` or `flush`.
        doing: &'static str,
        /// Where; 0 for a flush.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The disk doesn't give back what it took.
    #[error("the disk took {len} bytes at byte {offset} and gives back others")]
    Differs {
        /// Where.
        offset: u64,
        /// How much.
        len: u64,
    },
}

/// A part of the disk that is to keep its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its bytes, from the start of the disk.
    pub range: Range<u64>,
    /// What it is, for the message: `running kernel image`.
    pub what: &'static str,
}

/// Writes to a device, durably.
#[derive(Debug)]
pub struct DurableWriter<D> {
    device: D,
    open: Vec<Range<u64>>,
    kept: Vec<Kept>,
    unread: Vec<(u64, u64, Digest)>,
}

impl<D: BlockDevice> DurableWriter<D> {
    /// A writer that writes nothing yet: no area is open.
    pub fn new(device: D) -> Self {
        Self { device, open: Vec::new(), kept: Vec::new(), unread: Vec::new() }
    }

    /// The device, for reading.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Opens these areas and no others, except for what is kept in them.
    pub fn permit(&mut self, open: Vec<Range<u64>>, kept: Vec<Kept>) {
        self.open = open;
        self.kept = kept;
    }

    /// Writes; durable after the next [`sync`](Self::sync), which also reads it back.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        self.write_for_later_check(offset, bytes)?;
        // Of two writes to one place only the second can be read back.
        let end = offset + bytes.len() as u64;
        self.unread.retain(|(start, len, _)| *start >= end || start + len <= offset);
        self.unread.push((offset, bytes.len() as u64, Digest::of(bytes)));
        Ok(())
    }

    /// Writes what its writer reads back by itself: the blocks of a slot, checked as a whole against their hash tree.
    pub fn write_for_later_check(&mut self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let len = bytes.len() as u64;
        let end = offset.checked_add(len).ok_or(WriteError::NotOpen { offset, len })?;
        if !self.open.iter().any(|area| area.start <= offset && end <= area.end) {
            return Err(WriteError::NotOpen { offset, len });
        }
        for kept in self.kept.iter().filter(|kept| kept.range.start < end && offset < kept.range.end) {
            let (from, to) = (kept.range.start.max(offset), kept.range.end.min(end));
            let mut there = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
            self.device.read_exact_at(&mut there, from).map_err(|source| WriteError::Io {
                doing: "read",
                offset: from,
                source,
            })?;
            let start = usize::try_from(from - offset).unwrap_or(usize::MAX);
            if bytes.get(start..start + there.len()) != Some(&there) {
                return Err(WriteError::Kept { offset: from, what: kept.what });
            }
        }
        self.device.write_all_at(bytes, offset).map_err(|source| WriteError::Io { doing: "write", offset, source })
    }

    /// Flushes, and reads back what was written since the last time.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.device.flush().map_err(|source| WriteError::Io { doing: "flush", offset: 0, source })?;
        for (offset, len, expected) in std::mem::take(&mut self.unread) {
            if self.digest(offset, len)? != expected {
                return Err(WriteError::Differs { offset, len });
            }
        }
        Ok(())
    }

    /// The digest of what is on the disk.
    fn digest(&self, offset: u64, len: u64) -> Result<Digest, WriteError> {
        let mut reader = io::Read::take(super::device::Window::new(&self.device, offset, len), len);
        let mut buffered = io::BufReader::with_capacity(CHUNK.min(usize::try_from(len).unwrap_or(CHUNK)), &mut reader);
        let (digest, read) =
            Digest::of_reader(&mut buffered).map_err(|source| WriteError::Io { doing: "read", offset, source })?;
        if read == len { Ok(digest) } else { Err(WriteError::Differs { offset, len }) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A disk that drops every write to its last sector.
    struct Forgetful(Vec<u8>);

    impl BlockDevice for Forgetful {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            slipway_images::content::ReadAt::read_exact_at(&self.0, buf, offset)
        }

        fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let start = usize::try_from(offset).unwrap();
            let kept = (self.0.len() - 512).saturating_sub(start).min(bytes.len());
            self.0[start..start + kept].copy_from_slice(&bytes[..kept]);
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reader(&self) -> io::Result<Box<dyn slipway_images::content::ReadAt>> {
            Ok(Box::new(self.0.clone()))
        }
    }

    fn writer() -> DurableWriter<Forgetful> {
        let mut writer = DurableWriter::new(Forgetful(vec![1; 8192]));
        let kept = Kept { range: 1000..2000, what: "running entry" };
        writer.permit(vec![512..4096, 7680..8192], vec![kept]);
        writer
    }

    #[test]
    fn nothing_is_written_outside_of_what_is_open() {
        let mut writer = writer();
        for (offset, len) in [(0, 512), (511, 2), (4095, 2), (4096, 512), (8000, 512)] {
            assert!(matches!(writer.write(offset, &vec![2; len]), Err(WriteError::NotOpen { .. })), "{offset}");
        }
        assert!(matches!(writer.write(u64::MAX, &[2]), Err(WriteError::NotOpen { .. })));
        assert_eq!(writer.device.0, [1; 8192]);
    }

    #[test]
    fn kept_bytes_are_covered_only_with_themselves() {
        let mut writer = writer();
        let mut sectors = vec![1; 1536];
        sectors[0] = 9;
        writer.write(512, &sectors).unwrap();
        sectors[488] = 9;
        let error = writer.write(512, &sectors).unwrap_err();
        assert_eq!(error.to_string(), "refuses to change byte 1000 of the disk, which is part of the running entry");
        writer.sync().unwrap();
    }

    #[test]
    fn what_the_disk_forgets_is_noticed() {
        let mut writer = writer();
        writer.write(3072, &[3; 512]).unwrap();
        writer.sync().unwrap();
        writer.write(7680, &[3; 512]).unwrap();
        assert!(matches!(writer.sync(), Err(WriteError::Differs { offset: 7680, len: 512 })));
        writer.sync().unwrap();
    }
}

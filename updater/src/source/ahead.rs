//! The bytes of what runs, as a patch wants them: many short reads, mostly one after the other.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use slipway_images::content::ReadAt;

/// Bytes that are read at once. The disk is read past the page cache, so that each read goes to it.
const AHEAD: usize = 128 << 10;
const ALIGNMENT: u64 = 4096;

/// Reads the first `len` bytes of something in larger pieces than it is asked for.
pub(super) struct ReadAhead<R> {
    inner: R,
    len: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    offset: u64,
    bytes: Vec<u8>,
}

impl<R: ReadAt> ReadAhead<R> {
    pub(super) fn new(inner: R, len: u64) -> Self {
        Self { inner, len, held: Mutex::default() }
    }
}

impl<R: ReadAt> ReadAt for ReadAhead<R> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if buf.len() >= AHEAD {
            return self.inner.read_exact_at(buf, offset);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if offset < held.offset || end > held.offset + held.bytes.len() as u64 {
            let from = offset - offset % ALIGNMENT;
            // Enough for what is wanted now, which is shorter than that.
            let len = (AHEAD as u64 + ALIGNMENT).min(self.len - from);
            held.offset = from;
            held.bytes.resize(usize::try_from(len).unwrap_or_default(), 0);
            let read = self.inner.read_exact_at(&mut held.bytes, from);
            if read.is_err() {
                held.bytes.clear();
            }
            read?;
        }
        let start = usize::try_from(offset - held.offset).unwrap_or(usize::MAX);
        let bytes = held.bytes.get(start..).and_then(|bytes| bytes.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// What somebody else reads.
pub(super) struct Borrowed<'a>(pub &'a dyn ReadAt);

impl ReadAt for Borrowed<'_> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

/// Pieces of a disk as one row of bytes.
pub struct Places {
    disk: Box<dyn ReadAt>,
    /// Where a piece starts in the row, and where it is on the disk; sorted.
    pieces: Vec<(u64, Range<u64>)>,
}

impl Places {
    /// These places, one after the other.
    pub fn new(disk: Box<dyn ReadAt>, places: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut pieces: Vec<(u64, Range<u64>)> = Vec::new();
        let mut end = 0_u64;
        for place in places.into_iter().filter(|place| !place.is_empty()) {
            let len = place.end - place.start;
            match pieces.last_mut() {
                Some((_, last)) if last.end == place.start => last.end = place.end,
                _ => pieces.push((end, place)),
            }
            end = end.saturating_add(len);
        }
        Self { disk, pieces }
    }
}

impl ReadAt for Places {
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            let number = self.pieces.partition_point(|(start, _)| *start <= offset).checked_sub(1);
            let piece = number.and_then(|number| self.pieces.get(number));
            let (start, place) = piece.ok_or(io::ErrorKind::UnexpectedEof)?;
            let from = place.start.saturating_add(offset - start);
            let len = usize::try_from(place.end.saturating_sub(from)).map_or(buf.len(), |len| len.min(buf.len()));
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, rest) = buf.split_at_mut(len);
            self.disk.read_exact_at(now, from)?;
            (buf, offset) = (rest, offset + len as u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pieces_are_read_as_one_row_in_any_order() {
        let disk: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let ranges = [500_000..700_000, 4096..8192, 8192..9000, 100..300_u64];
        let range = |range: &Range<u64>| usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let row: Vec<u8> = ranges.iter().flat_map(|piece| disk[range(piece)].to_vec()).collect();
        let len = row.len() - 50;
        let places = ReadAhead::new(Places::new(Box::new(disk), ranges), len as u64);
        let wanted = [
            (0, 10),
            (199_990, 4200),
            (3, 190_000),
            (0, len),
            (len - 1, 1),
            (204_000, 999),
            (7, 0),
            (len, 0),
            (70_001, (128 << 10) - 1),
            (4095, (128 << 10) - 1),
        ];
        for (offset, count) in wanted {
            let mut buf = vec![0; count];
            places.read_exact_at(&mut buf, offset as u64).unwrap();
            assert!(buf == row[offset..offset + count], "{count} at {offset}");
        }
        for (offset, count) in [(len, 1), (len - 1, 2), (usize::MAX, 9), (len, 200_000)] {
            assert!(places.read_exact_at(&mut vec![0; count], offset as u64).is_err());
        }
    }
}

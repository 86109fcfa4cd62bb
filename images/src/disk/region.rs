//! A part of a device or image that looks like a device of its own.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

const BLOCK: usize = 4096;
const BUFFER: usize = 64 * BLOCK;

/// The bytes of `range` of a larger device, addressed from 0. Nothing outside of them is read or written.
#[derive(Debug)]
pub struct Region<D> {
    device: D,
    start: u64,
    len: u64,
    position: u64,
}

impl<D: Seek> Region<D> {
    /// The bytes of `range` of `device`. An inverted range is empty.
    pub fn new(device: D, range: Range<u64>) -> Self {
        Self { device, start: range.start, len: range.end.saturating_sub(range.start), position: 0 }
    }

    /// How many of `wanted` bytes are left at the present place, to which the device is moved.
    fn seek_device(&mut self, wanted: usize) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.position);
        let place = self.start.checked_add(self.position).ok_or(io::ErrorKind::InvalidInput)?;
        self.device.seek(SeekFrom::Start(place))?;
        Ok(wanted.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }
}

impl<D: Write + Seek> Region<D> {
    /// Copies all that `reader` yields to the start of the region, and says how much it was. Blocks of zeros are passed
    /// over: the region must be fresh, so that they are there already, as holes. Fails if there is more than fits.
    pub fn fill(&mut self, reader: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; BUFFER];
        self.seek(SeekFrom::Start(0))?;
        loop {
            let filled = read_full(reader, &mut buffer)?;
            if self.len - self.position < filled as u64 {
                return Err(io::Error::new(io::ErrorKind::StorageFull, format!("more than {} bytes", self.len)));
            }
            for block in buffer[..filled].chunks(BLOCK) {
                if block.iter().all(|&byte| byte == 0) {
                    self.position += block.len() as u64;
                } else {
                    self.write_all(block)?;
                }
            }
            if filled < BUFFER {
                return Ok(self.position);
            }
        }
    }
}

fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<D: Read + Seek> Read for Region<D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.seek_device(buf.len())?;
        let read = self.device.read(&mut buf[..count])?;
        self.position += read as u64;
        Ok(read)
    }
}

impl<D: Write + Seek> Write for Region<D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.seek_device(bytes.len())?;
        if count == 0 {
            return Ok(0);
        }
        let written = self.device.write(&bytes[..count])?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.device.flush()
    }
}

impl<D> Seek for Region<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek_within(self.len, self.position, to)?;
        Ok(self.position)
    }
}

/// Where a seek leads from `position` of something `len` bytes long. The end may be passed, the start may not.
pub(crate) fn seek_within(len: u64, position: u64, to: SeekFrom) -> io::Result<u64> {
    let target = match to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::End(offset) => len.checked_add_signed(offset),
        SeekFrom::Current(offset) => position.checked_add_signed(offset),
    };
    target.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Cursor;

    use super::*;

    #[test]
    fn nothing_outside_is_read_or_written() {
        let mut disk = Cursor::new(b"..______..".to_vec());
        let mut region = Region::new(&mut disk, 2..8);
        region.write_all(b"abc").unwrap();
        assert!(region.write_all(b"defg").is_err());
        region.seek(SeekFrom::Start(0)).unwrap();
        let mut all = String::new();
        region.read_to_string(&mut all).unwrap();
        assert_eq!(all, "abcdef");
        assert_eq!(region.seek(SeekFrom::End(-1)).unwrap(), 5);
        assert!(region.seek(SeekFrom::Current(-6)).is_err());
        assert_eq!(disk.into_inner(), b"..abcdef..");
    }

    #[test]
    fn filling_passes_over_zeros_and_writes_all_else() {
        let content = [vec![1; 5000], vec![0; 300_000], vec![2; 3]].concat();
        let mut disk = Cursor::new(vec![9; 400_000]);
        let filled = Region::new(&mut disk, 1000..400_000).fill(&mut content.as_slice()).unwrap();
        assert_eq!(filled, content.len() as u64);
        let disk = disk.into_inner();
        assert_eq!((&disk[..1000], &disk[1000..6000]), (&[9; 1000][..], &[1; 5000][..]));
        assert!(disk[1000 + 8192..300_000].iter().all(|&byte| byte == 9));
        assert_eq!(disk[306_000..306_004], [2, 2, 2, 9]);

        let error = Region::new(Cursor::new(vec![0; 10]), 0..10).fill(&mut &[0; 11][..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

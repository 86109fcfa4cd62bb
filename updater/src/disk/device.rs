//! The disk as bytes at offsets: a device file on a host, memory in the tests that cut the power.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::Path;

use slipway_images::content::ReadAt;

/// A device that is written in whole sectors of 512 bytes.
pub trait BlockDevice: Send + Sync {
    /// Bytes of the device.
    fn size(&self) -> u64;
    /// Fills `buf` from `offset`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes`; where they are after a power cut is not said before [`flush`](Self::flush) has returned.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when all that was written will outlast a power cut.
    fn flush(&mut self) -> io::Result<()>;
    /// The same device, for reading only, while it is written.
    fn reader(&self) -> io::Result<Box<dyn ReadAt>>;
}

/// The alignment that direct access asks for, in bytes.
const ALIGNMENT: usize = 4096;

/// Bytes moved by one call.
const CHUNK: usize = 1 << 20;

/// A whole disk, `/dev/vda`, or an image in a file.
///
/// It is opened past the page cache where that can be: what is read back then comes from the disk, not from memory, and no
/// page of the whole disk's cache can differ from one of a partition's.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    size: u64,
    direct: bool,
}

impl FileDevice {
    /// Opens a device for reading, and for writing if `writable`.
    pub fn open(path: &Path, writable: bool) -> io::Result<Self> {
        let open = |flags: rustix::fs::OFlags| {
            let flags = i32::try_from(flags.bits()).unwrap_or(0);
            File::options().read(true).write(writable).custom_flags(flags).open(path)
        };
        let (mut file, direct) = match open(rustix::fs::OFlags::DIRECT) {
            Ok(file) => (file, true),
            // Some file systems, as tmpfs, have no other way than through memory.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => (open(rustix::fs::OFlags::empty())?, false),
            Err(error) => return Err(error),
        };
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size, direct })
    }

    fn check(&self, len: usize, offset: u64) -> io::Result<()> {
        let inside = offset.checked_add(len as u64).is_some_and(|end| end <= self.size);
        if inside { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl BlockDevice for FileDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.check(buf.len(), offset)?;
        if !self.direct {
            return FileExt::read_exact_at(&self.file, buf, offset);
        }
        let mut done = 0;
        let mut space = vec![0; CHUNK.min(buf.len().next_multiple_of(ALIGNMENT) + ALIGNMENT) + ALIGNMENT];
        let aligned = aligned(&mut space);
        while done < buf.len() {
            let place = offset + done as u64;
            let start = place / ALIGNMENT as u64 * ALIGNMENT as u64;
            let before = usize::try_from(place - start).unwrap_or(0);
            // The last bytes of a disk need not fill 4096: a read at its end is short, and that is no error.
            let room = aligned.len() / ALIGNMENT * ALIGNMENT;
            let wanted = (before + buf.len() - done).next_multiple_of(ALIGNMENT).min(room);
            let mut filled = 0;
            while filled < wanted && filled.is_multiple_of(ALIGNMENT) {
                match self.file.read_at(&mut aligned[filled..wanted], start + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let count = filled.saturating_sub(before).min(buf.len() - done);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf[done..done + count].copy_from_slice(&aligned[before..before + count]);
            done += count;
        }
        Ok(())
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(bytes.len(), offset)?;
        if !self.direct {
            return self.file.write_all_at(bytes, offset);
        }
        let mut space = vec![0; CHUNK.min(bytes.len()) + ALIGNMENT];
        let aligned = aligned(&mut space);
        for (part, place) in bytes.chunks(CHUNK).zip((offset..).step_by(CHUNK)) {
            aligned[..part.len()].copy_from_slice(part);
            self.file.write_all_at(&aligned[..part.len()], place)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn reader(&self) -> io::Result<Box<dyn ReadAt>> {
        let Self { size, direct, .. } = *self;
        Ok(Box::new(Reader(Self { file: self.file.try_clone()?, size, direct })))
    }
}

/// A device that is only read.
struct Reader<D>(D);

impl<D: BlockDevice> ReadAt for Reader<D> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

/// The part of `space` that starts at a multiple of [`ALIGNMENT`] in memory.
fn aligned(space: &mut [u8]) -> &mut [u8] {
    let start = space.as_ptr().align_offset(ALIGNMENT).min(space.len());
    &mut space[start..]
}

/// Some bytes of a device, read as a file is, or at offsets from their start.
#[derive(Debug)]
pub struct Window<'a, D> {
    device: &'a D,
    start: u64,
    len: u64,
    position: u64,
}

impl<'a, D: BlockDevice> Window<'a, D> {
    /// All of the device.
    pub fn whole(device: &'a D) -> Self {
        Self { device, start: 0, len: device.size(), position: 0 }
    }

    /// `len` bytes from `start`, as far as the device has them.
    pub fn new(device: &'a D, start: u64, len: u64) -> Self {
        Self { device, start, len: len.min(device.size().saturating_sub(start)), position: 0 }
    }
}

impl<D: BlockDevice> ReadAt for Window<'_, D> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let inside = offset.checked_add(buf.len() as u64).is_some_and(|end| end <= self.len);
        if inside {
            self.device.read_exact_at(buf, self.start + offset)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl<D: BlockDevice> Read for Window<'_, D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = buf.len().min(left);
        self.device.read_exact_at(&mut buf[..count], self.start + self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<D: BlockDevice> Seek for Window<'_, D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_written_in_sectors_and_read_at_any_byte() {
        let folder = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
        let path = folder.path().join("disk");
        std::fs::write(&path, vec![7; 3 * CHUNK + 512]).unwrap();
        let mut device = FileDevice::open(&path, true).unwrap();
        assert_eq!(device.size(), 3 * CHUNK as u64 + 512);
        let text: Vec<u8> = (0..2 * CHUNK + 512).map(|place| u8::try_from(place % 251).unwrap()).collect();
        device.write_all_at(&text, 512).unwrap();
        device.flush().unwrap();
        let mut back = vec![0; text.len() + 2];
        device.read_exact_at(&mut back, 511).unwrap();
        assert!(back[0] == 7 && back[1..=text.len()] == text && back[text.len() + 1] == 7);
        let mut last = [0; 3];
        device.read_exact_at(&mut last, 3 * CHUNK as u64 + 509).unwrap();
        assert!(device.read_exact_at(&mut last, 3 * CHUNK as u64 + 510).is_err());
        assert!(device.write_all_at(&[0; 1024], 3 * CHUNK as u64).is_err());
    }
}

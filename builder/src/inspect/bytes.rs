//! Parts of a file, as bytes of their own.

use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::sync::Arc;

use slipway_images::content::{Content, ReadAt};
use slipway_images::digest::Digest;

const BUFFER: usize = 1 << 20;

/// The length of a file or block device, in bytes.
pub fn length(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// The bytes of a partition. Nothing outside of them is read.
#[derive(Clone)]
pub struct Part {
    file: Arc<File>,
    start: u64,
    /// How many there are.
    pub len: u64,
}

impl Part {
    /// The `len` bytes from `start` on.
    pub fn new(file: &Arc<File>, start: u64, len: u64) -> Self {
        Self { file: Arc::clone(file), start, len }
    }

    /// The digest of the first `len` bytes.
    pub fn digest(&self, len: u64) -> io::Result<Digest> {
        if len > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let unknown = Digest::from_bytes([0; 32]);
        let content = Content::from_extent(Arc::new(self.clone()), 0, len, unknown);
        let mut reader = BufReader::with_capacity(BUFFER, content.reader());
        Ok(Digest::of_reader(&mut reader)?.0)
    }
}

impl ReadAt for Part {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.len);
        let place = end.and_then(|_| self.start.checked_add(offset)).ok_or(io::ErrorKind::UnexpectedEof)?;
        ReadAt::read_exact_at(&*self.file, buf, place)
    }
}

//! The bytes of a file: in memory, or at a place of a larger file that stays open.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use crate::digest::Digest;

/// Something that can be read at any offset by several threads at once.
pub trait ReadAt: Send + Sync {
    /// Fills `buf` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for std::fs::File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buf, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let source = start.checked_add(buf.len()).and_then(|end| self.get(start..end));
        buf.copy_from_slice(source.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

/// The content of a regular file: its length and digest are known, its bytes are read when they are asked for.
/// Cheap to clone. Two contents are equal when their digests are.
#[derive(Clone)]
pub struct Content {
    source: Arc<dyn ReadAt>,
    offset: u64,
    len: u64,
    digest: Digest,
}

impl Content {
    /// Content held in memory.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let (len, digest) = (bytes.len() as u64, Digest::of(&bytes));
        Self { source: Arc::new(bytes), offset: 0, len, digest }
    }

    /// Content of `len` bytes at `offset` of `source`, whose digest the caller knows.
    pub fn from_extent(source: Arc<dyn ReadAt>, offset: u64, len: u64, digest: Digest) -> Self {
        Self { source, offset, len, digest }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Fills `buf` from `offset` of this content.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_exact_at(buf, self.offset + offset)
    }

    /// All bytes, in memory of their own.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let len = usize::try_from(self.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// The bytes as text.
    pub fn to_text(&self) -> io::Result<String> {
        String::from_utf8(self.to_vec()?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// A reader over the bytes, from the first.
    pub fn reader(&self) -> ContentReader<'_> {
        ContentReader { content: self, position: 0 }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.len == other.len
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {})", self.len, self.digest)
    }
}

/// Reads a [`Content`] from front to back.
pub struct ContentReader<'a> {
    content: &'a Content,
    position: u64,
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.content.len - self.position).unwrap_or(usize::MAX);
        let count = buf.len().min(left);
        self.content.read_exact_at(&mut buf[..count], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_extent_reads_its_own_bytes_and_no_others() {
        let backing: Arc<dyn ReadAt> = Arc::new(b"..hello..".to_vec());
        let content = Content::from_extent(backing, 2, 5, Digest::of(b"hello"));
        assert_eq!(content.to_text().unwrap(), "hello");
        assert_eq!(content, Content::from_bytes(*b"hello"));
        assert!(content.read_exact_at(&mut [0; 3], 3).is_err());
        let mut read = Vec::new();
        content.reader().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"hello");
    }
}

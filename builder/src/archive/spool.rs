//! Contents that are too large for memory and have no file of their own: parts of one nameless temporary file.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use slipway_images::content::{Content, ReadAt};
use slipway_images::digest::DigestWriter;

const BUFFER: usize = 256 << 10;

/// A temporary file that contents are appended to. It goes when the last content does, and with a killed process.
pub struct Spool {
    file: Arc<File>,
    position: u64,
}

impl Spool {
    /// An empty one in `folder`.
    pub fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: Arc::new(tempfile::tempfile_in(folder)?), position: 0 })
    }

    /// All that `source` yields.
    pub fn copy(&mut self, source: &mut dyn Read) -> io::Result<Content> {
        self.write(|sink| io::copy(source, sink).map(drop))
    }

    /// All that `fill` writes.
    pub fn write<E: From<io::Error>>(
        &mut self,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<Content, E> {
        let offset = self.position;
        let end = End { file: Arc::clone(&self.file), position: offset };
        let mut sink = DigestWriter::new(BufWriter::with_capacity(BUFFER, end));
        fill(&mut sink)?;
        let (buffered, digest) = sink.finish();
        let end = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.position = end.position;
        let source: Arc<dyn ReadAt> = Arc::<File>::clone(&self.file);
        Ok(Content::from_extent(source, offset, self.position - offset, digest))
    }
}

struct End {
    file: Arc<File>,
    position: u64,
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(bytes, self.position)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn contents_keep_apart() {
        let mut spool = Spool::new(&std::env::temp_dir()).unwrap();
        let first = spool.copy(&mut &b"first"[..]).unwrap();
        let second = spool.write(|sink| sink.write_all(b"second")).unwrap();
        drop(spool);
        assert_eq!(first.to_text().unwrap(), "first");
        assert_eq!(second, Content::from_bytes(*b"second"));
        assert_eq!(second.to_text().unwrap(), "second");
    }
}

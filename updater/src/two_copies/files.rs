//! The two copies as files in a folder of the state partition.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{CopyName, CopyStore, MAX_BYTES};
use crate::replace;

/// `NAME-a` and `NAME-b` in a folder.
#[derive(Clone, Debug)]
pub struct CopyFiles {
    folder: PathBuf,
    name: &'static str,
}

impl CopyFiles {
    /// The files of this name in this folder, which is made when something is written.
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Self { folder: folder.to_owned(), name }
    }

    fn path(&self, copy: CopyName) -> PathBuf {
        self.folder.join(format!("{}-{copy}", self.name))
    }
}

impl CopyStore for CopyFiles {
    fn read(&self, copy: CopyName) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(copy)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn replace(&mut self, copy: CopyName, content: &[u8]) -> io::Result<()> {
        replace::durably(&self.path(copy), content)
    }
}

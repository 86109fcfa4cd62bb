//! The two copies as files in a folder of the state partition.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{CopyName, LedgerStore, MAX_BYTES};

/// `ledger-a` and `ledger-b` in a folder.
#[derive(Clone, Debug)]
pub struct LedgerFiles {
    folder: PathBuf,
}

impl LedgerFiles {
    /// The folder on a host.
    pub const FOLDER: &str = "var/lib/slipway";

    /// The files in this folder, which is made when something is written.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, copy: CopyName) -> PathBuf {
        self.folder.join(format!("ledger-{copy}"))
    }
}

impl LedgerStore for LedgerFiles {
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
        fs::create_dir_all(&self.folder)?;
        let (path, new) = (self.path(copy), self.folder.join(format!(".ledger-{copy}.new")));
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(new, path)?;
        // The name is in the folder, and lasts only when that is on the disk too.
        File::open(&self.folder)?.sync_all()
    }
}

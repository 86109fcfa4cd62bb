//! What is done to the folder of documents, one effect at a time, and the folder on a host.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Something to do in the folder. A power cut can come between any two, and what was not synced may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make a file with this content, or give it this content. Nothing of it is on the disk yet.
    Write {
        /// Its name.
        name: String,
        /// What is to be in it.
        content: Vec<u8>,
    },
    /// Bring a file's content onto the disk.
    Sync {
        /// Its name.
        name: String,
    },
    /// Give a file another name, in place of the file that has it.
    Rename {
        /// Its name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Remove a file.
    Remove {
        /// Its name.
        name: String,
    },
    /// Bring the names in the folder onto the disk.
    SyncFolder,
}

/// A folder of files.
pub trait Folder {
    /// The names in it; none if there is no such folder.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The content of a file; `None` if it isn't there. No more than `limit` bytes are read.
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;
    /// Does something.
    fn carry_out(&mut self, effect: &Effect) -> io::Result<()>;
}

/// A folder of a file system. It is made when something is written.
#[derive(Clone, Debug)]
pub struct HostFolder {
    path: PathBuf,
}

impl HostFolder {
    /// The folder at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder, and the names of those above it that didn't exist.
    fn make(&self) -> io::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.path)?;
        for above in self.path.ancestors().skip(1).take(2) {
            File::open(above)?.sync_all()?;
        }
        Ok(())
    }
}

impl Folder for HostFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn carry_out(&mut self, effect: &Effect) -> io::Result<()> {
        match effect {
            Effect::Write { name, content } => {
                self.make()?;
                File::create(self.path.join(name))?.write_all(content)
            }
            Effect::Sync { name } => File::open(self.path.join(name))?.sync_all(),
            Effect::Rename { from, to } => fs::rename(self.path.join(from), self.path.join(to)),
            Effect::Remove { name } => fs::remove_file(self.path.join(name)),
            Effect::SyncFolder => File::open(&self.path)?.sync_all(),
        }
    }
}

//! The output folder appears whole or not at all.
//!
//! A build writes into `out/.NAME.partial`, and that folder takes its final name by one rename. A build that is killed
//! leaves a hidden folder, which the next build of the same image removes; a lock keeps two builds of one image apart.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

/// An output folder that is being written.
pub struct OutputFolder {
    partial: PathBuf,
    place: PathBuf,
    published: bool,
    _lock: File,
}

/// A file or folder of the output can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't {what} `{path}`")]
pub struct OutputError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl OutputError {
    /// What could not be done, where, and why.
    pub fn new(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self { what, path: path.to_owned(), source }
    }
}

impl OutputFolder {
    /// Begins to write what will be `out/name`. Waits while another build does so; `waiting` hears of it.
    pub fn begin(out: &Path, name: &str, waiting: impl FnOnce()) -> Result<Self, OutputError> {
        fs::create_dir_all(out).map_err(|e| OutputError::new("make the output folder", out, e))?;
        let lock_path = out.join(format!(".{name}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|e| OutputError::new("write", &lock_path, e))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            waiting();
            flock(&lock, FlockOperation::LockExclusive).map_err(|e| OutputError::new("lock", &lock_path, e.into()))?;
        }
        let partial = out.join(format!(".{name}.partial"));
        remove(&partial)?;
        fs::create_dir(&partial).map_err(|e| OutputError::new("make", &partial, e))?;
        Ok(Self { partial, place: out.join(name), published: false, _lock: lock })
    }

    /// Where the file `name` is to be written.
    pub fn path(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    /// Opens the file `name` for writing and reading.
    pub fn create(&self, name: &str) -> Result<File, OutputError> {
        let path = self.path(name);
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| OutputError::new("create", &path, e))
    }

    /// Writes the file `name`.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        let path = self.path(name);
        fs::write(&path, bytes).map_err(|e| OutputError::new("write", &path, e))
    }

    /// Gives the folder its final name, in the place of an older one. Returns that name.
    pub fn publish(mut self) -> Result<PathBuf, OutputError> {
        let failed = |place: &Path, e: rustix::io::Errno| OutputError::new("publish", place, e.into());
        if self.place.exists() {
            match renameat_with(CWD, &self.partial, CWD, &self.place, RenameFlags::EXCHANGE) {
                Ok(()) => remove(&self.partial)?,
                // A file system without exchange: there is a moment with no build, never one with half a build.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    remove(&self.place)?;
                    fs::rename(&self.partial, &self.place).map_err(|e| OutputError::new("publish", &self.place, e))?;
                }
                Err(error) => return Err(failed(&self.place, error)),
            }
        } else {
            fs::rename(&self.partial, &self.place).map_err(|e| OutputError::new("publish", &self.place, e))?;
        }
        self.published = true;
        Ok(self.place.clone())
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what stays is hidden, and the next build removes it.
            let _ = remove(&self.partial);
        }
    }
}

fn remove(path: &Path) -> Result<(), OutputError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OutputError::new("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_new_build_takes_the_place_of_the_old_in_one_step() {
        let out = tempfile::tempdir().unwrap();
        for text in ["old", "new"] {
            let folder = OutputFolder::begin(out.path(), "x_1", || {}).unwrap();
            folder.write("a", text.as_bytes()).unwrap();
            folder.write(text, b"").unwrap();
            folder.publish().unwrap();
        }
        assert_eq!(fs::read_to_string(out.path().join("x_1/a")).unwrap(), "new");
        assert!(!out.path().join("x_1/old").exists());
        assert!(!out.path().join(".x_1.partial").exists());
    }

    #[test]
    fn a_build_that_fails_or_is_killed_leaves_the_old_one_as_it_was() {
        let out = tempfile::tempdir().unwrap();
        let folder = OutputFolder::begin(out.path(), "x_1", || {}).unwrap();
        folder.write("a", b"good").unwrap();
        folder.publish().unwrap();
        drop(OutputFolder::begin(out.path(), "x_1", || {}).unwrap());
        // Killed: no drop runs.
        let killed = out.path().join(".x_1.partial");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join("half"), b"ha").unwrap();
        let folder = OutputFolder::begin(out.path(), "x_1", || {}).unwrap();
        assert!(!folder.path("half").exists());
        assert_eq!(fs::read_to_string(out.path().join("x_1/a")).unwrap(), "good");
    }

    #[test]
    fn a_second_build_of_the_same_image_waits() {
        let out = tempfile::tempdir().unwrap();
        let first = OutputFolder::begin(out.path(), "x_1", || {}).unwrap();
        let (told, hears) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second =
                scope.spawn(|| OutputFolder::begin(out.path(), "x_1", move || told.send(()).unwrap()).map(drop));
            hears.recv().unwrap();
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
    }
}

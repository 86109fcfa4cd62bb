//! The folder of a release repository, and the only way to write into it.
//!
//! Whatever has a digest or a version in its name is written once: under a temporary name in `.slipway/`, made to last, then
//! renamed. Only `metadata/timestamp.json` is ever replaced, and it is what makes all else count. So a folder that is copied
//! or cut off halfway holds the release before, whole, and files that nothing refers to. A lock keeps two publishers apart.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use slipway_images::digest::{Digest, DigestWriter};
use slipway_images::release::{Part, part_path};
use tempfile::NamedTempFile;

use super::ReleaseError;

/// Work in progress, and the lock. Nothing of it belongs to a release.
const WORK: &str = ".slipway";

/// The folder of a repository, to be read.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
}

impl Repository {
    /// The repository in the folder `path`, which needn't be there yet.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where a part is.
    pub fn part(&self, part: &Part) -> PathBuf {
        self.file(&part_path(&part.sha256))
    }

    /// A file of at most `limit` bytes; `None` when it isn't there.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ReleaseError> {
        let path = self.file(name);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)) {
            Ok(_) if bytes.len() as u64 > limit => Err(ReleaseError::TooLong { path, limit }),
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReleaseError::Io { what: "read", path, source }),
        }
    }

    /// The names of the plain files in a folder of the repository, sorted; none when it isn't there.
    pub fn names(&self, folder: &str) -> Result<Vec<String>, ReleaseError> {
        self.entries(folder, FileType::is_file)
    }

    /// The folders below a folder of the repository, sorted; none when it isn't there.
    pub fn folders(&self, folder: &str) -> Result<Vec<String>, ReleaseError> {
        self.entries(folder, FileType::is_dir)
    }

    fn entries(&self, folder: &str, wanted: impl Fn(&FileType) -> bool) -> Result<Vec<String>, ReleaseError> {
        let path = self.file(folder);
        let failed = |source| ReleaseError::Io { what: "read", path: path.clone(), source };
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // A name that is no text is none of ours.
            if let (true, Ok(name)) = (wanted(&entry.file_type().map_err(failed)?), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes the folder and locks it against other publishers. Waits while another one has it; `waiting` hears of it.
    pub fn lock(self, waiting: impl FnOnce()) -> Result<LockedRepository, ReleaseError> {
        let work = self.file(WORK);
        let failed = |what, path: &Path, source| ReleaseError::Io { what, path: path.to_owned(), source };
        let made = make_folder(&self.path).and_then(|()| fs::create_dir_all(&work));
        made.map_err(|source| failed("made", &work, source))?;
        let path = work.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|source| failed("opened", &path, source))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            waiting();
            flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed("locked", &path, error.into()))?;
        }
        // What a publisher that was killed left behind.
        for name in self.names(WORK)?.iter().filter(|name| *name != "lock") {
            let path = work.join(name);
            fs::remove_file(&path).map_err(|source| failed("removed", &path, source))?;
        }
        Ok(LockedRepository { repository: self, written: Vec::new(), _lock: lock })
    }
}

/// A repository that this process alone writes to.
pub struct LockedRepository {
    repository: Repository,
    written: Vec<String>,
    _lock: File,
}

impl std::ops::Deref for LockedRepository {
    type Target = Repository;

    fn deref(&self) -> &Repository {
        &self.repository
    }
}

impl LockedRepository {
    /// The files that came to be, in that order, relative to the folder.
    pub fn into_written(self) -> Vec<String> {
        self.written
    }

    /// A nameless place for a large file that is needed for a while, on the same disk.
    pub fn scratch(&self) -> Result<File, ReleaseError> {
        let path = self.file(WORK);
        tempfile::tempfile_in(&path).map_err(|source| ReleaseError::Io { what: "written", path, source })
    }

    /// Starts a part. It gets its name when it is finished.
    pub fn begin_part(&self) -> Result<PartWriter, ReleaseError> {
        Ok(PartWriter { inner: DigestWriter::new(self.temporary()?), size: 0 })
    }

    /// Gives a part its name, unless it is there already.
    pub fn finish_part(&mut self, writer: PartWriter) -> Result<Part, ReleaseError> {
        let PartWriter { inner, size } = writer;
        let (file, sha256) = inner.finish();
        let part = Part { size, sha256 };
        if self.holds(&part)? {
            return Ok(part);
        }
        self.persist(file, &part_path(&sha256))?;
        Ok(part)
    }

    /// A part of these bytes.
    pub fn add_part(&mut self, bytes: &[u8]) -> Result<Part, ReleaseError> {
        let mut writer = self.begin_part()?;
        writer.write_all(bytes).map_err(|source| self.failed(source))?;
        self.finish_part(writer)
    }

    /// Writes a file whose name says what is in it. That it is there already is as good; that something else is, is an error.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), ReleaseError> {
        match self.read(name, bytes.len() as u64) {
            Ok(Some(found)) if found == bytes => return Ok(()),
            Ok(None) => {}
            Ok(Some(_)) | Err(ReleaseError::TooLong { .. }) => return Err(ReleaseError::Taken(self.file(name))),
            Err(error) => return Err(error),
        }
        self.write(name, bytes)
    }

    /// Writes a file in place of another one, whole or not at all.
    pub fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), ReleaseError> {
        self.write(name, bytes)
    }

    /// Removes a file; how many bytes it had.
    pub fn remove(&mut self, name: &str) -> Result<u64, ReleaseError> {
        let path = self.file(name);
        let removed = fs::metadata(&path).and_then(|found| fs::remove_file(&path).map(|()| found.len()));
        removed.map_err(|source| ReleaseError::Io { what: "removed", path, source })
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), ReleaseError> {
        let mut file = self.temporary()?;
        file.write_all(bytes).map_err(|source| self.failed(source))?;
        self.persist(file, name)
    }

    fn temporary(&self) -> Result<NamedTempFile, ReleaseError> {
        let path = self.file(WORK);
        NamedTempFile::new_in(&path).map_err(|source| ReleaseError::Io { what: "written", path, source })
    }

    fn persist(&mut self, file: NamedTempFile, name: &str) -> Result<(), ReleaseError> {
        let path = self.file(name);
        let failed = |source| ReleaseError::Io { what: "written", path: path.clone(), source };
        let folder = path.parent().unwrap_or(&path).to_owned();
        if !folder.is_dir() {
            make_folder(&folder).map_err(failed)?;
            // The folder's own name must last, too.
            folder.parent().map_or(Ok(()), sync_folder).map_err(failed)?;
        }
        make_readable(file.as_file()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        sync_folder(&folder).map_err(failed)?;
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Whether a part is there. One that is there and damaged is an error: it is never overwritten.
    pub(super) fn holds(&self, part: &Part) -> Result<bool, ReleaseError> {
        let path = self.part(part);
        let found = match File::open(&path).and_then(|mut file| Digest::of_reader(&mut file)) {
            Ok((sha256, size)) => Part { size, sha256 },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(ReleaseError::Io { what: "read", path, source }),
        };
        if found == *part { Ok(true) } else { Err(ReleaseError::Damaged { path, what: "part" }) }
    }

    fn failed(&self, source: io::Error) -> ReleaseError {
        ReleaseError::Io { what: "written", path: self.file(WORK), source }
    }
}

/// A part that is being written.
pub struct PartWriter {
    inner: DigestWriter<NamedTempFile>,
    size: u64,
}

impl PartWriter {
    /// What was written so far.
    pub fn part(&self) -> Part {
        Part { size: self.size, sha256: self.inner.digest() }
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Lets whatever serves the file read it, whatever the umask is here.
pub(super) fn make_readable(file: &File) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

/// Makes a folder, and those above that aren't there, for whatever serves them.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), make_folder)?;
    match fs::create_dir(path) {
        // Another publisher was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755))),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

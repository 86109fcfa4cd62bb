//! A folder of trusted metadata: one file per role, as it was received, and an index that says which.
//!
//! The folder lies on a disk that loses power. Expected, and what stops each: a torn or half-made file (each is written under
//! another name and synced before it counts), changes that belong together and are cut apart (the index is replaced in one
//! rename, and it alone says what counts; a file that it names and that still has its other name is put in place when the
//! folder is opened), a file that is emptied, replaced by an older one or removed (the index has its digest: an error), an
//! index that is emptied or removed (an error), two processes at once (a lock).
//!
//! ```text
//! index           slipway-trust 1
//!                 root.json 5413 4f2a…        name, length, SHA-256, one line each
//!                 timestamp.json 512 9b01…
//!                 end 77c0…                   SHA-256 of all lines above
//! root.json       as received
//! root.json.new   of a change that was cut short
//! lock            empty
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Change, Store, StoreError};
use crate::tuf::name::RoleName;

/// A folder that keeps trusted metadata.
#[derive(Debug)]
pub struct DirStore {
    folder: PathBuf,
    index: Index,
    /// Held as long as the store is open.
    _lock: Lock,
}

/// What counts, by role.
type Index = BTreeMap<RoleName, Entry>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    len: u64,
    digest: [u8; 32],
}

impl Entry {
    fn of(bytes: &[u8]) -> Self {
        Self { len: bytes.len() as u64, digest: Sha256::digest(bytes).into() }
    }
}

/// No index of a thousand roles is as long.
const MAX_INDEX: u64 = 1 << 20;
const FIRST_LINE: &str = "slipway-trust 1\n";

impl DirStore {
    /// Makes a store in `folder`, which is made when it isn't there, with this root as the first thing that is kept. Refuses a
    /// folder that holds any metadata already, also without an index: that would be a fresh start.
    pub fn create(folder: &Path, root: &[u8]) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(io_error(folder, "made"))?;
        let lock = lock(folder)?;
        let entries = fs::read_dir(folder).map_err(io_error(folder, "read"))?;
        for entry in entries {
            let name = entry.map_err(io_error(folder, "read"))?.file_name();
            let name = name.to_string_lossy();
            // An unfinished first commit leaves a new root and a new index, neither of which ever counted.
            let ours = name == INDEX || RoleName::of_file_name(&name).is_some();
            if ours {
                return Err(StoreError::Exists(folder.to_owned()));
            }
        }
        let mut store = Self { folder: folder.to_owned(), index: Index::new(), _lock: lock };
        store.commit(&[Change::keep(RoleName::root(), root)])?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(store)
    }

    /// Opens the store in `folder`, finishes a change that was cut short, and checks every file.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        if !folder.is_dir() {
            return Err(StoreError::NotThere(folder.to_owned()));
        }
        let lock = lock(folder)?;
        let path = folder.join(INDEX);
        let bytes = match read_file(&path, MAX_INDEX) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(Self::without_index(folder)?);
            }
            read => read?,
        };
        let index = read_index(&bytes).map_err(|why| StoreError::Damaged { path, why })?;
        let store = Self { folder: folder.to_owned(), index, _lock: lock };
        store.settle()?;
        for role in store.index.keys() {
            store.read(role)?;
        }
        Ok(store)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn without_index(folder: &Path) -> Result<StoreError, StoreError> {
        for entry in fs::read_dir(folder).map_err(io_error(folder, "read"))? {
            let name = entry.map_err(io_error(folder, "read"))?.file_name();
            if RoleName::of_file_name(&name.to_string_lossy()).is_some() {
                return Ok(StoreError::Damaged { path: folder.join(INDEX), why: "it is missing" });
            }
        }
        Ok(StoreError::NotThere(folder.to_owned()))
    }

    /// Puts what the index names in place, and removes what it doesn't.
    fn settle(&self) -> Result<(), StoreError> {
        let mut moved = false;
        for (role, entry) in &self.index {
            let (path, new) = (self.path(role), self.new_path(role));
            if !new.exists() {
                continue;
            }
            if holds(&new, entry)? && !holds(&path, entry)? {
                fs::rename(&new, &path).map_err(io_error(&new, "put in place"))?;
            } else {
                fs::remove_file(&new).map_err(io_error(&new, "removed"))?;
            }
            moved = true;
        }
        for item in fs::read_dir(&self.folder).map_err(io_error(&self.folder, "read"))? {
            let name = item.map_err(io_error(&self.folder, "read"))?.file_name();
            let name = name.to_string_lossy();
            let role = RoleName::of_file_name(name.strip_suffix(NEW).unwrap_or(&name));
            if role.is_some_and(|role| !self.index.contains_key(&role)) {
                let path = self.folder.join(&*name);
                fs::remove_file(&path).map_err(io_error(&path, "removed"))?;
                moved = true;
            }
        }
        if moved { sync_folder(&self.folder) } else { Ok(()) }
    }

    fn path(&self, role: &RoleName) -> PathBuf {
        self.folder.join(role.file_name())
    }

    fn new_path(&self, role: &RoleName) -> PathBuf {
        self.folder.join(role.file_name() + NEW)
    }
}

impl Store for DirStore {
    fn read(&self, role: &RoleName) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(entry) = self.index.get(role) else { return Ok(None) };
        let path = self.path(role);
        let bytes = match read_file(&path, entry.len) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Damaged { path, why: "it is missing" });
            }
            read => read?,
        };
        if Entry::of(&bytes) != *entry {
            return Err(StoreError::Damaged { path, why: "it is not what was kept" });
        }
        Ok(Some(bytes))
    }

    fn roles(&self) -> Result<Vec<RoleName>, StoreError> {
        Ok(self.index.keys().cloned().collect())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut index = self.index.clone();
        for Change { role, bytes } in changes {
            match bytes {
                Some(bytes) => {
                    write_synced(&self.new_path(role), bytes)?;
                    index.insert(role.clone(), Entry::of(bytes));
                }
                None => {
                    index.remove(role);
                }
            }
        }
        // The new files' names must last before an index that counts on them.
        sync_folder(&self.folder)?;
        let (path, new) = (self.folder.join(INDEX), self.folder.join(format!("{INDEX}{NEW}")));
        write_synced(&new, write_index(&index).as_bytes())?;
        fs::rename(&new, &path).map_err(io_error(&new, "put in place"))?;
        sync_folder(&self.folder)?;
        self.index = index;
        self.settle()
    }
}

const INDEX: &str = "index";
const NEW: &str = ".new";

/// Given back in so many words: a program that this process starts holds a copy of the open file until it runs, and closing ours alone
/// would leave the lock to it.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it is what is left.
        let _ = self.0.unlock();
    }
}

fn lock(folder: &Path) -> Result<Lock, StoreError> {
    let path = folder.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error(&path, "opened"))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path, what: "locked", source }),
    }
}

fn write_index(index: &Index) -> String {
    let line = |(role, entry): (&RoleName, &Entry)| {
        format!("{} {} {}\n", role.file_name(), entry.len, hex::encode(entry.digest))
    };
    let text: String = [FIRST_LINE.to_owned()].into_iter().chain(index.iter().map(line)).collect();
    let sum = hex::encode(Sha256::digest(&text));
    text + &format!("end {sum}\n")
}

fn read_index(bytes: &[u8]) -> Result<Index, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "it is no text")?;
    let body = text.strip_suffix('\n').and_then(|text| text.rfind('\n')).map(|end| text.split_at(end + 1));
    let (body, last) = body.ok_or("it is cut off")?;
    if last.strip_prefix("end ").map(str::trim_end) != Some(&hex::encode(Sha256::digest(body))) {
        return Err("its checksum is wrong");
    }
    let lines = body.strip_prefix(FIRST_LINE).ok_or("it is of another version")?.lines();
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let role = RoleName::of_file_name(words.next()?)?;
        let len = words.next()?.parse().ok()?;
        let digest = hex::decode(words.next()?).ok()?.try_into().ok()?;
        words.next().is_none().then_some((role, Entry { len, digest }))
    };
    lines.map(|line| entry(line).ok_or("a line of it can't be read")).collect()
}

/// Whether the file is there with the content that is expected.
fn holds(path: &Path, entry: &Entry) -> Result<bool, StoreError> {
    match read_file(path, entry.len) {
        Ok(bytes) => Ok(Entry::of(&bytes) == *entry),
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a file, and one byte more than `limit` of a longer one.
fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(io_error(path, "read"))?;
    Ok(bytes)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(io_error(path, "written"))
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder, "synced"))
}

fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, what, source }
}

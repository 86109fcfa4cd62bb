//! The folder that keeps what was fetched: `blobs/sha256/ab/abcd…`, and partial files beside them.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use slipway_images::digest::Digest;

use super::FetchError;
use crate::disuse::mark_used;

/// A cache addressed by SHA-256. Any number of processes may use one at the same time.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Partial files that nobody touched for so long are given up.
const PARTIAL_AGE: Duration = Duration::from_hours(7 * 24);

impl Cache {
    /// The user's cache: `$SLIPWAY_CACHE`, `$XDG_CACHE_HOME/slipway` or `~/.cache/slipway`.
    pub fn of_user() -> Result<Self, FetchError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = set("SLIPWAY_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("slipway")))
            .or_else(|| set("HOME").map(|path| path.join(".cache/slipway")));
        Self::open(&path.ok_or(FetchError::NoPlace)?)
    }

    /// The cache in the folder `root`, which is made when it isn't there.
    pub fn open(root: &Path) -> Result<Self, FetchError> {
        let cache = Self { root: root.to_owned() };
        for folder in [cache.root.join("blobs/sha256"), cache.partial_folder()] {
            fs::create_dir_all(&folder).map_err(|source| FetchError::Cache { path: folder, what: "made", source })?;
        }
        cache.drop_old_partials();
        Ok(cache)
    }

    /// The folder of the cache. Other caches that can be made again may lie in folders of their own below it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob with this digest lies, if it does.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        self.root.join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    /// The blob with this digest, if it is there. It was checked when it came in; [`Cache::verify`] checks again.
    pub fn get(&self, digest: &Digest) -> Option<PathBuf> {
        self.get_sized(digest, None)
    }

    /// Like [`Cache::get`]; a blob that hasn't the given length in bytes is dropped and counts as missing.
    pub fn get_sized(&self, digest: &Digest, size: Option<u64>) -> Option<PathBuf> {
        let path = self.path_of(digest);
        let found = fs::metadata(&path).ok()?.len();
        // Of a machine that lost power, empty files are the likely damage.
        let wrong = size.map_or(found == 0 && *digest != Digest::of(b""), |size| size != found);
        if wrong {
            let _ = fs::remove_file(&path);
            return None;
        }
        mark_used(&path);
        Some(path)
    }

    /// Reads the blob and compares its digest; drops it when it is another's. `false` when it is not there, or was wrong.
    pub fn verify(&self, digest: &Digest) -> Result<bool, FetchError> {
        let path = self.path_of(digest);
        let found = match File::open(&path).and_then(|mut file| Digest::of_reader(&mut file)) {
            Ok((found, _)) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(FetchError::Cache { path, what: "read", source }),
        };
        if found != *digest {
            self.remove(digest)?;
        }
        Ok(found == *digest)
    }

    /// The bytes of a blob whose digest is checked while it is read; a wrong one is dropped and counts as missing, as
    /// does one of more than `limit` bytes.
    pub fn read_checked(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let path = self.path_of(digest);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
            Ok(_) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
            Ok(_) => self.remove(digest).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FetchError::Cache { path, what: "read", source }),
        }
    }

    /// Drops a blob, if it is there.
    pub fn remove(&self, digest: &Digest) -> Result<(), FetchError> {
        let path = self.path_of(digest);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FetchError::Cache { path, what: "written", source })
            }
            _ => Ok(()),
        }
    }

    /// Adds bytes that are at hand, and gives their digest.
    pub fn insert(&self, bytes: &[u8]) -> Result<Digest, FetchError> {
        let digest = Digest::of(bytes);
        if self.get_sized(&digest, Some(bytes.len() as u64)).is_some() {
            return Ok(digest);
        }
        let folder = self.partial_folder();
        let failed = |source: io::Error| FetchError::Cache { path: folder.clone(), what: "written", source };
        let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_data()).map_err(failed)?;
        let (_, path) = file.keep().map_err(|error| failed(error.error))?;
        self.adopt(&path, &digest)?;
        Ok(digest)
    }

    /// Gives a complete and checked partial file its name.
    pub(super) fn adopt(&self, partial: &Path, digest: &Digest) -> Result<(), FetchError> {
        let path = self.path_of(digest);
        let folder = path.parent().unwrap_or(&self.root);
        let renamed = fs::create_dir_all(folder).and_then(|()| fs::rename(partial, &path));
        renamed.map_err(|source| FetchError::Cache { path, what: "written", source })
    }

    pub(super) fn partial_folder(&self) -> PathBuf {
        self.root.join("partial")
    }

    fn drop_old_partials(&self) {
        let Ok(entries) = fs::read_dir(self.partial_folder()) else { return };
        for entry in entries.flatten() {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
            if age.is_some_and(|age| age > PARTIAL_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

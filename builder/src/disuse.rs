//! What in the cache nobody uses any more.
//!
//! Everything there can be fetched or made again, so only space is at stake. A file's time of change says when a build
//! last used it: access times are off on many file systems, and everything in the cache is replaced, never changed. The
//! mark is moved once a day at most, so that a build with a full cache writes nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

/// The folders of the cache whose files count. Partial downloads age by rules of their own.
const FOLDERS: [&str; 3] = ["blobs", "unpacked", "initrd"];
/// How exact the mark is.
const GRAIN: Duration = Duration::from_hours(24);
/// `unpacked/v1/FILE` and `blobs/sha256/ab/FILE`: nothing lies deeper.
const MAX_DEPTH: usize = 4;

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Bytes that they had.
    pub bytes: u64,
}

/// Notes that the cache's file at `path` was used. A cache that can't be written to is used all the same, and what can't
/// be marked is fetched again some day.
pub fn mark_used(path: &Path) {
    let is_due = || Some(age(&fs::metadata(path).ok()?)? >= GRAIN);
    if is_due() == Some(true)
        && let Ok(file) = File::open(path)
    {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Removes every file of the cache at `cache` that was not used for `unused_for`, to within a day.
pub fn sweep(cache: &Path, unused_for: Duration) -> io::Result<Swept> {
    let mut swept = Swept::default();
    for folder in FOLDERS {
        sweep_folder(&cache.join(folder), unused_for.max(GRAIN), MAX_DEPTH, &mut swept)?;
    }
    Ok(swept)
}

fn sweep_folder(folder: &Path, unused_for: Duration, depth: usize, swept: &mut Swept) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && depth > 0 {
            sweep_folder(&path, unused_for, depth - 1, swept)?;
        } else if kind.is_file() {
            // Another build may replace or remove it at this moment.
            let Ok(metadata) = entry.metadata() else { continue };
            if age(&metadata).is_some_and(|age| age >= unused_for) && fs::remove_file(&path).is_ok() {
                swept.files += 1;
                swept.bytes += metadata.len();
            }
        }
    }
    Ok(())
}

/// `None` for a file from the future: a clock was wrong, and nothing is known.
fn age(metadata: &fs::Metadata) -> Option<Duration> {
    SystemTime::now().duration_since(metadata.modified().ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn put(path: &Path, age: Duration) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"12345").unwrap();
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn what_was_used_lately_stays_and_the_rest_goes() {
        let cache = tempfile::tempdir().unwrap();
        let at = |name: &str| cache.path().join(name);
        let old = ["blobs/sha256/ab/old", "unpacked/v1/old", "initrd/old"];
        let kept = ["blobs/sha256/ab/used", "blobs/sha256/cd/new", "elsewhere/old", "partial/old"];
        for name in old.into_iter().chain(kept) {
            put(&at(name), if name.ends_with("new") { DAY * 2 } else { DAY * 40 });
        }
        mark_used(&at("blobs/sha256/ab/used"));
        assert_eq!(sweep(cache.path(), DAY * 30).unwrap(), Swept { files: 3, bytes: 15 });
        assert!(old.iter().all(|name| !at(name).exists()));
        assert!(kept.iter().all(|name| at(name).exists()));
    }

    #[test]
    fn the_mark_is_moved_once_a_day_and_a_missing_cache_has_nothing_to_sweep() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("blobs/x");
        put(&path, DAY / 2);
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        mark_used(&path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        // Never what a build may be reading now, whatever the number of days.
        assert_eq!(sweep(cache.path(), Duration::ZERO).unwrap(), Swept::default());
        assert_eq!(sweep(&cache.path().join("none"), DAY).unwrap(), Swept::default());
    }
}

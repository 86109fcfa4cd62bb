//! Which inputs a build had, so that a build with the same ones has nothing to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use slipway_images::digest::Digest;

/// The name of the record in an output folder.
pub const RECORD: &str = "build.json";

/// A digest over every input of a build, in named lines.
#[derive(Clone, Debug, Default)]
pub struct KeyBuilder(String);

impl KeyBuilder {
    /// Adds one input.
    pub fn add(&mut self, name: &str, digest: Digest) -> &mut Self {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "{digest} {name:?}");
        self
    }

    /// The key.
    pub fn finish(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

/// What an output folder says of itself: the key of its build, and size and time of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    key: Digest,
    files: BTreeMap<String, Stamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self { size: meta.len(), seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() })
    }
}

impl Record {
    /// Records `names` in `folder` as the outputs of a build with this key.
    pub fn of(key: Digest, folder: &Path, names: &[&str]) -> std::io::Result<Self> {
        let files = names
            .iter()
            .map(|name| Ok(((*name).to_owned(), Stamp::of(&folder.join(name))?)))
            .collect::<std::io::Result<_>>()?;
        Ok(Self { key, files })
    }

    /// Whether `folder` holds what a build with this key gives: recorded so, and no file touched since.
    pub fn is_current(folder: &Path, key: Digest) -> bool {
        let Ok(bytes) = fs::read(folder.join(RECORD)) else { return false };
        let Ok(record) = serde_json::from_slice::<Self>(&bytes) else { return false };
        record.key == key
            && record.files.iter().all(|(name, stamp)| Stamp::of(&folder.join(name)).is_ok_and(|found| found == *stamp))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_is_current_until_an_input_or_an_output_changes() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyBuilder::default().add("recipe", Digest::of(b"r")).finish();
        assert!(!Record::is_current(folder.path(), key), "nothing was built");
        fs::write(folder.path().join("disk.raw"), b"disk").unwrap();
        let record = Record::of(key, folder.path(), &["disk.raw"]).unwrap();
        fs::write(folder.path().join(RECORD), serde_json::to_vec(&record).unwrap()).unwrap();
        assert!(Record::is_current(folder.path(), key));
        let other = KeyBuilder::default().add("recipe", Digest::of(b"other")).finish();
        assert!(!Record::is_current(folder.path(), other));
        fs::write(folder.path().join("disk.raw"), b"longer disk").unwrap();
        assert!(!Record::is_current(folder.path(), key));
    }
}

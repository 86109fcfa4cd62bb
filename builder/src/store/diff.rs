//! What changed between two trees of the store.

use std::collections::BTreeMap;

use ostree::gio::{File, FileQueryInfoFlags, FileType};
use ostree::prelude::*;
use ostree::{RepoFile, glib};

use super::{NO_CANCEL, Store, StoreError};

/// The differences between two trees: packages, then paths, each sorted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TreeDiff {
    /// Package name, and its version before and after.
    pub packages: Vec<Changed<String>>,
    /// Path, and its size before and after.
    pub files: Vec<Changed<u64>>,
}

/// One thing that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Changed<T> {
    /// A package's name or a path.
    pub name: String,
    /// What became of it.
    pub change: Change<T>,
}

/// What became of something.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change<T> {
    /// New.
    Added(T),
    /// Gone.
    Removed(T),
    /// On both sides, not the same.
    Changed(T, T),
}

impl Store {
    /// What changed from `old` to `new`, both named as [`Store::resolve`] reads them.
    pub fn diff(&self, old: &str, new: &str) -> Result<TreeDiff, StoreError> {
        let (old, new) = (self.resolve(old)?, self.resolve(new)?);
        let packages = compare(&self.packages(&old)?, &self.packages(&new)?, Clone::clone);
        let files = compare(&self.paths(&old)?, &self.paths(&new)?, |entry| entry.size);
        Ok(TreeDiff { packages, files })
    }

    fn packages(&self, commit: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let lines = self.dict(commit)?.lookup::<Vec<String>>("slipway.packages").ok().flatten().unwrap_or_default();
        Ok(lines
            .iter()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .collect())
    }

    fn paths(&self, commit: &str) -> Result<BTreeMap<String, PathEntry>, StoreError> {
        let (root, _) = self.repo.read_commit(commit, NO_CANCEL).map_err(self.failed("read commit"))?;
        let mut paths = BTreeMap::new();
        walk(&root, "", &mut paths).map_err(self.failed(format!("walk {commit}")))?;
        Ok(paths)
    }
}

#[derive(PartialEq, Eq)]
struct PathEntry {
    identity: String,
    size: u64,
}

fn walk(folder: &File, path: &str, paths: &mut BTreeMap<String, PathEntry>) -> Result<(), glib::Error> {
    let attributes = "standard::name,standard::type,standard::size,unix::mode,unix::uid,unix::gid";
    let children = folder.enumerate_children(attributes, FileQueryInfoFlags::NOFOLLOW_SYMLINKS, NO_CANCEL)?;
    while let Some(info) = children.next_file(NO_CANCEL)? {
        let child = children.child(&info);
        let name = format!("{path}/{}", info.name().display());
        let owner = format!(
            "{}:{}:{:o}",
            info.attribute_uint32("unix::uid"),
            info.attribute_uint32("unix::gid"),
            info.attribute_uint32("unix::mode")
        );
        if info.file_type() == FileType::Directory {
            paths.insert(name.clone(), PathEntry { identity: owner, size: 0 });
            walk(&child, &name, paths)?;
        } else if let Some(file) = child.downcast_ref::<RepoFile>() {
            file.ensure_resolved()?;
            let size = u64::try_from(info.size()).unwrap_or(0);
            paths.insert(name, PathEntry { identity: file.checksum().to_string(), size });
        }
    }
    Ok(())
}

fn compare<V: PartialEq, T>(
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
    show: impl Fn(&V) -> T,
) -> Vec<Changed<T>> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            let change = match (old.get(name), new.get(name)) {
                (None, Some(new)) => Change::Added(show(new)),
                (Some(old), None) => Change::Removed(show(old)),
                (Some(old), Some(new)) if old != new => Change::Changed(show(old), show(new)),
                _ => return None,
            };
            Some(Changed { name: name.clone(), change })
        })
        .collect()
}

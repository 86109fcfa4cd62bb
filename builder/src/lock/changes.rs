//! What differs between two locks, package by package.

use std::collections::BTreeMap;
use std::fmt;

use super::{Lock, LockedPackage, Role};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A package came.
    Added {
        /// Name.
        name: String,
        /// Its version.
        version: String,
    },
    /// A package went.
    Removed {
        /// Name.
        name: String,
        /// Its version.
        version: String,
    },
    /// A package is there in another version.
    Version {
        /// Name.
        name: String,
        /// As it was.
        from: String,
        /// As it is.
        to: String,
    },
    /// A package of the same version has another content.
    Content {
        /// Name.
        name: String,
        /// Its version.
        version: String,
    },
}

/// All differences, sorted by package name.
pub fn changes(old: &Lock, new: &Lock) -> Vec<Change> {
    let by_name = |lock: &Lock| -> BTreeMap<(String, Role), LockedPackage> {
        let packages = lock.packages.iter().cloned();
        packages.map(|package| ((package.name.clone(), package.role), package)).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let change = |key: &(String, Role)| {
        let name = key.0.clone();
        match (old.get(key), new.get(key)) {
            (None, Some(new)) => Some(Change::Added { name, version: new.version.clone() }),
            (Some(old), None) => Some(Change::Removed { name, version: old.version.clone() }),
            (Some(old), Some(new)) if old.version != new.version => {
                Some(Change::Version { name, from: old.version.clone(), to: new.version.clone() })
            }
            (Some(old), Some(new)) if old.sha256 != new.sha256 => {
                Some(Change::Content { name, version: new.version.clone() })
            }
            _ => None,
        }
    };
    keys.into_iter().filter_map(change).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { name, version } => write!(f, "added    {name} {version}"),
            Self::Removed { name, version } => write!(f, "removed  {name} {version}"),
            Self::Version { name, from, to } => write!(f, "changed  {name} {from} → {to}"),
            Self::Content { name, version } => write!(f, "rebuilt  {name} {version}"),
        }
    }
}

//! Where trusted metadata is kept.

mod dir;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::name::RoleName;

pub use dir::DirStore;

/// Keeps the metadata of roles, byte for byte. Several changes happen together or not at all, also when power is cut.
pub trait Store {
    /// The metadata of a role; `None` only when it was never kept, or dropped. Damage is an error.
    fn read(&self, role: &RoleName) -> Result<Option<Vec<u8>>, StoreError>;

    /// The roles whose metadata is kept.
    fn roles(&self) -> Result<Vec<RoleName>, StoreError>;

    /// Makes all changes, durably, or none.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The role.
    pub role: RoleName,
    /// Its metadata from now on; none when it is dropped.
    pub bytes: Option<Vec<u8>>,
}

impl Change {
    /// Keeps these bytes for the role from now on.
    pub fn keep(role: RoleName, bytes: &[u8]) -> Self {
        Self { role, bytes: Some(bytes.to_vec()) }
    }

    /// Keeps nothing for the role from now on.
    pub const fn drop(role: RoleName) -> Self {
        Self { role, bytes: None }
    }
}

/// Trusted metadata can't be read or kept.
#[derive(Debug, Error)]
pub enum StoreError {
    /// An input or output error.
    #[error("{} could not be {what}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done to it, as in "could not be read".
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file isn't what was kept.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no store there.
    #[error("{} holds no trusted metadata", .0.display())]
    NotThere(PathBuf),
    /// There is a store already.
    #[error("{} holds trusted metadata already", .0.display())]
    Exists(PathBuf),
    /// Another process uses it.
    #[error("{} is in use by another process", .0.display())]
    Busy(PathBuf),
}

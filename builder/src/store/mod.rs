//! The store of built trees: an OSTree repository (`bare-user`), written without root through libostree.
//!
//! Every build commits its tree. Commits of trees have no parent and the image's epoch as time, so that the same tree
//! gives the same commit anywhere; `image/ID/VERSION` names them. `history/ID` is a chain of commits over the same
//! trees, with parents and the time of the build, for `slipway log` and `ostree log`.

mod diff;
mod history;
mod seal;

use std::path::{Path, PathBuf};

use ostree::gio::Cancellable;
use ostree::{Repo, RepoMode, glib};

pub use diff::{Change, Changed, TreeDiff};
pub use history::{Entry, Pruned};
pub use seal::{SealedTree, StagedTree};

const NO_CANCEL: Option<&Cancellable> = None;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// libostree said no.
    #[error("store `{path}`: {what}")]
    Ostree {
        /// The repository.
        path: PathBuf,
        /// What was being done.
        what: String,
        /// libostree's own words.
        source: glib::Error,
    },
    /// A file could not be read or written.
    #[error("can't use `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Nothing in the store has that name.
    #[error("nothing in the store is called `{0}`; `slipway log` lists what is there")]
    Unknown(String),
    /// A version that several images have.
    #[error("`{name}` is a version of several images: write {}", of.join(" or "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What it may mean, `ID@VERSION` or a commit.
        of: Vec<String>,
    },
    /// There is no store yet.
    #[error("there is no store `{0}`: nothing was built into that folder (`--out` names another one)")]
    None(PathBuf),
    /// A commit lacks what Slipway writes into each.
    #[error("commit {commit} in the store: {what}")]
    Foreign {
        /// The commit.
        commit: String,
        /// What is missing.
        what: String,
    },
}

/// An open store.
pub struct Store {
    repo: Repo,
    path: PathBuf,
}

impl Store {
    /// Opens the repository at `path`, or makes one there.
    pub fn open_or_create(path: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), source };
        let repo = Repo::new_for_path(path);
        let store = Self { repo, path: path.to_owned() };
        if path.join("config").exists() {
            store.repo.open(NO_CANCEL).map_err(store.failed("open"))?;
        } else {
            std::fs::create_dir_all(path).map_err(io)?;
            store.repo.create(RepoMode::BareUser, NO_CANCEL).map_err(store.failed("create"))?;
        }
        // The store is a cache of what recipes and locks can make again: it need not survive a power cut whole.
        store.repo.set_disable_fsync(true);
        Ok(store)
    }

    /// Opens the repository at `path`; there must be one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if path.join("config").exists() { Self::open_or_create(path) } else { Err(StoreError::None(path.to_owned())) }
    }

    /// The ref of a version. OSTree's names have no `~` and `^`, versions have no `_`.
    fn image_ref(id: &str, version: &str) -> String {
        format!("image/{id}/{}", version.replace('~', "_t").replace('^', "_c"))
    }

    fn failed(&self, what: impl Into<String>) -> impl FnOnce(glib::Error) -> StoreError {
        let (path, what) = (self.path.clone(), what.into());
        move |source| StoreError::Ostree { path, what, source }
    }
}

#[cfg(test)]
mod tests;

//! `RECIPE.lock`: every input of a build by digest, and the numeric ids of its accounts.

mod broken;
mod changes;
mod file;
mod local;
mod make;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slipway_images::digest::Digest;

pub use self::changes::{Change, changes};
pub use self::file::path_of;
pub use self::local::LocalPackageError;
pub use self::make::{Accounts, AssignAccounts, Sources, Update, make, request_digest};
use crate::apt::{LOCAL, Mirrors, RepositoryError};
use crate::fetch::Wanted;
use crate::recipe::Problem;
use crate::solve::SolveError;

/// A lock file. Serialised as TOML, sorted, one package a table, no host names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// Format of this file.
    pub lock_version: u32,
    /// Digest of the parts of the recipe that decide what is locked ([`crate::recipe::Recipe`] packages, suites, …).
    pub request: Digest,
    /// Seconds since 1970: the newest `Date` of the release files that were read. The image's one epoch.
    pub epoch: u64,
    /// Numeric ids by user name, pinned because `/var` outlives the image.
    pub users: BTreeMap<String, u32>,
    /// Numeric ids by group name.
    pub groups: BTreeMap<String, u32>,
    /// The packages, sorted by name.
    #[serde(rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// What a locked package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Unpacked into the root.
    Root,
    /// Brings boot loader and stub; not in the root.
    Boot,
    /// The content of a container; not in the root.
    Container,
}

/// One package, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedPackage {
    /// Package name.
    pub name: String,
    /// Debian version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Source package name.
    pub source: String,
    /// What it is for.
    pub role: Role,
    /// `debian`, `debian-security`, the name of a `[[repository]]`, or `local`.
    pub repository: String,
    /// Path below the repository's base (`pool/main/…`), or the path of a local file relative to the recipe.
    pub path: String,
    /// Size of the `.deb` in bytes.
    pub size: u64,
    /// SHA-256 of the `.deb`.
    pub sha256: Digest,
}

/// Why there is no usable lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The recipe was never locked.
    #[error("there is no lock {path}: run `slipway lock {recipe}`")]
    Missing {
        /// Where it would be.
        path: PathBuf,
        /// The recipe.
        recipe: PathBuf,
    },
    /// The recipe asks for other packages than it did.
    #[error("{path} does not match the recipe ({what}): run `slipway lock {recipe}`")]
    Mismatch {
        /// The lock.
        path: PathBuf,
        /// What differs, as far as it can be told.
        what: String,
        /// The recipe.
        recipe: PathBuf,
    },
    /// The file is no lock.
    #[error("broken lock: {problem}")]
    Broken {
        /// The lock.
        path: PathBuf,
        /// What is wrong, where, and what to do.
        problem: Box<Problem>,
    },
    /// The lock can't be written as TOML.
    #[error("the lock can't be put into words")]
    Text(#[source] toml::ser::Error),
    /// The file can't be read or written.
    #[error("{path} can't be {what}")]
    File {
        /// The lock.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The offer of an archive is not known.
    #[error(transparent)]
    Archive(#[from] RepositoryError),
    /// There is no set of packages.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A local package can't be used.
    #[error(transparent)]
    Local(#[from] LocalPackageError),
    /// A package that is to be updated is not in the lock.
    #[error("`{0}` can't be updated: it is not in the lock")]
    NotLocked(String),
    /// The ids of accounts can't be assigned.
    #[error("the ids of users and groups can't be assigned")]
    Accounts(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Lock {
    /// What this crate writes as `lock-version`.
    pub const VERSION: u32 = 1;

    /// What to fetch for this lock, in the order of its packages. Local files are looked for beside the recipe, in
    /// `recipe_folder`.
    pub fn wanted(&self, mirrors: &Mirrors, recipe_folder: &std::path::Path) -> Result<Vec<Wanted>, RepositoryError> {
        let wanted = self.packages.iter().map(|package| {
            let url = if package.repository == LOCAL {
                local::file_url(&recipe_folder.join(&package.path))
            } else {
                mirrors.url(&package.repository, &package.path)?
            };
            let label = format!("{} {}", package.name, package.version);
            Ok(Wanted { urls: vec![url], digest: package.sha256, size: Some(package.size), label })
        });
        wanted.collect()
    }
}

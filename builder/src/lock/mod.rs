//! `RECIPE.lock`: every input of a build by digest, and the numeric ids of its accounts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_images::digest::Digest;

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

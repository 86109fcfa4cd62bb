//! What can be wrong.

use thiserror::Error;

use super::name::{RoleName, TargetPath};
use super::schema::MetadataVersion;
use super::store::StoreError;
use super::transport::{RemoteFile, TransportError};
use crate::json::{JsonError, ShapeError};
use crate::time::UnixTime;

/// Why metadata isn't believed.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// It isn't JSON, or none that is taken.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is missing or wrong.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The signatures are too few.
    #[error("it has {valid} of the {threshold} signatures that it needs")]
    Signatures {
        /// Different keys of the role that signed.
        valid: u64,
        /// Keys that must have.
        threshold: u64,
    },
    /// A version that was asked for comes as another.
    #[error("it is version {found}, not {expected}")]
    Version {
        /// What was asked for.
        expected: MetadataVersion,
        /// What came.
        found: MetadataVersion,
    },
    /// A version before the one that is trusted.
    #[error("it goes back to version {found} of {of}, from {trusted}")]
    Rollback {
        /// The role whose version goes back.
        of: RoleName,
        /// The version that is trusted.
        trusted: MetadataVersion,
        /// The version that was offered.
        found: MetadataVersion,
    },
    /// A role that the trusted snapshot lists is gone.
    #[error("it no longer lists {0}")]
    Removed(RoleName),
    /// The bytes are others than the parent metadata says.
    #[error("its digests are not those that {0} metadata gives")]
    Digest(RoleName),
    /// The length is another than the parent metadata says.
    #[error("it has {found} bytes, not {expected} as {parent} metadata says")]
    Length {
        /// The role that says it.
        parent: RoleName,
        /// What it says, in bytes.
        expected: u64,
        /// What came, in bytes.
        found: u64,
    },
    /// Its time is over.
    #[error("version {version} expired at {expires}, and it is {now}{hint}", hint = hint(*reading, *now))]
    Expired {
        /// Its version.
        version: MetadataVersion,
        /// Since when.
        expires: UnixTime,
        /// What time counts.
        now: UnixTime,
        /// What the machine's clock reads.
        reading: UnixTime,
    },
    /// The snapshot doesn't list it.
    #[error("the snapshot doesn't list it")]
    NotInSnapshot,
    /// The last version that there can be.
    #[error("no version can follow {0}")]
    LastVersion(MetadataVersion),
}

/// Why a client's work ended early.
#[derive(Debug, Error)]
pub enum TufError {
    /// Metadata from the repository isn't believed.
    #[error("{role} metadata is refused")]
    Refused {
        /// Whose metadata.
        role: RoleName,
        /// Why.
        source: MetadataError,
    },
    /// Metadata that was trusted before can't be believed any more.
    #[error("trusted {role} metadata on this machine is damaged")]
    Damaged {
        /// Whose metadata.
        role: RoleName,
        /// Why.
        source: MetadataError,
    },
    /// Trusted metadata can't be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no root to start from.
    #[error("no root metadata is trusted yet")]
    NoRoot,
    /// A file couldn't be brought.
    #[error("{file} could not be fetched")]
    Transport {
        /// Which.
        file: RemoteFile,
        /// Why.
        source: TransportError,
    },
    /// A file that must be there isn't.
    #[error("{0} is not there")]
    Missing(RemoteFile),
    /// A file is longer than it may be.
    #[error("{file} has more than {limit} bytes")]
    TooLong {
        /// Which.
        file: RemoteFile,
        /// The most that is read of it, in bytes.
        limit: u64,
    },
    /// New roots came without end.
    #[error("there were more than {0} new root versions at once")]
    TooManyRoots(u32),
    /// No role that may speak of a target knows it.
    #[error("no target {0} in this repository")]
    NoTarget(TargetPath),
    /// Too many roles had to be asked about a target.
    #[error("more than {limit} delegated roles would have to be asked about {path}")]
    TooManyDelegations {
        /// The target.
        path: TargetPath,
        /// Roles that may be asked.
        limit: u32,
    },
    /// A target has no digest of a known algorithm.
    #[error("target {0} has no digest that can be checked")]
    NoDigest(TargetPath),
    /// A target is shorter than it must be.
    #[error("target {path} has {found} bytes, not {expected}")]
    TargetLength {
        /// Which.
        path: TargetPath,
        /// What its metadata says, in bytes.
        expected: u64,
        /// What came, in bytes.
        found: u64,
    },
    /// A target's bytes are not those that were signed.
    #[error("target {0} has other digests than its metadata gives")]
    TargetDigest(TargetPath),
    /// What was read of a target couldn't be written.
    #[error("target {path} could not be written")]
    Sink {
        /// Which.
        path: TargetPath,
        /// Why.
        source: std::io::Error,
    },
}

fn hint(reading: UnixTime, now: UnixTime) -> String {
    if reading < now { format!(" (the machine's clock reads {reading}, which is too early)") } else { String::new() }
}

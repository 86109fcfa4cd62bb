//! What a release repository says of its images: a document for each channel, which versions it offers to whom, and one for
//! each release, what it is made of. `docs/release-format.md` has all of it.
//!
//! Both are targets of The Update Framework: by the time that a host reads one, its length and digest are those of signed
//! metadata. Still nothing here trusts its input, since keys are stolen and publishers err. What is expected, and what stops
//! it:
//!
//! * documents or numbers that ask for memory: a document has at most [`DOCUMENT_MAX`] bytes, every size in it a cap
//!   (`document.rs`), every list too; a size that follows from another must be that one;
//! * names that lead elsewhere: ids, channels and versions have few characters, and the paths of targets and parts follow
//!   from them and from digests ([`TargetName`], [`part_path`]);
//! * a release document in place of another: it names id, version and root hash, and must fit the offer that led to it
//!   ([`ReleaseDocument::check_offer`]);
//! * text that a terminal would obey: reasons are one line without control characters.
//!
//! A field that isn't known is ignored: a publisher may be newer than the hosts that have yet to be updated. What such a host
//! must not overlook gets another [`SCHEMA`], which it refuses, saying so.

mod channel;
mod document;
mod names;
mod rollout;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use channel::{ChannelContents, ChannelDocument, OFFERS_MAX, Offer, Withdrawal};
pub use document::{
    Architecture, Blocks, KERNEL_MAX, PATCHES_MAX, Patch, PatchBase, PatchPart, ROOT_MAX, ReleaseContents,
    ReleaseDocument, ReleaseParts, RootFacts, stored_max,
};
pub use names::{ChannelName, ChannelNameError, TargetName, part_path};
pub use rollout::{HostPlace, Percent, PercentError, Rollout, STAGES_MAX, Stage};

use crate::digest::Digest;
use crate::names::NameError;
use crate::version::Version;

/// The version of both documents that is written and read.
pub const SCHEMA: u32 = 1;
/// Longest document that is read, in bytes.
pub const DOCUMENT_MAX: usize = 512 << 10;

/// Bytes that are known by their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// How many.
    pub size: u64,
    /// Their digest.
    pub sha256: Digest,
}

impl Part {
    /// What names these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, sha256: Digest::of(bytes) }
    }
}

/// Content that makes no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Too many bytes.
    #[error("{document} document of {len} bytes, more than {DOCUMENT_MAX}")]
    TooLarge {
        /// `channel` or `release`.
        document: &'static str,
        /// How many.
        len: usize,
    },
    /// A version that this program doesn't know.
    #[error("{document} document of schema {found}, and this program knows schema {SCHEMA}")]
    Schema {
        /// `channel` or `release`.
        document: &'static str,
        /// Its version.
        found: u64,
    },
    /// Not the JSON that the document is.
    #[error("{document} document is malformed")]
    Json {
        /// `channel` or `release`.
        document: &'static str,
        /// Where and how.
        source: serde_json::Error,
    },
    /// Id and version that make no label.
    #[error("{document} document names no image")]
    Name {
        /// `channel` or `release`.
        document: &'static str,
        /// What is wrong.
        source: NameError,
    },
    /// A field whose value makes no sense.
    #[error("{document} document, field `{field}`: {problem}")]
    Field {
        /// `channel` or `release`.
        document: &'static str,
        /// Its path in the document.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A release document that is not of the release that was offered.
    #[error("the channel offers {offered}, and the release document has another {what}")]
    OtherRelease {
        /// The version that is offered.
        offered: Version,
        /// `id`, `version` or `root hash`.
        what: &'static str,
    },
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: u64,
}

/// Reads a document of at most [`DOCUMENT_MAX`] bytes and this [`SCHEMA`].
fn read<'a, T: Deserialize<'a>>(document: &'static str, json: &'a [u8]) -> Result<T, DocumentError> {
    let malformed = |source| DocumentError::Json { document, source };
    if json.len() > DOCUMENT_MAX {
        return Err(DocumentError::TooLarge { document, len: json.len() });
    }
    let SchemaOnly { schema } = serde_json::from_slice(json).map_err(malformed)?;
    if schema != u64::from(SCHEMA) {
        return Err(DocumentError::Schema { document, found: schema });
    }
    serde_json::from_slice(json).map_err(malformed)
}

/// The document: indented, fields in a fixed order, with a line break at the end.
fn write(document: &'static str, shape: &impl Serialize) -> Result<Vec<u8>, DocumentError> {
    let mut json = serde_json::to_vec_pretty(shape).map_err(|source| DocumentError::Json { document, source })?;
    json.push(b'\n');
    if json.len() > DOCUMENT_MAX {
        return Err(DocumentError::TooLarge { document, len: json.len() });
    }
    Ok(json)
}

//! Unified kernel images: one PE file of boot stub, kernel, initrd and command line, as the UAPI [UKI specification] says.
//!
//! [UKI specification]: https://uapi-group.org/specifications/specs/unified_kernel_image/

mod assemble;
mod authenticode;
mod read;
mod sbat;

pub use assemble::{AssembleError, UkiParts, assemble};
pub use read::{Section, SectionName, Sections, UkiError, sections};

use std::fmt;

use crate::content::Content;
use crate::digest::Digest;

/// A whole, unsigned unified kernel image. Made by [`assemble`] only.
///
/// Signing takes it, and its [`authenticode_digest`](Self::authenticode_digest), and gives a type of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Uki {
    bytes: Vec<u8>,
    authenticode_digest: Digest,
}

impl Uki {
    /// The PE file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The PE file as the content of a file.
    pub fn into_content(self) -> Content {
        Content::from_bytes(self.bytes)
    }

    /// SHA-256 over what an Authenticode signature covers ("Windows Authenticode Portable Executable Signature Format",
    /// 2008): all but the checksum, the place of the signatures and the signatures themselves.
    pub fn authenticode_digest(&self) -> Digest {
        self.authenticode_digest
    }
}

impl fmt::Debug for Uki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uki({} bytes, Authenticode {})", self.bytes.len(), self.authenticode_digest)
    }
}

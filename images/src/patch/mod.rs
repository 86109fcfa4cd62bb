//! Patches: what makes the bytes of a new version from those of an old one.
//!
//! A patch is for one pair, a root image or a kernel image each. `docs/patch-format.md` has the bytes. In short: a
//! [`Head`], then windows. Each [`Window`] makes a run of the new bytes by itself, from three streams: instructions, what is
//! to be added to old bytes, and bytes that are new. Old bytes are read where they are wanted and never held.
//!
//! The head is what has to be authenticated: it has the digest of every window, so that nothing of a window is parsed
//! or decompressed before it is known to be what was signed. What comes out is checked once more by whoever takes it,
//! for the root block by block ([`GroupWriter`](crate::verity::GroupWriter)).
//!
//! Even so nothing here trusts its input. What is expected, and what stops it:
//!
//! * lengths that ask for memory: a head is at most [`HEAD_MAX`] bytes and has no more windows than bytes for them; a
//!   window's streams are at most [`STORED_MAX`] bytes, held by the caller; the decoders' own memory is fixed;
//! * instructions that read outside of the old bytes, write more than their window, or go on without writing anything:
//!   refused before a byte is written for them;
//! * streams that end early, or have bytes left over: refused;
//! * a patch that takes for ever: each instruction makes at least one of the bytes that the head said there would be.

mod apply;
mod head;
mod op;
mod write;

use std::io;

use crate::digest::Digest;

pub use apply::WindowMaker;
pub use head::{HEAD_FIXED_LEN, Head, Pair, Window};
pub use op::Op;
pub use write::{PatchSummary, WindowPlan, plan_windows, write};

/// Longest head that is read, in bytes: enough for a root of 100 GB.
pub const HEAD_MAX: usize = 8 << 20;
/// Longest window as it is stored, in bytes.
pub const STORED_MAX: u64 = 12 << 20;
/// Each decoder of a window keeps at most two to the power of this many bytes.
const WINDOW_LOG: u32 = 21;

/// Why a patch can't be read, applied or written.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// Something else.
    #[error("no patch")]
    NotPatch,
    /// A version that this program doesn't know.
    #[error("patch of version {0}, and this program knows version 1")]
    Version(u32),
    /// The head is not the one that was signed.
    #[error("the patch's head has the digest {found} and should have {expected}")]
    WrongHead {
        /// What was signed.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The head makes no sense.
    #[error("the patch's head has {0}")]
    BadHead(&'static str),
    /// A window is not the one that the head names.
    #[error("window {window} of the patch doesn't match the digest in its head")]
    WrongWindow {
        /// Which, from 0.
        window: usize,
    },
    /// A window makes no sense.
    #[error("window {window} of the patch has {problem}, {at} bytes into what it makes")]
    BadWindow {
        /// Which, from 0.
        window: usize,
        /// Bytes made before.
        at: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A stream of a window can't be decompressed.
    #[error("the {stream} of window {window} of the patch can't be decompressed")]
    Stream {
        /// Which window, from 0.
        window: usize,
        /// Which stream.
        stream: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The old version's bytes can't be read.
    #[error("byte {offset} of the old version can't be read")]
    Old {
        /// Where reading began.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The new version's bytes can't be read, while a patch is made.
    #[error("byte {offset} of the new version can't be read")]
    New {
        /// Where reading began.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// What was made, or a patch that is made, can't be handed on.
    #[error("the bytes at {offset} can't be handed on")]
    Write {
        /// Where writing began.
        offset: u64,
        /// Why; for a root also that they are not what the hash tree says.
        source: io::Error,
    },
    /// Instructions for a new patch that make no sense.
    #[error("the instruction for byte {at} has {problem}")]
    BadOp {
        /// Place in the new bytes.
        at: u64,
        /// What is wrong.
        problem: &'static str,
    },
}

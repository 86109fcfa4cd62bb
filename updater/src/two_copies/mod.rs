//! A document that lasts, kept twice on the state partition.
//!
//! A change is written to the copy that is not the newest valid one, with the next generation and a checksum; the valid copy
//! with the highest generation counts. So the other copy is whole whatever happens to the one being written, and is at most one
//! change behind.
//!
//! Expected is a state partition that lost writes, was restored from an old copy, or was edited by hand. A copy that is too
//! long, has a wrong checksum or makes no sense is damaged. Where no copy is valid and one is damaged, that is an error and
//! never a fresh start. Only where both copies are missing, as at a first boot, the document is empty. No more than
//! [`MAX_BYTES`] are read.

mod files;

use std::fmt;
use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_images::digest::Digest;

pub use self::files::CopyFiles;

/// The largest copy that is read.
pub const MAX_BYTES: usize = 1 << 20;

/// What a document is made of.
pub trait Document: Clone + Default + PartialEq + Serialize + DeserializeOwned {
    /// What it is called, in errors and in the names of its files.
    const NAME: &'static str;
    /// The first word of each copy.
    const MAGIC: &'static str;
}

/// One of the two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyName {
    /// The first.
    A,
    /// The second.
    B,
}

impl CopyName {
    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for CopyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// Where the two copies are.
pub trait CopyStore {
    /// The content of a copy; `None` if it isn't there. No more than [`MAX_BYTES`] and one are read.
    fn read(&self, copy: CopyName) -> io::Result<Option<Vec<u8>>>;
    /// Replaces a copy. When this returns, the new content outlasts a power cut; one before that leaves the old or the new.
    fn replace(&mut self, copy: CopyName, content: &[u8]) -> io::Result<()>;
}

/// Why a document can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CopiesError {
    /// A copy can't be read.
    #[error("can't read copy {copy} of the {of}")]
    Read {
        /// Of what.
        of: &'static str,
        /// Which.
        copy: CopyName,
        /// Why.
        source: io::Error,
    },
    /// A copy can't be written.
    #[error("can't write copy {copy} of the {of}")]
    Write {
        /// Of what.
        of: &'static str,
        /// Which.
        copy: CopyName,
        /// Why.
        source: io::Error,
    },
    /// A copy reads back as something else.
    #[error("copy {copy} of the {of} is not what was written")]
    Differs {
        /// Of what.
        of: &'static str,
        /// Which.
        copy: CopyName,
    },
    /// No copy can be used.
    #[error("the {of} is lost: copy a {a}, copy b {b}")]
    Lost {
        /// What.
        of: &'static str,
        /// What is wrong with copy a.
        a: &'static str,
        /// What is wrong with copy b.
        b: &'static str,
    },
    /// The contents make no text.
    #[error("can't put the {of} into words")]
    Encode {
        /// What.
        of: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// A document, as it is on the state partition.
#[derive(Debug)]
pub struct TwoCopies<S, C> {
    store: S,
    contents: C,
    generation: u64,
    newest: CopyName,
}

/// One copy as it was read.
enum CopyState<C> {
    Missing,
    Damaged(&'static str),
    Valid(u64, C),
}

impl<S: CopyStore, C: Document> TwoCopies<S, C> {
    /// Reads both copies and takes the newest valid one.
    pub fn load(store: S) -> Result<Self, (S, CopiesError)> {
        let [a, b] = match [CopyName::A, CopyName::B].map(|copy| read_copy(&store, copy)) {
            [Ok(a), Ok(b)] => [a, b],
            // What can't be read may well be there, newer than the other one.
            [Err(error), _] | [_, Err(error)] => return Err((store, error)),
        };
        let (contents, generation, newest) = match (a, b) {
            (CopyState::Valid(a, _), CopyState::Valid(b, contents)) if b > a => (contents, b, CopyName::B),
            (CopyState::Valid(generation, contents), _) => (contents, generation, CopyName::A),
            (_, CopyState::Valid(generation, contents)) => (contents, generation, CopyName::B),
            (CopyState::Missing, CopyState::Missing) => (C::default(), 0, CopyName::B),
            (a, b) => return Err((store, CopiesError::Lost { of: C::NAME, a: a.describe(), b: b.describe() })),
        };
        Ok(Self { store, contents, generation, newest })
    }

    /// What it says.
    pub fn contents(&self) -> &C {
        &self.contents
    }

    /// Writes the document with a change made to it. The contents stay as they were if that fails.
    pub fn change(&mut self, change: impl FnOnce(&mut C)) -> Result<(), CopiesError> {
        let mut contents = self.contents.clone();
        change(&mut contents);
        if contents == self.contents {
            return Ok(());
        }
        let (copy, generation) = (self.newest.other(), self.generation + 1);
        let bytes = encode(generation, &contents)?;
        self.store.replace(copy, &bytes).map_err(|source| CopiesError::Write { of: C::NAME, copy, source })?;
        let back = self.store.read(copy).map_err(|source| CopiesError::Read { of: C::NAME, copy, source })?;
        if back.as_deref() != Some(&bytes) {
            return Err(CopiesError::Differs { of: C::NAME, copy });
        }
        (self.contents, self.generation, self.newest) = (contents, generation, copy);
        Ok(())
    }
}

impl<C> CopyState<C> {
    fn describe(&self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Damaged(what) => what,
            Self::Valid(..) => "is valid",
        }
    }
}

fn read_copy<C: Document>(store: &impl CopyStore, copy: CopyName) -> Result<CopyState<C>, CopiesError> {
    let bytes = store.read(copy).map_err(|source| CopiesError::Read { of: C::NAME, copy, source })?;
    Ok(match bytes {
        None => CopyState::Missing,
        Some(bytes) if bytes.len() > MAX_BYTES => CopyState::Damaged("is too long"),
        Some(bytes) => match decode(&bytes) {
            Ok((generation, contents)) => CopyState::Valid(generation, contents),
            Err(what) => CopyState::Damaged(what),
        },
    })
}

/// A line of magic, generation and checksum, then the contents as JSON. The checksum covers generation and contents.
fn encode<C: Document>(generation: u64, contents: &C) -> Result<Vec<u8>, CopiesError> {
    let json = serde_json::to_string_pretty(contents).map_err(|source| CopiesError::Encode { of: C::NAME, source })?;
    let checksum = checksum(generation, json.as_bytes());
    Ok(format!("{} {generation} {checksum}\n{json}", C::MAGIC).into_bytes())
}

fn decode<C: Document>(bytes: &[u8]) -> Result<(u64, C), &'static str> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("has no first line")?;
    let (line, json) = (&bytes[..end], &bytes[end + 1..]);
    let words: Vec<&str> = std::str::from_utf8(line).map_err(|_| "has no first line")?.split(' ').collect();
    let [magic, generation, sum] = words[..] else { return Err("is something else") };
    if magic != C::MAGIC {
        return Err("is something else");
    }
    // The last number has no successor, and nobody has counted so far.
    let generation = generation.parse().ok().filter(|generation| *generation < u64::MAX).ok_or("has no generation")?;
    if sum != checksum(generation, json).to_hex() {
        return Err("has a wrong checksum");
    }
    serde_json::from_slice(json).map(|contents| (generation, contents)).map_err(|_| "makes no sense")
}

fn checksum(generation: u64, json: &[u8]) -> Digest {
    Digest::of(&[&generation.to_le_bytes(), json].concat())
}

#[cfg(test)]
mod tests;

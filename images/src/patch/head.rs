//! The head of a patch: which pair it is for, the head of the new hash tree, and the list of windows.

use super::{HEAD_MAX, PatchError, STORED_MAX};
use crate::digest::Digest;
use crate::verity::{RootHash, TreeHead, VerityError};

const MAGIC: &[u8; 8] = b"slippat\n";
const VERSION: u32 = 1;
/// Bytes of a head before its list of windows.
pub const HEAD_FIXED_LEN: usize = 104;
const WINDOW_LEN: usize = 52;
/// Longest tree head, in bytes, once decompressed.
const TREE_MAX: usize = HEAD_MAX;

/// Which bytes a patch starts from, and which it makes. A root is named by its root hash, a kernel image by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Name of the old bytes.
    pub old: Digest,
    /// How many there are.
    pub old_len: u64,
    /// Name of the new bytes.
    pub new: Digest,
    /// How many there are.
    pub new_len: u64,
}

/// A run of new bytes that is made by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where the run starts, in new bytes.
    pub new_offset: u64,
    /// Length of the run, in bytes; at least one.
    pub new_len: u64,
    /// Where the window is stored, in bytes from the start of the patch.
    pub offset: u64,
    /// Bytes of its compressed instructions.
    pub control_len: u32,
    /// Bytes of what is added, compressed.
    pub add_len: u32,
    /// Bytes of what is inserted, compressed.
    pub insert_len: u32,
    /// Digest of the three as they are stored, one after the other.
    pub digest: Digest,
}

impl Window {
    /// Bytes of the window as it is stored.
    pub const fn stored_len(&self) -> u64 {
        self.control_len as u64 + self.add_len as u64 + self.insert_len as u64
    }
}

/// A head that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pair: Pair,
    windows: Vec<Window>,
    tree: Vec<u8>,
}

impl Head {
    /// Length of the head that starts with these [`HEAD_FIXED_LEN`] bytes, itself included: what has to be fetched before
    /// [`parse`](Self::parse) can be called. A publisher that names this length beside the digest saves a request.
    pub fn len_from(start: &[u8]) -> Result<usize, PatchError> {
        let fixed = Fixed::parse(start)?;
        Ok(HEAD_FIXED_LEN + fixed.windows * WINDOW_LEN + fixed.tree_stored)
    }

    /// Reads a head, whose digest must be `expected`. `bytes` is the head and nothing else.
    pub fn parse(bytes: &[u8], expected: &Digest) -> Result<Self, PatchError> {
        let found = Digest::of(bytes);
        if found != *expected {
            return Err(PatchError::WrongHead { expected: *expected, found });
        }
        Self::parse_unverified(bytes)
    }

    /// Reads a head that nobody vouches for.
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, PatchError> {
        let fixed = Fixed::parse(bytes)?;
        let bad = PatchError::BadHead;
        if bytes.len() != Self::len_from(bytes)? {
            return Err(bad("another length than it says"));
        }
        let (list, tree) = bytes[HEAD_FIXED_LEN..].split_at(fixed.windows * WINDOW_LEN);
        let mut windows = Vec::with_capacity(fixed.windows);
        let (mut offset, mut new_offset) = (bytes.len() as u64, 0_u64);
        for entry in list.as_chunks::<WINDOW_LEN>().0 {
            let window = Window {
                new_offset,
                new_len: le64(entry, 0),
                offset,
                control_len: le32(entry, 8),
                add_len: le32(entry, 12),
                insert_len: le32(entry, 16),
                digest: digest(entry, 20),
            };
            if window.stored_len() > STORED_MAX {
                return Err(bad("a window that is too long"));
            }
            new_offset = match new_offset.checked_add(window.new_len) {
                Some(end) if window.new_len > 0 && end <= fixed.pair.new_len => end,
                _ => return Err(bad("windows that don't fit the new version")),
            };
            // At most 150,000 windows of at most 12 MiB: no overflow.
            offset += window.stored_len();
            windows.push(window);
        }
        if new_offset != fixed.pair.new_len {
            return Err(bad("windows that don't fit the new version"));
        }
        let tree = if fixed.tree_len == 0 {
            Vec::new()
        } else {
            zstd::bulk::decompress(tree, fixed.tree_len).map_err(|_| bad("a hash tree that can't be decompressed"))?
        };
        if tree.len() != fixed.tree_len || (fixed.tree_len == 0) != (fixed.tree_stored == 0) {
            return Err(bad("a hash tree of another length"));
        }
        Ok(Self { pair: fixed.pair, windows, tree })
    }

    pub(super) fn new(pair: Pair, windows: Vec<Window>, tree: Vec<u8>) -> Self {
        Self { pair, windows, tree }
    }

    /// As it is stored. The windows' offsets are set to what follows from it.
    pub(super) fn encode(&mut self, tree_stored: &[u8]) -> Result<Vec<u8>, PatchError> {
        let bad = || PatchError::BadHead("more than a head has room for");
        let count = |len: usize| u32::try_from(len).map_err(|_| bad());
        let len = HEAD_FIXED_LEN + self.windows.len() * WINDOW_LEN + tree_stored.len();
        if len > HEAD_MAX || self.tree.len() > TREE_MAX {
            return Err(bad());
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&count(self.windows.len())?.to_le_bytes());
        bytes.extend_from_slice(&self.pair.old_len.to_le_bytes());
        bytes.extend_from_slice(&self.pair.new_len.to_le_bytes());
        bytes.extend_from_slice(self.pair.old.as_bytes());
        bytes.extend_from_slice(self.pair.new.as_bytes());
        bytes.extend_from_slice(&count(tree_stored.len())?.to_le_bytes());
        bytes.extend_from_slice(&count(self.tree.len())?.to_le_bytes());
        let mut offset = len as u64;
        for window in &mut self.windows {
            window.offset = offset;
            offset += window.stored_len();
            bytes.extend_from_slice(&window.new_len.to_le_bytes());
            for len in [window.control_len, window.add_len, window.insert_len] {
                bytes.extend_from_slice(&len.to_le_bytes());
            }
            bytes.extend_from_slice(window.digest.as_bytes());
        }
        bytes.extend_from_slice(tree_stored);
        Ok(bytes)
    }

    /// Which bytes it is for.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The windows, in the order of the new bytes: each starts where the one before ends, and the last ends with them.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The head of the new root's hash tree, checked against the root hash that the pair names. Fails for a patch of
    /// anything but a root.
    pub fn tree_head(&self) -> Result<TreeHead, VerityError> {
        let root_hash = RootHash::from_bytes(*self.pair.new.as_bytes());
        let head = TreeHead::read(&self.tree, self.tree.len() as u64, &root_hash)?;
        let (expected, len) = (head.data_len(), self.pair.new_len);
        if expected == len { Ok(head) } else { Err(VerityError::DataTooShort { expected, len }) }
    }

    /// Length of the whole patch, in bytes.
    pub fn patch_len(&self, head_len: u64) -> u64 {
        self.windows.iter().fold(head_len, |sum, window| sum + window.stored_len())
    }
}

/// What a head starts with.
struct Fixed {
    pair: Pair,
    windows: usize,
    tree_stored: usize,
    tree_len: usize,
}

impl Fixed {
    fn parse(start: &[u8]) -> Result<Self, PatchError> {
        let bytes: &[u8; HEAD_FIXED_LEN] = start.first_chunk().ok_or(PatchError::NotPatch)?;
        if !bytes.starts_with(MAGIC) {
            return Err(PatchError::NotPatch);
        }
        if le32(bytes, 8) != VERSION {
            return Err(PatchError::Version(le32(bytes, 8)));
        }
        let too_long = || PatchError::BadHead("more than a head has room for");
        let count = |at| usize::try_from(le32(bytes, at)).map_err(|_| too_long());
        let (windows, tree_stored, tree_len) = (count(12)?, count(96)?, count(100)?);
        let len = windows.checked_mul(WINDOW_LEN).and_then(|len| len.checked_add(tree_stored + HEAD_FIXED_LEN));
        if len.is_none_or(|len| len > HEAD_MAX) || tree_len > TREE_MAX {
            return Err(too_long());
        }
        let (old, new) = (digest(bytes, 32), digest(bytes, 64));
        let pair = Pair { old, old_len: le64(bytes, 16), new, new_len: le64(bytes, 24) };
        Ok(Self { pair, windows, tree_stored, tree_len })
    }
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

fn digest(bytes: &[u8], at: usize) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(&bytes[at..at + 32]);
    Digest::from_bytes(digest)
}

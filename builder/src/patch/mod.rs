//! Makes patches: finds what of a new version is in the old one, and how to say so in the fewest bytes.
//!
//! A root is taken file by file. What the host has already, in a run of equal blocks, is copied. Every other file is compared
//! with the old one that it most likely came from ([`candidates`]), in several ways, and the way that comes to the
//! fewest bytes is kept ([`choose`]). What lies outside of files (inodes, names) is compared with the same of the old root.
//! What is too long to be compared is taken block by block ([`EqualBlocks`]).
//! The bytes of a patch depend on the two versions alone, on no order of threads.

mod candidates;
mod choose;
mod equal;
mod image;
mod suffix;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::Arc;

use rayon::prelude::*;
use slipway_images::content::ReadAt;
use slipway_images::digest::Digest;
use slipway_images::erofs::{Extent, ReadError};
use slipway_images::patch::{self, Head, Op, Pair, PatchError, PatchSummary, plan_windows};
use slipway_images::verity::{GroupIndex, GroupWriter, RootHash, TreeHead, VerityError, VerityTree};

use crate::progress::{Event, Phase, Progress};
use candidates::Candidates;
use equal::EqualBlocks;
use image::Regions;

/// A root image and its hash tree.
#[derive(Clone)]
pub struct RootSource {
    image: Arc<dyn ReadAt>,
    tree: Arc<VerityTree>,
}

impl RootSource {
    /// The root in `image`, by the first `hash_len` bytes of its hash device, which are checked against the root hash.
    /// The image itself is taken to be what the tree says; it is read once more, and compared, when a patch is tried.
    pub fn open(
        image: Arc<dyn ReadAt>,
        hash: &dyn ReadAt,
        hash_len: u64,
        root_hash: &RootHash,
    ) -> Result<Self, VerityError> {
        Ok(Self { image, tree: Arc::new(VerityTree::read(hash, hash_len, root_hash)?) })
    }

    fn len(&self) -> u64 {
        self.tree.data_len()
    }
}

/// Why no patch could be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// One of the roots is no EROFS image.
    #[error("the {which} root can't be read")]
    Root {
        /// `old` or `new`.
        which: &'static str,
        /// Why.
        source: ReadError,
    },
    /// A version's bytes can't be read.
    #[error("byte {offset} of the {which} version can't be read")]
    Read {
        /// `old` or `new`.
        which: &'static str,
        /// Where reading began.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The bytes that changed can't be sorted or compressed.
    #[error("changed bytes can't be compared: {0}")]
    Compare(String),
    /// A hash tree can't be made or is wrong.
    #[error("the hash tree can't be used")]
    Tree(#[from] VerityError),
    /// The patch can't be written.
    #[error("the patch can't be written")]
    Write(#[from] PatchError),
    /// The patch was tried and didn't make the new version. This is a bug.
    #[error("the patch that was made is wrong")]
    Wrong(#[source] PatchError),
}

/// Longest file that is compared with another, in bytes: places in a longer one have no number in a suffix array.
const COMPARE_MAX: u64 = i32::MAX as u64;

/// Makes a patch from one root to another, and tries it. Holds the files that changed, and nine times the largest of them
/// per thread that is compared. The patch is written to `out` when it has been found to work.
pub fn root(
    old: &RootSource,
    new: &RootSource,
    out: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<PatchSummary, MakeError> {
    root_within(COMPARE_MAX, old, new, out, progress)
}

fn root_within(
    compare_max: u64,
    old: &RootSource,
    new: &RootSource,
    out: &mut dyn Write,
    progress: &dyn Progress,
) -> Result<PatchSummary, MakeError> {
    progress.event(Event::Start(Phase::Patch, Some(new.len())));
    let old_regions = Regions::of(&old.image, old.len()).map_err(|source| MakeError::Root { which: "old", source })?;
    let new_regions = Regions::of(&new.image, new.len()).map_err(|source| MakeError::Root { which: "new", source })?;
    let equal = EqualBlocks::of(old, new)?;
    let candidates = Candidates::new(&old_regions, &*old.image, &new_regions, &*new.image, compare_max);
    let ops: Vec<Vec<Op>> = new_regions
        .all()
        .par_iter()
        .map(|region| {
            let candidate = candidates.of(region)?;
            let is_short = |extent: Extent| extent.len <= compare_max;
            let ops = match equal.copy(region.extent, candidate) {
                Some(op) => vec![op],
                None if is_short(region.extent) && candidate.is_none_or(is_short) => {
                    compare(&*old.image, candidate, &*new.image, region.extent)?
                }
                None => equal.block_by_block(region.extent),
            };
            progress.event(Event::Advance(Phase::Patch, region.extent.len));
            Ok(ops)
        })
        .collect::<Result<_, MakeError>>()?;
    let pair = Pair {
        old: Digest::from_bytes(*old.tree.root_hash().as_bytes()),
        old_len: old.len(),
        new: Digest::from_bytes(*new.tree.root_hash().as_bytes()),
        new_len: new.len(),
    };
    let head = tree_head(&new.tree)?;
    let mut tree = Vec::new();
    head.write_to(&mut tree)?;
    let made = make(pair, &ops.concat(), &old.image, &new.image, &tree)?;
    let checked = GroupWriter::new(&head, GroupIndex(0), |_, _, _| Ok(()));
    let summary = made.try_and_write(&*old.image, checked, out, |checked| checked.next_group().0 == head.groups())?;
    progress.event(Event::Done(Phase::Patch, ""));
    Ok(summary)
}

/// Makes a patch from one file to another, such as kernel images, and tries it.
pub fn file(old: &[u8], new: &[u8], out: &mut dyn Write) -> Result<PatchSummary, MakeError> {
    let (old_len, new_len) = (old.len() as u64, new.len() as u64);
    let ops = choose::best(old, 0, new)?;
    let pair = Pair { old: Digest::of(old), old_len, new: Digest::of(new), new_len };
    let (old, fresh): (Arc<dyn ReadAt>, Arc<dyn ReadAt>) = (Arc::new(old.to_vec()), Arc::new(new.to_vec()));
    let made = make(pair, &ops, &old, &fresh, &[])?;
    made.try_and_write(&*old, Vec::new(), out, |bytes| bytes.as_slice() == new)
}

fn tree_head(tree: &VerityTree) -> Result<TreeHead, VerityError> {
    let mut bytes = Vec::new();
    tree.write_to(&mut bytes)?;
    TreeHead::read(&bytes, bytes.len() as u64, &tree.root_hash())
}

/// The instructions for bytes of the new version that are not copied as a whole.
fn compare(
    old: &dyn ReadAt,
    candidate: Option<Extent>,
    new: &dyn ReadAt,
    region: Extent,
) -> Result<Vec<Op>, MakeError> {
    let Some(extent) = candidate else { return Ok(vec![Op::Insert { len: region.len }]) };
    choose::best(&read(old, "old", extent)?, extent.offset, &read(new, "new", region)?)
}

fn read(source: &dyn ReadAt, which: &'static str, extent: Extent) -> Result<Vec<u8>, MakeError> {
    let Extent { offset, len } = extent;
    let failed = |source| MakeError::Read { which, offset, source };
    let len = usize::try_from(len).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
    let mut bytes = vec![0; len];
    source.read_exact_at(&mut bytes, offset).map_err(failed)?;
    Ok(bytes)
}

/// A patch that was not tried yet.
struct Untried {
    bytes: Vec<u8>,
    summary: PatchSummary,
}

fn make(
    pair: Pair,
    ops: &[Op],
    old: &Arc<dyn ReadAt>,
    new: &Arc<dyn ReadAt>,
    tree: &[u8],
) -> Result<Untried, MakeError> {
    let windows = plan_windows(ops);
    let mut bytes = Vec::new();
    let summary = patch::write(pair, &windows, &**old, &**new, tree, &mut bytes, &|_| ())?;
    Ok(Untried { bytes, summary })
}

impl Untried {
    /// Does what a host does, from nothing but the patch and the old version, and writes the patch when it worked.
    fn try_and_write<W: Write>(
        self,
        old: &dyn ReadAt,
        mut sink: W,
        out: &mut dyn Write,
        is_whole: impl Fn(&W) -> bool,
    ) -> Result<PatchSummary, MakeError> {
        let head_len = Head::len_from(&self.bytes).map_err(MakeError::Wrong)?;
        let (head, mut rest) = self.bytes.split_at(head_len);
        let head = Head::parse(head, &self.summary.head_digest).map_err(MakeError::Wrong)?;
        for (number, window) in head.windows().iter().enumerate() {
            let len = usize::try_from(window.stored_len()).unwrap_or(usize::MAX);
            let Some((stored, after)) = rest.split_at_checked(len) else {
                return Err(MakeError::Wrong(PatchError::WrongWindow { window: number }));
            };
            head.apply(number, stored, old, &mut sink).map_err(MakeError::Wrong)?;
            rest = after;
        }
        if !is_whole(&sink) {
            return Err(MakeError::Wrong(PatchError::BadHead("windows that don't make the new version")));
        }
        out.write_all(&self.bytes).map_err(|source| PatchError::Write { offset: 0, source })?;
        Ok(self.summary)
    }
}

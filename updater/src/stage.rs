//! From an admitted release to a slot that boots: each step takes the one before it, and none can be left out.
//!
//! [`AdmittedRelease`] → [`OpenSlot`] (nothing boots it) → [`SlotWithTree`] → [`WrittenSlot`] → [`StagedSlot`] (read back
//! whole) → [`LabelledSlot`] → [`ArmedSlot`] (the next boot tries it).
//!
//! What a source delivers may be anything. The hash tree must have the signed digest and lead to the signed root hash, a
//! block must match its leaf, the kernel image must have the signed digest: all before anything refers to it. No more is
//! read from a source than the manifest says.

mod patched;

use std::io::{self, Read};
use std::ops::Range;

use slipway_images::digest::Digest;
use slipway_images::names::{BootEntryName, BootTries, TriesDone, TriesLeft};
use slipway_images::release::ROOT_MAX;
use slipway_images::verity::{BLOCK_SIZE, BlockIndex, RootHash, TreeHead, VerityError, VerityTree, tree_len};

use crate::agent::chain;
use crate::blocks::LeafIndex;
use crate::disk::device::{BlockDevice, Window};
use crate::disk::durable::WriteError;
use crate::disk::{Disk, DiskError};
use crate::esp::EspError;
use crate::release::{AdmittedRelease, ReleaseSource, Target};

/// How often the boot loader tries a new version.
pub const TRIES: TriesLeft = TriesLeft(3);

/// Whether the boot loader has started an entry again from which all tries were taken. It counts tries done even where none are left:
/// such an entry begins at none, and one on its last try has done all of them.
pub fn was_left(tries: BootTries) -> bool {
    matches!(tries, BootTries::Counted { left: TriesLeft(0), done: TriesDone(done) } if done != 0 && done != TRIES.0)
}

const BLOCK: usize = 4096;
/// Bytes of a hash tree that are written, or blocks that are read, at a time.
const CHUNK: usize = 256 << 10;
/// Blocks after which what was written is made to last, so that an interrupted update can go on from there: 16 MiB.
const BLOCKS_PER_FLUSH: u64 = 4096;

/// Why a slot could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A hash tree that is not the signed one.
    #[error("the hash tree that came is not the signed one: {0}")]
    ForeignTree(&'static str),
    /// A hash tree that doesn't lead to the root hash.
    #[error("the hash tree doesn't fit the root hash")]
    Tree(#[source] VerityError),
    /// The source failed.
    #[error("can't get the {what}")]
    Source {
        /// `hash tree`, `blocks` or `kernel image`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The source says it is done, and blocks are missing.
    #[error("{missing} blocks did not come, the first of them block {first}")]
    Missing {
        /// How many.
        missing: u64,
        /// The first.
        first: BlockIndex,
    },
    /// What was written can't be read.
    #[error("can't read block {block} of the slot back")]
    ReadBack {
        /// The block.
        block: BlockIndex,
        /// Why.
        source: io::Error,
    },
    /// What was written reads back as something else.
    #[error("block {0} of the slot is not what was written")]
    Differs(BlockIndex),
}

impl From<WriteError> for StageError {
    fn from(error: WriteError) -> Self {
        Self::Disk(error.into())
    }
}

/// A slot that nothing boots, ready to be written.
#[derive(Debug)]
pub struct OpenSlot(Target);

/// A slot whose hash tree is on the disk, or the head of it.
#[derive(Debug)]
pub struct SlotWithTree {
    target: Target,
    tree: Tree,
    patch_failure: Option<String>,
}

/// What the blocks of a slot are checked against.
#[derive(Debug)]
enum Tree {
    /// Every hash.
    Whole(VerityTree),
    /// All but the leaves, which a patch makes together with the blocks.
    Head(TreeHead),
}

/// A slot whose blocks all went to the disk.
#[derive(Debug)]
pub struct WrittenSlot {
    target: Target,
    origin: Origin,
    patch_failure: Option<String>,
}

/// A slot that was read back and is whole.
#[derive(Debug)]
pub struct StagedSlot(Target);

/// A slot that the partition tables name.
#[derive(Debug)]
pub struct LabelledSlot(Target);

/// A slot that the next boot tries.
#[derive(Debug, PartialEq, Eq)]
pub struct ArmedSlot {
    /// Its boot entry.
    pub entry: BootEntryName,
    /// Why a patch of the kernel image could not be used, if one was tried and couldn't.
    pub patch_failure: Option<String>,
}

/// Where the blocks of a slot came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Origin {
    /// Blocks that were in the slot already.
    pub kept: u64,
    /// Blocks copied from the running slot.
    pub copied: u64,
    /// Blocks that the source delivered.
    pub fetched: u64,
    /// Blocks that a patch made from the running slot.
    pub patched: u64,
}

impl AdmittedRelease {
    /// Makes sure that nothing boots the slot that doesn't run.
    pub fn open<D: BlockDevice>(self, disk: &mut Disk<D>) -> Result<OpenSlot, StageError> {
        disk.remove_other_entry()?;
        Ok(OpenSlot(self.target().clone()))
    }
}

impl OpenSlot {
    /// Gets the hash tree, checks it, and writes it; of a source with a patch, the head of it.
    pub fn write_tree<D: BlockDevice>(
        self,
        disk: &mut Disk<D>,
        source: &mut dyn ReleaseSource,
    ) -> Result<SlotWithTree, StageError> {
        let target = self.0;
        let head = source.patch().map(|patch| patched::read_head(&target, patch));
        if let Some(Ok(head)) = head {
            patched::write_head(&head, disk)?;
            return Ok(SlotWithTree { target, tree: Tree::Head(head), patch_failure: None });
        }
        let patch_failure = head.and_then(Result::err).map(|error| chain(&error));
        let tree = Tree::Whole(write_whole_tree(&target, disk, source)?);
        Ok(SlotWithTree { target, tree, patch_failure })
    }
}

/// Gets the hash tree, checks it, and writes it.
fn write_whole_tree<D: BlockDevice>(
    target: &Target,
    disk: &mut Disk<D>,
    source: &mut dyn ReleaseSource,
) -> Result<VerityTree, StageError> {
    let bytes = read_tree(target, source)?;
    let tree = VerityTree::read(&bytes, target.tree_size, &target.root_hash).map_err(StageError::Tree)?;
    if tree.data_len() != target.root_size || tree_len(tree.data_len()) != target.tree_size {
        return Err(StageError::ForeignTree("it is for a root of another size"));
    }
    let (writer, survey) = disk.open_slot()?;
    let start = survey.other().verity.start;
    for (chunk, offset) in bytes.chunks(CHUNK).zip((start..).step_by(CHUNK)) {
        writer.write(offset, chunk)?;
    }
    writer.sync()?;
    Ok(tree)
}

impl SlotWithTree {
    /// Writes every block that is not there yet: a patch makes them, or those that the running slot has are copied and the
    /// others come from the source. Each is checked before it is written.
    pub fn write_blocks<D: BlockDevice>(
        self,
        disk: &mut Disk<D>,
        source: &mut dyn ReleaseSource,
    ) -> Result<WrittenSlot, StageError> {
        let Self { target, tree, patch_failure } = self;
        let head = match tree {
            Tree::Whole(tree) => {
                let origin = copy_and_fetch(&target, &tree, disk, source)?;
                return Ok(WrittenSlot { target, origin, patch_failure });
            }
            Tree::Head(head) => head,
        };
        let made = source.patch().map(|patch| patched::write_groups(&target, &head, disk, patch));
        match made {
            Some(Ok(origin)) => Ok(WrittenSlot { target, origin, patch_failure: None }),
            Some(Err(error @ StageError::Disk(_))) => Err(error),
            other => {
                let patch_failure = other.and_then(Result::err).map(|error| chain(&error));
                drop(head);
                let tree = write_whole_tree(&target, disk, source)?;
                let origin = copy_and_fetch(&target, &tree, disk, source)?;
                Ok(WrittenSlot { target, origin, patch_failure })
            }
        }
    }
}

/// Copies the blocks that the running slot has, and fetches the others.
fn copy_and_fetch<D: BlockDevice>(
    target: &Target,
    tree: &VerityTree,
    disk: &mut Disk<D>,
    source: &mut dyn ReleaseSource,
) -> Result<Origin, StageError> {
    let old = LeafIndex::of_running(disk).ok().flatten();
    let (writer, survey) = disk.open_slot()?;
    let (start, running) = (survey.other().root.start, survey.running().root.clone());
    let mut origin = Origin::default();
    let mut wanted: Vec<Range<u64>> = Vec::new();
    let mut unflushed = 0_u64;
    let mut block = [0; BLOCK];
    for index in (0..target.root_size / BLOCK_SIZE).map(BlockIndex) {
        let place = start + index.0 * BLOCK_SIZE;
        if writer.device().read_exact_at(&mut block, place).is_ok() && tree.matches(index, &block) {
            origin.kept += 1;
            continue;
        }
        let copy = tree.leaf(index).and_then(|leaf| old.as_ref()?.find(leaf));
        let copied = copy.is_some_and(|copy| {
            let from = running.start + copy.0 * BLOCK_SIZE;
            writer.device().read_exact_at(&mut block, from).is_ok() && tree.matches(index, &block)
        });
        if copied {
            writer.write_for_later_check(place, &block)?;
            origin.copied += 1;
            unflushed += 1;
            if unflushed.is_multiple_of(BLOCKS_PER_FLUSH) {
                writer.sync()?;
            }
        } else {
            match wanted.last_mut() {
                Some(range) if range.end == index.0 => range.end += 1,
                _ => wanted.push(index.0..index.0 + 1),
            }
        }
    }
    let mut missing = Missing::new(&wanted);
    if !wanted.is_empty() {
        let mut failure = None;
        let mut take = |index: BlockIndex, bytes: &[u8]| {
            if !tree.matches(index, bytes) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("block {index} is not the signed one")));
            }
            if !missing.remove(index) {
                return Ok(());
            }
            let written = writer.write_for_later_check(start + index.0 * BLOCK_SIZE, bytes).and_then(|()| {
                unflushed += 1;
                if unflushed.is_multiple_of(BLOCKS_PER_FLUSH) { writer.sync() } else { Ok(()) }
            });
            written.map_err(|error| {
                failure = Some(error);
                io::ErrorKind::Other.into()
            })
        };
        let delivered = source.blocks(&wanted, &mut take);
        if let Some(error) = failure {
            return Err(error.into());
        }
        delivered.map_err(|source| StageError::Source { what: "blocks", source })?;
    }
    origin.fetched = wanted.iter().map(|range| range.end - range.start).sum::<u64>() - missing.count();
    match missing.first() {
        Some(first) => Err(StageError::Missing { missing: missing.count(), first }),
        None => Ok(origin),
    }
}

impl WrittenSlot {
    /// Where the blocks came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Why a patch could not be used, if one was tried and couldn't.
    pub fn patch_failure(&self) -> Option<&str> {
        self.patch_failure.as_deref()
    }

    /// Flushes, and reads the whole slot back: the tree against the signed root hash, each block against the tree.
    pub fn verify<D: BlockDevice>(self, disk: &mut Disk<D>) -> Result<StagedSlot, StageError> {
        let (writer, _) = disk.open_slot()?;
        writer.sync()?;
        verify_other(disk, &self.target.root_hash)?;
        Ok(StagedSlot(self.target))
    }
}

impl StagedSlot {
    /// Writes label and GUIDs into both partition tables.
    pub fn label<D: BlockDevice>(self, disk: &mut Disk<D>) -> Result<LabelledSlot, StageError> {
        disk.label_other(&self.0)?;
        Ok(LabelledSlot(self.0))
    }
}

impl LabelledSlot {
    /// Adds the boot entry with its tries: from here on the boot loader starts the new version.
    pub fn arm<D: BlockDevice>(
        self,
        disk: &mut Disk<D>,
        source: &mut dyn ReleaseSource,
    ) -> Result<ArmedSlot, StageError> {
        let entry = BootEntryName::on_trial(self.0.label.clone(), TRIES);
        let failed = |source| StageError::Source { what: "kernel image", source };
        let mut patch_failure = None;
        if let Some(patched) = source.kernel_patch() {
            let added =
                patched.map_err(failed).and_then(|mut kernel| Ok(disk.add_entry(&entry, &self.0, &mut kernel)?));
            match added {
                Ok(()) => return Ok(ArmedSlot { entry, patch_failure }),
                Err(error) if is_of_content(&error) => patch_failure = Some(chain(&error)),
                Err(error) => return Err(error),
            }
        }
        let mut kernel = source.kernel().map_err(failed)?;
        disk.add_entry(&entry, &self.0, &mut kernel)?;
        Ok(ArmedSlot { entry, patch_failure })
    }
}

/// Whether it went wrong because of what came, and the same from elsewhere may do.
fn is_of_content(error: &StageError) -> bool {
    use EspError::{Content, WrongContent};
    matches!(error, StageError::Source { .. } | StageError::Disk(DiskError::Esp(Content { .. } | WrongContent { .. })))
}

/// Reads the slot that doesn't run and checks all of it against a root hash.
pub fn verify_other<D: BlockDevice>(disk: &Disk<D>, root_hash: &RootHash) -> Result<(), StageError> {
    let survey = disk.survey().map_err(DiskError::from)?;
    let slot = survey.other();
    let tree = Window::new(disk.device(), slot.verity.start, slot.verity.size);
    let tree = VerityTree::read(&tree, slot.verity.size, root_hash).map_err(StageError::Tree)?;
    let mut chunk = vec![0; CHUNK];
    let blocks = tree.data_len() / BLOCK_SIZE;
    for first in (0..blocks).step_by(CHUNK / BLOCK) {
        let count = (blocks - first).min((CHUNK / BLOCK) as u64);
        let bytes = &mut chunk[..usize::try_from(count).unwrap_or(0) * BLOCK];
        let place = slot.root.start + first * BLOCK_SIZE;
        let read = disk.device().read_exact_at(bytes, place);
        read.map_err(|source| StageError::ReadBack { block: BlockIndex(first), source })?;
        for (block, index) in bytes.chunks_exact(BLOCK).zip((first..).map(BlockIndex)) {
            if !tree.matches(index, block) {
                return Err(StageError::Differs(index));
            }
        }
    }
    Ok(())
}

fn read_tree(target: &Target, source: &mut dyn ReleaseSource) -> Result<Vec<u8>, StageError> {
    let size = usize::try_from(target.tree_size).ok().filter(|_| target.tree_size <= tree_len(ROOT_MAX));
    let size = size.ok_or(StageError::ForeignTree("it is too large"))?;
    let failed = |source| StageError::Source { what: "hash tree", source };
    let mut bytes = vec![0; size];
    let mut reader = source.tree().map_err(failed)?;
    reader.read_exact(&mut bytes).map_err(failed)?;
    if reader.read(&mut [0]).map_err(failed)? > 0 {
        return Err(StageError::ForeignTree("it is longer"));
    }
    if Digest::of(&bytes) == target.tree { Ok(bytes) } else { Err(StageError::ForeignTree("its digest differs")) }
}

/// Blocks that have not come yet: a bit each.
struct Missing {
    words: Vec<u64>,
    count: u64,
}

impl Missing {
    fn new(wanted: &[Range<u64>]) -> Self {
        let len = wanted.last().map_or(0, |range| range.end.div_ceil(64));
        let mut words = vec![0_u64; usize::try_from(len).unwrap_or(0)];
        for index in wanted.iter().cloned().flatten() {
            if let Some(word) = words.get_mut(usize::try_from(index / 64).unwrap_or(usize::MAX)) {
                *word |= 1 << (index % 64);
            }
        }
        Self { count: wanted.iter().map(|range| range.end - range.start).sum(), words }
    }

    /// Whether it was missing until now.
    fn remove(&mut self, index: BlockIndex) -> bool {
        let Some(word) = self.words.get_mut(usize::try_from(index.0 / 64).unwrap_or(usize::MAX)) else { return false };
        let was = *word & 1 << (index.0 % 64) != 0;
        *word &= !(1 << (index.0 % 64));
        self.count -= u64::from(was);
        was
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn first(&self) -> Option<BlockIndex> {
        let word = self.words.iter().position(|word| *word != 0)?;
        Some(BlockIndex(word as u64 * 64 + u64::from(self.words[word].trailing_zeros())))
    }
}

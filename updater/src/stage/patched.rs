//! A slot whose blocks a patch makes from the running one, group by group, each with its leaves.
//!
//! The head of the hash tree hangs on the signed root hash, a group on the head; only then are leaves and data written. At the
//! end each group is on the disk, and the tree there has the signed digest, which covers the superblock too.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slipway_images::content::ReadAt;
use slipway_images::digest::Digest;
use slipway_images::verity::{BLOCK_SIZE, BlockIndex, GROUP_BLOCKS, GroupIndex, LeafBlock, TreeHead, tree_len};

use super::{Origin, StageError};
use crate::disk::device::{BlockDevice, Window};
use crate::disk::durable::{DurableWriter, WriteError};
use crate::disk::survey::SlotFound;
use crate::disk::{Disk, DiskError};
use crate::release::{PatchSource, Target};

/// Groups after which what was written is made to last: 16 MiB.
const GROUPS_PER_FLUSH: u64 = 32;

/// The head of the hash tree, if it is the signed one's.
pub fn read_head(target: &Target, patch: &mut dyn PatchSource) -> Result<TreeHead, StageError> {
    let head = patch.tree_head().map_err(|source| StageError::Source { what: "head of the hash tree", source })?;
    let fits = head.root_hash() == target.root_hash
        && head.data_len() == target.root_size
        && tree_len(head.data_len()) == target.tree_size;
    if fits { Ok(head) } else { Err(StageError::ForeignTree("its head is of another root")) }
}

/// Writes the head to where the hash tree begins.
pub fn write_head<D: BlockDevice>(head: &TreeHead, disk: &mut Disk<D>) -> Result<(), StageError> {
    let mut bytes = Vec::new();
    head.write_to(&mut bytes).map_err(StageError::Tree)?;
    let (writer, survey) = disk.open_slot()?;
    writer.write(survey.other().verity.start, &bytes)?;
    Ok(writer.sync()?)
}

/// Writes all groups that aren't there yet.
pub fn write_groups<D: BlockDevice>(
    target: &Target,
    head: &TreeHead,
    disk: &mut Disk<D>,
    patch: &mut dyn PatchSource,
) -> Result<Origin, StageError> {
    let survey = disk.survey().map_err(DiskError::from)?;
    let (writer, _) = disk.open_slot()?;
    let slot = Shared { writer: Mutex::new(writer), slot: survey.other(), head };
    let running = &survey.running().root;
    let old = OldRoot { shared: &slot, start: running.start, len: running.size };
    let (mut origin, mut groups, mut failure) = (Origin::default(), 0_u64, None);
    let mut take = |group: GroupIndex, leaves: &LeafBlock, data: &[u8]| {
        origin.patched += data.len() as u64 / BLOCK_SIZE;
        groups += 1;
        slot.write(group, leaves, data, groups.is_multiple_of(GROUPS_PER_FLUSH)).map_err(|error| {
            failure = Some(error);
            io::ErrorKind::Other.into()
        })
    };
    let made = patch.groups(head, &old, &|group| slot.holds(group), &mut take);
    if let Some(error) = failure {
        return Err(error.into());
    }
    made.map_err(|source| StageError::Source { what: "patch", source })?;
    let mut missing = (0..head.groups()).map(GroupIndex).filter(|group| !slot.holds(*group));
    if let Some(first) = missing.next() {
        let missing = 1 + missing.count() as u64;
        return Err(StageError::Missing { missing: missing * GROUP_BLOCKS, first: first_block(first) });
    }
    let writer = slot.writer();
    let mut tree = Window::new(writer.device(), survey.other().verity.start, target.tree_size);
    let read = |source| StageError::ReadBack { block: BlockIndex(0), source };
    if Digest::of_reader(&mut tree).map_err(read)?.0 != target.tree {
        return Err(StageError::ForeignTree("its digest differs"));
    }
    origin.kept = (target.root_size / BLOCK_SIZE).saturating_sub(origin.patched);
    Ok(origin)
}

const fn first_block(group: GroupIndex) -> BlockIndex {
    BlockIndex(group.0 * GROUP_BLOCKS)
}

/// The slot, written to while the patch reads the running one from the same disk.
struct Shared<'a, D> {
    writer: Mutex<&'a mut DurableWriter<D>>,
    slot: &'a SlotFound,
    head: &'a TreeHead,
}

impl<'a, D: BlockDevice> Shared<'a, D> {
    fn writer(&self) -> MutexGuard<'_, &'a mut DurableWriter<D>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, group: GroupIndex, leaves: &LeafBlock, data: &[u8], flush: bool) -> Result<(), WriteError> {
        let mut writer = self.writer();
        if let Some(offset) = self.head.leaf_offset(group) {
            writer.write_for_later_check(self.slot.verity.start + offset, leaves.as_bytes())?;
        }
        writer.write_for_later_check(self.slot.root.start + group.offset(), data)?;
        if flush { writer.sync() } else { Ok(()) }
    }

    /// Whether leaves and data of a group are on the disk already. What can't be read isn't.
    fn holds(&self, group: GroupIndex) -> bool {
        let writer = self.writer();
        let device = writer.device();
        if let Some(offset) = self.head.leaf_offset(group) {
            let mut leaves = [0; 4096];
            let read = device.read_exact_at(&mut leaves, self.slot.verity.start + offset);
            if read.is_err() || !self.head.accepts(group, &leaves) {
                return false;
            }
        }
        let mut data = vec![0; usize::try_from(self.head.group_len(group)).unwrap_or_default()];
        let read = device.read_exact_at(&mut data, self.slot.root.start + group.offset());
        read.is_ok() && self.head.check(group, &data).is_ok()
    }
}

/// The bytes of the running root.
struct OldRoot<'a, 'b, D> {
    shared: &'a Shared<'b, D>,
    start: u64,
    len: u64,
}

impl<D: BlockDevice> ReadAt for OldRoot<'_, '_, D> {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let inside = offset.checked_add(buf.len() as u64).is_some_and(|end| end <= self.len);
        if !inside {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.shared.writer().device().read_exact_at(buf, self.start + offset)
    }
}

//! Decides where everything goes, before a byte is written. Pure: the same tree and options give the same plan.
//!
//! ```text
//! block 0   superblock
//! block 1   zone 1: folders with their names, inodes of files that have blocks   (hold addresses)
//!           whole blocks of large folders
//! aligned   zone 2: symbolic links, devices, small files beside their inodes     (hold no address)
//! aligned   zone 3: file data, each file from a block border on, in path order
//! ```

use std::collections::HashMap;

use super::dirents::{self, DirPlan, NAME_MAX};
use super::format::{COMPACT_LEN, DataLayout, EXTENDED_LEN, FileType, NO_BLOCK, Nid, RawInode, SLOT, encode_device};
use super::pack::{Packer, fits};
use super::superblock::Superblock;
use super::{BLOCK_SIZE, ErofsError, ErofsSummary, WriteOptions, xattrs};
use crate::content::Content;
use crate::tree::{Kind, Node, RootTree, TreePath};

const PATH_MAX: usize = 4095;
const SYMLINK_MAX: usize = 4095;
/// 2^32 blocks: block addresses have 32 bits.
const IMAGE_MAX: u64 = BLOCK_SIZE << 32;

/// The data of an inode.
pub(super) enum Body<'t> {
    Folder {
        entries: Vec<(&'t str, usize)>,
        plan: DirPlan,
    },
    File(&'t Content),
    Symlink(&'t str),
    /// Encoded device number.
    Device(u32),
    Fifo,
}

/// An inode and its place.
pub(super) struct Planned<'t> {
    pub path: &'t TreePath,
    pub raw: RawInode,
    pub xattrs: Vec<u8>,
    pub body: Body<'t>,
    /// First byte of the inode.
    pub place: u64,
    /// First block of its data; `None` without blocks.
    pub block: Option<u64>,
}

/// All of an image but the bytes of its files.
pub(super) struct Plan<'t> {
    pub superblock: Superblock,
    pub inodes: Vec<Planned<'t>>,
    /// Inodes in the order of their places.
    pub metadata_order: Vec<usize>,
    /// Inodes with blocks, in the order of their blocks.
    pub data_order: Vec<usize>,
    pub summary: ErofsSummary,
}

impl<'t> Plan<'t> {
    pub fn new(tree: &'t RootTree, options: &WriteOptions) -> Result<Self, ErofsError> {
        let mut volume_name = [0; 16];
        let label = options.volume_name.as_bytes();
        let field = volume_name.get_mut(..label.len());
        field.ok_or_else(|| ErofsError::VolumeNameTooLong(options.volume_name.clone()))?.copy_from_slice(label);
        for align in [options.layout.inline_align, options.layout.data_align] {
            if align == 0 || align % BLOCK_SIZE != 0 {
                return Err(ErofsError::BadAlignment(align));
            }
        }
        let mut inodes = collect(tree, options)?;
        let content = inodes.iter().fold(0_u64, |sum, inode| sum.saturating_add(inode.raw.size));
        if content > IMAGE_MAX {
            return Err(ErofsError::TooLarge(content));
        }
        let placed = place(&mut inodes, options);
        let summary = placed.summary;
        let blocks = u32::try_from(summary.len / BLOCK_SIZE).map_err(|_| ErofsError::TooLarge(summary.len))?;
        for inode in &mut inodes {
            inode.raw.union = match (&inode.body, inode.block) {
                (Body::Device(device), _) => *device,
                // A block's address is below `blocks`, which fits.
                (_, Some(block)) => u32::try_from(block).map_err(|_| ErofsError::TooLarge(summary.len))?,
                (_, None) => NO_BLOCK,
            };
        }
        let superblock = Superblock {
            // The root is placed first, at block 1: slot 128.
            root_nid: u16::try_from(inodes[0].nid().0).unwrap_or(u16::MAX),
            inodes: summary.inodes,
            epoch: options.epoch,
            blocks,
            meta_block: 0,
            xattr_block: 0,
            uuid: options.uuid,
            volume_name,
        };
        Ok(Self { superblock, inodes, metadata_order: placed.metadata, data_order: placed.data, summary })
    }
}

impl Planned<'_> {
    pub fn nid(&self) -> Nid {
        Nid(self.place / SLOT)
    }

    /// Length of inode and attributes, in bytes.
    pub fn head_len(&self) -> u64 {
        let inode = if self.raw.mtime.is_some() { EXTENDED_LEN } else { COMPACT_LEN };
        (inode + self.xattrs.len()) as u64
    }

    /// Bytes of data behind the inode.
    pub fn tail_len(&self) -> u64 {
        match self.raw.layout {
            DataLayout::Inline => self.raw.size % BLOCK_SIZE,
            DataLayout::Plain => 0,
        }
    }

    /// Bytes of data that are in blocks.
    pub fn block_bytes(&self) -> u64 {
        match self.body {
            Body::Device(_) | Body::Fifo => 0,
            _ => self.raw.size - self.tail_len(),
        }
    }
}

/// One inode per entry that is no hard link, in path order: folders know their entries, all know their links and size.
fn collect<'t>(tree: &'t RootTree, options: &WriteOptions) -> Result<Vec<Planned<'t>>, ErofsError> {
    tree.check_hard_links()?;
    let mut inodes = Vec::with_capacity(tree.len());
    let mut index_of = HashMap::with_capacity(tree.len());
    for (path, node) in tree.iter().filter(|(_, node)| !matches!(node.kind, Kind::HardLink(_))) {
        index_of.insert(path, inodes.len());
        inodes.push(planned(path, node)?);
    }
    for (path, node) in tree.iter() {
        let target = match &node.kind {
            Kind::HardLink(target) => target,
            _ => path,
        };
        let index = index_of.get(target).copied().unwrap_or_default();
        link(path, index, &mut inodes, &index_of)?;
    }
    for inode in &mut inodes {
        if let Body::Folder { entries, plan } = &mut inode.body {
            entries.sort_unstable();
            *plan = dirents::plan(entries.iter().map(|(name, _)| name.len()));
            inode.raw.size = plan.size;
        }
        let raw = &mut inode.raw;
        raw.mtime = (!RawInode::fits_compact(raw.uid, raw.gid, raw.nlink, raw.size)).then_some(options.epoch);
    }
    Ok(inodes)
}

/// Puts the entry at `path` into its folder and counts it as a link of its inode.
fn link<'t>(
    path: &'t TreePath,
    index: usize,
    inodes: &mut [Planned<'t>],
    index_of: &HashMap<&TreePath, usize>,
) -> Result<(), ErofsError> {
    let is_folder = matches!(inodes[index].body, Body::Folder { .. });
    // The root is its own parent; it counts as named by that.
    let parent = path.parent().and_then(|parent| index_of.get(&parent).copied()).unwrap_or_default();
    inodes[index].raw.nlink += 1;
    let name = path.name();
    if name.len() > NAME_MAX {
        return Err(ErofsError::NameTooLong(path.clone()));
    }
    if path.as_str().len() > PATH_MAX {
        return Err(ErofsError::PathTooLong(path.clone()));
    }
    if is_folder {
        inodes[parent].raw.nlink += u32::from(index != parent);
        if let Body::Folder { entries, .. } = &mut inodes[index].body {
            entries.extend([(".", index), ("..", parent)]);
        }
        inodes[index].raw.nlink += 1;
    }
    if let Body::Folder { entries, .. } = &mut inodes[parent].body
        && !name.is_empty()
    {
        entries.push((name, index));
    }
    Ok(())
}

fn planned<'t>(path: &'t TreePath, node: &'t Node) -> Result<Planned<'t>, ErofsError> {
    let meta = &node.meta;
    if meta.mode > 0o7777 {
        return Err(ErofsError::BadMode { path: path.clone(), mode: meta.mode });
    }
    let (xattrs, xattr_count) = xattrs::encode(&meta.xattrs).map_err(|(name, reason)| ErofsError::BadXattr {
        path: path.clone(),
        name,
        reason,
    })?;
    let device = |major, minor| {
        let encoded = encode_device(major, minor);
        encoded.map(Body::Device).ok_or_else(|| ErofsError::BadDevice { path: path.clone(), major, minor })
    };
    let (file_type, body, size) = match &node.kind {
        Kind::Folder => {
            let plan = dirents::plan(std::iter::empty());
            (FileType::Folder, Body::Folder { entries: Vec::new(), plan }, 0)
        }
        Kind::File(content) => (FileType::File, Body::File(content), content.len()),
        Kind::Symlink(text) => {
            if text.is_empty() || text.len() > SYMLINK_MAX || text.contains('\0') {
                return Err(ErofsError::BadSymlink(path.clone()));
            }
            (FileType::Symlink, Body::Symlink(text), text.len() as u64)
        }
        Kind::CharDevice { major, minor } => (FileType::CharDevice, device(*major, *minor)?, 0),
        Kind::BlockDevice { major, minor } => (FileType::BlockDevice, device(*major, *minor)?, 0),
        Kind::Fifo => (FileType::Fifo, Body::Fifo, 0),
        Kind::HardLink(target) => {
            let (path, target) = (path.clone(), target.clone());
            return Err(crate::tree::TreeError::BadHardLink { path, target }.into());
        }
    };
    let raw = RawInode {
        file_type,
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        nlink: 0,
        size,
        layout: DataLayout::Plain,
        union: NO_BLOCK,
        xattr_count,
        mtime: None,
    };
    Ok(Planned { path, raw, xattrs, body, place: 0, block: None })
}

struct Placed {
    metadata: Vec<usize>,
    data: Vec<usize>,
    summary: ErofsSummary,
}

fn place(inodes: &mut [Planned], options: &WriteOptions) -> Placed {
    let layout = options.layout;
    for inode in &mut *inodes {
        inode.raw.layout = data_layout(inode, layout.inline_limit);
    }
    let all = 0..inodes.len();
    let holds_addresses = |inode: &Planned| matches!(inode.body, Body::Folder { .. }) || inode.block_bytes() > 0;
    let (addressing, fixed): (Vec<usize>, Vec<usize>) = all.partition(|index| holds_addresses(&inodes[*index]));
    let pack = |inodes: &mut [Planned], zone: &[usize], start| {
        let mut packer = Packer::new(start);
        for index in zone {
            let inode = &mut inodes[*index];
            inode.place = packer.place(inode.head_len(), inode.tail_len());
        }
        packer
    };
    let assign = |inodes: &mut [Planned], users: &[usize], mut block: u64| {
        for index in users {
            inodes[*index].block = Some(block);
            block += inodes[*index].block_bytes().div_ceil(BLOCK_SIZE);
        }
        block
    };
    let has_blocks = addressing.iter().copied().filter(|index| inodes[*index].block_bytes() > 0);
    let (folders, files): (Vec<usize>, Vec<usize>) =
        has_blocks.partition(|index| matches!(inodes[*index].body, Body::Folder { .. }));

    let zone_1 = pack(inodes, &addressing, BLOCK_SIZE);
    let folder_start = zone_1.end().div_ceil(BLOCK_SIZE);
    let folder_end = assign(inodes, &folders, folder_start);
    let inline_start = (folder_end * BLOCK_SIZE).next_multiple_of(layout.inline_align);
    let zone_2 = pack(inodes, &fixed, inline_start);
    let data_start = zone_2.end().next_multiple_of(layout.data_align);
    let data_end = assign(inodes, &files, data_start / BLOCK_SIZE);

    let file_bytes: u64 = files.iter().map(|index| inodes[*index].block_bytes()).sum();
    let folder_bytes = (folder_end - folder_start) * BLOCK_SIZE;
    let summary = ErofsSummary {
        len: data_end * BLOCK_SIZE,
        inodes: inodes.len() as u64,
        inline_start,
        data_start,
        metadata_len: BLOCK_SIZE + zone_1.used() + folder_bytes + zone_2.used(),
        slack: data_end * BLOCK_SIZE - data_start - file_bytes,
    };
    Placed { metadata: [addressing, fixed].concat(), data: [folders, files].concat(), summary }
}

fn data_layout(inode: &Planned, inline_limit: u64) -> DataLayout {
    let tail = inode.raw.size % BLOCK_SIZE;
    let wanted = match inode.body {
        Body::Folder { .. } | Body::Symlink(_) => true,
        Body::File(_) => inode.raw.size <= inline_limit,
        Body::Device(_) | Body::Fifo => false,
    };
    if wanted && tail > 0 && fits(inode.head_len(), tail) { DataLayout::Inline } else { DataLayout::Plain }
}

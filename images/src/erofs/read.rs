//! Reads an uncompressed EROFS image from anything that can be read at an offset.
//!
//! The bytes are not trusted: an update server, a disk that rots or a person may have made them. What is expected, and
//! what stops it:
//!
//! * addresses and sizes outside of the image, or so large that sums wrap: all sums are checked, and an [`Inode`]
//!   that exists has all of its bytes inside the image;
//! * sizes that ask for memory: a folder is read only up to 16 MiB, a file only up to what the caller allows;
//! * folders that contain themselves, and many folders that share their bytes so that a small image has endless
//!   entries: [`Walk`] enters no folder twice and reads no more folder bytes than the image has;
//! * names that leave the folder (`/`, empty), or are out of order so that tools see other files than the kernel:
//!   refused;
//! * features we don't read (compression, chunks): refused, never guessed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::dirents::parse_block;
use super::format::{BadInode, COMPACT_LEN, DataLayout, EXTENDED_LEN, FileType, Nid, RawInode, SLOT, decode_device};
use super::superblock::{BadSuperblock, Superblock};
use super::walk::Walk;
use super::{BLOCK_SIZE, xattrs};
use crate::content::{Content, ReadAt};
use crate::digest::Digest;
use crate::tree::TreePath;

const FOLDER_MAX: u64 = 16 << 20;
const SYMLINK_MAX: u64 = 4096;
/// Most bytes of a file that are read at a time for its digest.
const READ_MAX: usize = 256 << 10;

/// Why an image can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The image could not be read.
    #[error("byte {offset} of the image can't be read")]
    Io {
        /// Where, from the start of the image.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// There is no EROFS superblock.
    #[error("no EROFS image")]
    NotErofs,
    /// The superblock is damaged.
    #[error("the checksum of the EROFS superblock doesn't match")]
    Checksum,
    /// The image is shorter than it says.
    #[error("the EROFS image should have {expected} bytes and has {len}")]
    Truncated {
        /// Length by the superblock, in bytes.
        expected: u64,
        /// Length there is, in bytes.
        len: u64,
    },
    /// The image uses something that is not read here.
    #[error("the EROFS image uses {0}, which is not supported")]
    Unsupported(&'static str),
    /// An inode makes no sense.
    #[error("inode {nid} of the EROFS image has {reason}")]
    BadInode {
        /// The inode.
        nid: Nid,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A folder makes no sense.
    #[error("folder {nid} of the EROFS image has {reason}")]
    BadFolder {
        /// The inode of the folder.
        nid: Nid,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something else was expected.
    #[error("inode {nid} of the EROFS image is no {expected}")]
    WrongType {
        /// The inode.
        nid: Nid,
        /// What was asked for.
        expected: &'static str,
    },
    /// More bytes than the caller allows.
    #[error("inode {nid} of the EROFS image has {size} bytes, and {limit} are allowed")]
    TooLarge {
        /// The inode.
        nid: Nid,
        /// Its size, or the sum up to it, in bytes.
        size: u64,
        /// What is allowed, in bytes.
        limit: u64,
    },
}

/// Bytes that lie together in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First byte, from the start of the image.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// An inode whose data is known to lie inside the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    nid: Nid,
    raw: RawInode,
    epoch: u64,
    xattrs: Extent,
    blocks: Extent,
    tail: Extent,
}

impl Inode {
    /// Its number.
    pub fn nid(&self) -> Nid {
        self.nid
    }

    /// What it is.
    pub fn file_type(&self) -> FileType {
        self.raw.file_type
    }

    /// Permission bits, at most `0o7777`.
    pub fn mode(&self) -> u16 {
        self.raw.mode
    }

    /// Numeric owner.
    pub fn uid(&self) -> u32 {
        self.raw.uid
    }

    /// Numeric group.
    pub fn gid(&self) -> u32 {
        self.raw.gid
    }

    /// How many names it has; for a folder also `.` and the `..` of its folders.
    pub fn links(&self) -> u32 {
        self.raw.nlink
    }

    /// Length of its data, in bytes.
    pub fn size(&self) -> u64 {
        self.blocks.len + self.tail.len
    }

    /// Time of the last change, in seconds since 1970 UTC.
    pub fn mtime(&self) -> u64 {
        self.raw.mtime.unwrap_or(self.epoch)
    }

    /// Major and minor number, for a device.
    pub fn device(&self) -> Option<(u32, u32)> {
        let is_device = matches!(self.raw.file_type, FileType::CharDevice | FileType::BlockDevice);
        is_device.then(|| decode_device(self.raw.union))
    }

    /// Where its data lies, in order: at most one extent of whole blocks, which starts at a block border, and at most
    /// one beside the inode.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + use<> {
        [self.blocks, self.tail].into_iter().filter(|extent| extent.len > 0)
    }

    /// Whether this is the long form of 64 bytes.
    pub fn is_extended(&self) -> bool {
        self.raw.mtime.is_some()
    }
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name: 1 to 255 bytes.
    pub name: String,
    /// The inode it names.
    pub nid: Nid,
    /// What the folder says that inode is.
    pub file_type: FileType,
}

/// An open image. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    source: Arc<dyn ReadAt>,
    /// Where the image starts in `source`.
    base: u64,
    len: u64,
    superblock: Superblock,
}

impl Reader {
    /// Opens the image that fills the first `len` bytes of `source`, or a part of them.
    pub fn open(source: Arc<dyn ReadAt>, len: u64) -> Result<Self, ReadError> {
        Self::open_within(source, Extent { offset: 0, len })
    }

    /// Opens the image at a place of a larger file: in a partition of a disk, say.
    pub fn open_within(source: Arc<dyn ReadAt>, place: Extent) -> Result<Self, ReadError> {
        let end = place.offset.checked_add(place.len);
        if place.len < BLOCK_SIZE || end.is_none() {
            return Err(ReadError::NotErofs);
        }
        let mut block = [0; 4096];
        source.read_exact_at(&mut block, place.offset).map_err(|source| ReadError::Io { offset: 0, source })?;
        let superblock = Superblock::decode(&block).map_err(|bad| match bad {
            BadSuperblock::Magic => ReadError::NotErofs,
            BadSuperblock::Checksum => ReadError::Checksum,
            BadSuperblock::Unsupported(what) => ReadError::Unsupported(what),
        })?;
        let len = u64::from(superblock.blocks) * BLOCK_SIZE;
        if len > place.len {
            return Err(ReadError::Truncated { expected: len, len: place.len });
        }
        Ok(Self { source, base: place.offset, len, superblock })
    }

    /// What the image says of itself.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Length of the image, in bytes.
    pub fn image_len(&self) -> u64 {
        self.len
    }

    /// The folder `/`.
    pub fn root(&self) -> Result<Inode, ReadError> {
        self.inode(Nid(u64::from(self.superblock.root_nid)))
    }

    /// The inode with this number.
    pub fn inode(&self, nid: Nid) -> Result<Inode, ReadError> {
        let bad = |reason| ReadError::BadInode { nid, reason };
        let start = nid.0.checked_mul(SLOT).and_then(|at| at.checked_add(self.meta_start()));
        let start = start.ok_or(bad("a number beyond the image"))?;
        let mut bytes = [0; EXTENDED_LEN];
        self.read_image(&mut bytes[..COMPACT_LEN], start)?;
        let mut head_len = COMPACT_LEN as u64;
        if RawInode::is_extended(bytes[0]) {
            self.read_image(&mut bytes[COMPACT_LEN..], start + head_len)?;
            head_len = EXTENDED_LEN as u64;
        }
        let raw = RawInode::decode(&bytes).map_err(|error| match error {
            BadInode::Damaged(reason) => bad(reason),
            BadInode::Unsupported(what) => ReadError::Unsupported(what),
        })?;
        let xattrs = Extent { offset: start + head_len, len: xattrs::area_len(raw.xattr_count) as u64 };
        let (blocks, tail) = data_extents(&raw, xattrs.offset + xattrs.len).ok_or(bad("data with a wrong place"))?;
        for extent in [xattrs, blocks, tail] {
            if extent.len > 0 && extent.offset.checked_add(extent.len).is_none_or(|end| end > self.len) {
                return Err(bad("data outside of the image"));
            }
        }
        Ok(Inode { nid, raw, epoch: self.superblock.epoch, xattrs, blocks, tail })
    }

    /// The inode at `path`, symbolic links not followed; `None` when there is none.
    pub fn lookup(&self, path: &TreePath) -> Result<Option<Inode>, ReadError> {
        let mut inode = self.root()?;
        for part in path.parts() {
            if inode.file_type() != FileType::Folder {
                return Ok(None);
            }
            match self.read_dir(&inode)?.into_iter().find(|entry| entry.name == part) {
                Some(entry) => inode = self.inode(entry.nid)?,
                None => return Ok(None),
            }
        }
        Ok(Some(inode))
    }

    /// Names in a folder, ascending by their bytes, without `.` and `..`.
    pub fn read_dir(&self, folder: &Inode) -> Result<Vec<DirEntry>, ReadError> {
        let nid = folder.nid;
        if folder.file_type() != FileType::Folder {
            return Err(ReadError::WrongType { nid, expected: "folder" });
        }
        let bad = |reason| ReadError::BadFolder { nid, reason };
        let bytes = self.read(folder, FOLDER_MAX)?;
        let mut entries = Vec::new();
        let mut last: &[u8] = &[];
        for block in bytes.chunks(4096) {
            for dirent in parse_block(block).map_err(bad)? {
                if dirent.name <= last {
                    return Err(bad("names out of order"));
                }
                last = dirent.name;
                if !matches!(dirent.name, b"." | b"..") {
                    let name = std::str::from_utf8(dirent.name).map_err(|_| bad("a name that is no UTF-8"))?;
                    entries.push(DirEntry { name: name.to_owned(), nid: dirent.nid, file_type: dirent.file_type });
                }
            }
        }
        Ok(entries)
    }

    /// Text of a symbolic link.
    pub fn read_link(&self, link: &Inode) -> Result<String, ReadError> {
        let nid = link.nid;
        if link.file_type() != FileType::Symlink {
            return Err(ReadError::WrongType { nid, expected: "symbolic link" });
        }
        let bad = |reason| ReadError::BadInode { nid, reason };
        let text = String::from_utf8(self.read(link, SYMLINK_MAX)?).map_err(|_| bad("a link text that is no UTF-8"))?;
        if text.is_empty() || text.contains('\0') {
            return Err(bad("a link text that is empty or has a NUL"));
        }
        Ok(text)
    }

    /// All data of an inode, which must be at most `limit` bytes.
    pub fn read(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>, ReadError> {
        let too_large = || ReadError::TooLarge { nid: inode.nid, size: inode.size(), limit };
        let size = usize::try_from(inode.size()).map_err(|_| too_large())?;
        if inode.size() > limit {
            return Err(too_large());
        }
        let mut bytes = vec![0; size];
        self.read_exact_at(inode, &mut bytes, 0)?;
        Ok(bytes)
    }

    /// Fills `buf` with the data of an inode from `offset` on.
    pub fn read_exact_at(&self, inode: &Inode, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.file_bytes(inode).read_exact_at(buf, offset).map_err(|source| ReadError::Io { offset, source })
    }

    /// The content of a regular file, read once for its digest and again when it is asked for.
    pub fn content(&self, file: &Inode) -> Result<Content, ReadError> {
        if file.file_type() != FileType::File {
            return Err(ReadError::WrongType { nid: file.nid, expected: "regular file" });
        }
        let source: Arc<dyn ReadAt> = Arc::new(self.file_bytes(file));
        let unverified = Content::from_extent(Arc::clone(&source), 0, file.size(), Digest::from_bytes([0; 32]));
        let capacity = usize::try_from(file.size()).map_or(READ_MAX, |size| size.min(READ_MAX));
        let mut buffered = io::BufReader::with_capacity(capacity, unverified.reader());
        let offset = file.extents().next().unwrap_or_default().offset;
        let (digest, len) = Digest::of_reader(&mut buffered).map_err(|source| ReadError::Io { offset, source })?;
        Ok(Content::from_extent(source, 0, len, digest))
    }

    /// Extended attributes of an inode, by full name.
    pub fn xattrs(&self, inode: &Inode) -> Result<BTreeMap<String, Vec<u8>>, ReadError> {
        let bad = || ReadError::BadInode { nid: inode.nid, reason: "extended attributes that make no sense" };
        let mut found = BTreeMap::new();
        if inode.xattrs.len == 0 {
            return Ok(found);
        }
        // At most 256 KiB: the length comes from 16 bits.
        let mut bytes = vec![0; usize::try_from(inode.xattrs.len).map_err(|_| bad())?];
        self.read_image(&mut bytes, inode.xattrs.offset)?;
        let area = xattrs::parse_area(&bytes).ok_or_else(bad)?;
        let mut entries = area.entries;
        while !entries.is_empty() {
            let (name, value, rest) = xattrs::parse_entry(entries).ok_or_else(bad)?;
            found.insert(name, value);
            entries = rest;
        }
        for id in area.shared {
            let start = u64::from(self.superblock.xattr_block) * BLOCK_SIZE + u64::from(id) * 4;
            let mut header = [0; 4];
            self.read_image(&mut header, start)?;
            let mut entry = vec![0; xattrs::entry_len(header)];
            self.read_image(&mut entry, start)?;
            let (name, value, _) = xattrs::parse_entry(&entry).ok_or_else(bad)?;
            found.insert(name, value);
        }
        Ok(found)
    }

    /// Every path and its inode, folders before what is in them, names ascending.
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(self)
    }

    fn meta_start(&self) -> u64 {
        u64::from(self.superblock.meta_block) * BLOCK_SIZE
    }

    fn read_image(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let outside = || ReadError::Io { offset, source: io::ErrorKind::UnexpectedEof.into() };
        let end = offset.checked_add(buf.len() as u64).ok_or_else(outside)?;
        if end > self.len {
            return Err(outside());
        }
        self.source.read_exact_at(buf, self.base + offset).map_err(|source| ReadError::Io { offset, source })
    }

    fn file_bytes(&self, inode: &Inode) -> FileBytes {
        FileBytes { source: Arc::clone(&self.source), base: self.base, blocks: inode.blocks, tail: inode.tail }
    }
}

/// Where the data of an inode is, with its tail at `after_head`; `None` when that can't be.
fn data_extents(raw: &RawInode, after_head: u64) -> Option<(Extent, Extent)> {
    let none = Extent::default();
    if raw.size == 0 || !matches!(raw.file_type, FileType::File | FileType::Folder | FileType::Symlink) {
        return Some((none, none));
    }
    let offset = u64::from(raw.union) * BLOCK_SIZE;
    match raw.layout {
        DataLayout::Plain => Some((Extent { offset, len: raw.size }, none)),
        DataLayout::Inline => {
            // The last block is beside the inode even when it is a whole one, as in the kernel.
            let block_bytes = (raw.size - 1) / BLOCK_SIZE * BLOCK_SIZE;
            let tail = Extent { offset: after_head, len: raw.size - block_bytes };
            let blocks = if block_bytes == 0 { none } else { Extent { offset, len: block_bytes } };
            (tail.offset % BLOCK_SIZE + tail.len <= BLOCK_SIZE).then_some((blocks, tail))
        }
    }
}

/// The data of one inode as one run of bytes.
struct FileBytes {
    source: Arc<dyn ReadAt>,
    base: u64,
    blocks: Extent,
    tail: Extent,
}

impl ReadAt for FileBytes {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.blocks.len + self.tail.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let in_blocks = self.blocks.len.saturating_sub(offset).min(buf.len() as u64);
        let (first, second) = buf.split_at_mut(usize::try_from(in_blocks).unwrap_or(usize::MAX));
        if !first.is_empty() {
            self.source.read_exact_at(first, self.base + self.blocks.offset + offset)?;
        }
        if !second.is_empty() {
            let in_tail = offset + in_blocks - self.blocks.len;
            self.source.read_exact_at(second, self.base + self.tail.offset + in_tail)?;
        }
        Ok(())
    }
}

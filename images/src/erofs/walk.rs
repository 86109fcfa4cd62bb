//! Walks a whole image, and rebuilds a [`RootTree`] from it.

use std::collections::{HashMap, HashSet};

use super::format::FileType;
use super::read::{DirEntry, Inode, ReadError, Reader};
use crate::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};

const PATH_MAX: usize = 4095;

/// Every path of an image with its inode, folders before what is in them, names ascending. Ends after an error.
pub struct Walk<'a> {
    reader: &'a Reader,
    /// Entries still to be visited of each open folder, innermost last.
    open: Vec<(TreePath, std::vec::IntoIter<DirEntry>)>,
    entered: HashSet<u64>,
    folder_bytes: u64,
    started: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(reader: &'a Reader) -> Self {
        Self { reader, open: Vec::new(), entered: HashSet::new(), folder_bytes: 0, started: false }
    }

    fn step(&mut self) -> Option<Result<(TreePath, Inode), ReadError>> {
        if !self.started {
            self.started = true;
            return Some(self.reader.root().and_then(|root| self.enter(TreePath::root(), root)));
        }
        loop {
            let (folder, entries) = self.open.last_mut()?;
            match entries.next() {
                Some(entry) => {
                    let folder = folder.clone();
                    return Some(self.visit(&folder, &entry));
                }
                None => {
                    self.open.pop();
                }
            }
        }
    }

    fn visit(&mut self, folder: &TreePath, entry: &DirEntry) -> Result<(TreePath, Inode), ReadError> {
        let bad = |reason| ReadError::BadFolder { nid: entry.nid, reason };
        let path = folder.join(&entry.name).map_err(|_| bad("a name that no file can have"))?;
        if path.as_str().len() > PATH_MAX {
            return Err(bad("a path longer than 4095 bytes"));
        }
        let inode = self.reader.inode(entry.nid)?;
        if inode.file_type() != entry.file_type {
            return Err(bad("a type other than its folder says"));
        }
        if inode.file_type() == FileType::Folder { self.enter(path, inode) } else { Ok((path, inode)) }
    }

    fn enter(&mut self, path: TreePath, folder: Inode) -> Result<(TreePath, Inode), ReadError> {
        let bad = |reason| ReadError::BadFolder { nid: folder.nid(), reason };
        if !self.entered.insert(folder.nid().value()) {
            return Err(bad("more than one name"));
        }
        self.folder_bytes = self.folder_bytes.saturating_add(folder.size());
        if self.folder_bytes > self.reader.image_len() {
            return Err(bad("bytes that other folders have, too"));
        }
        self.open.push((path.clone(), self.reader.read_dir(&folder)?.into_iter()));
        Ok((path, folder))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(TreePath, Inode), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if matches!(step, Some(Err(_))) {
            self.open.clear();
        }
        step
    }
}

impl Reader {
    /// The tree that the image holds. Every file is read once, for its digest; `limit` is the most bytes that files,
    /// link texts, folders and attributes may come to, since inodes that share bytes can claim any sum.
    /// Contents stay in the image. Of several names of one file the first becomes the file, the others its hard links.
    pub fn to_tree(&self, limit: u64) -> Result<RootTree, ReadError> {
        let mut tree = RootTree::new();
        let mut first_names: HashMap<u64, TreePath> = HashMap::new();
        let mut bytes_read = 0_u64;
        for step in self.walk() {
            let (path, inode) = step?;
            let nid = inode.nid();
            let bad = |reason| ReadError::BadInode { nid, reason };
            let xattrs = self.xattrs(&inode)?;
            let is_known = first_names.contains_key(&nid.value());
            bytes_read = bytes_read.saturating_add(if is_known { 0 } else { inode.size() });
            bytes_read = bytes_read.saturating_add(xattrs.values().map(|value| value.len() as u64).sum());
            if bytes_read > limit {
                return Err(ReadError::TooLarge { nid, size: bytes_read, limit });
            }
            let kind = match inode.file_type() {
                FileType::Folder => Kind::Folder,
                FileType::Symlink => Kind::Symlink(self.read_link(&inode)?),
                FileType::Fifo => Kind::Fifo,
                FileType::Socket => return Err(ReadError::Unsupported("sockets")),
                FileType::CharDevice | FileType::BlockDevice => {
                    let (major, minor) = inode.device().ok_or(bad("no device number"))?;
                    match inode.file_type() {
                        FileType::CharDevice => Kind::CharDevice { major, minor },
                        _ => Kind::BlockDevice { major, minor },
                    }
                }
                FileType::File => {
                    if let Some(first) = first_names.get(&nid.value()) {
                        Kind::HardLink(first.clone())
                    } else {
                        first_names.insert(nid.value(), path.clone());
                        Kind::File(self.content(&inode)?)
                    }
                }
            };
            let (mode, uid, gid) = (inode.mode(), inode.uid(), inode.gid());
            let meta = Meta { mode, uid, gid, xattrs };
            let node = Node { meta, kind, origin: Origin::Effect("erofs".into()) };
            tree.insert(path, node).map_err(|_| bad("a place where it can't be"))?;
        }
        Ok(tree)
    }
}

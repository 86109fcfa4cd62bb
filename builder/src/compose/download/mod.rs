//! Files and archives that the recipe takes from elsewhere by URL and digest, as entries of a tree.
//!
//! The digest says that it is what the recipe named, not that it is harmless. What [`crate::archive`] expects is expected
//! here too; besides, an archive may not write through its own links, link to files that it doesn't hold, or bring devices.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipway_images::content::{Content, ReadAt};
use slipway_images::digest::Digest;
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreeError, TreePath};

use crate::archive::ArchiveError;
use crate::archive::compression::{Compression, Threads};
use crate::archive::spool::Spool;
use crate::archive::tar::{Limits, Member, MemberKind, read_members};
use crate::lock::Lock;
use crate::recipe::{Download, DownloadTarget};

/// Most that an archive may hold.
const LIMITS: Limits = Limits { bytes: 16 << 30, members: 1 << 20 };
const BUFFER: usize = 128 << 10;

/// Why a download can't go into a tree.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The downloaded file can't be read.
    #[error("can't read `{path}`, downloaded from `{url}`")]
    Read {
        /// Where it comes from.
        url: String,
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It isn't what the recipe names.
    #[error("`{url}` has the SHA-256 {found}, and the recipe says {expected}")]
    Digest {
        /// Where it comes from.
        url: String,
        /// What the recipe says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// It is no archive that can be unpacked.
    #[error("`{url}` can't be unpacked: a tar archive, plain or compressed with gzip, xz or zstd, is wanted")]
    Archive {
        /// Where it comes from.
        url: String,
        /// What is wrong.
        source: ArchiveError,
    },
    /// What is in it doesn't fit together, or not with the recipe.
    #[error("`{url}`: {what}")]
    Shape {
        /// Where it comes from.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// Its entries contradict each other.
    #[error("`{url}`")]
    Tree {
        /// Where it comes from.
        url: String,
        /// What is wrong.
        source: TreeError,
    },
    /// Temporary files can't be written.
    #[error("can't write a temporary file for `{url}`")]
    Write {
        /// Where it comes from.
        url: String,
        /// Why.
        source: io::Error,
    },
}

/// The entries that `download`, which lies at `file`, puts into a tree, folders before what is in them. Owners by name are
/// looked up in `lock`; members of archives keep their modes and get that owner. Contents of archives go to a nameless
/// temporary file in `scratch`.
pub fn entries(
    download: &Download,
    file: &Path,
    lock: &Lock,
    scratch: &Path,
) -> Result<Vec<(TreePath, Node)>, DownloadError> {
    let url = || download.url.clone();
    let read_error = |source| DownloadError::Read { url: url(), path: file.to_owned(), source };
    let opened = File::open(file).map_err(read_error)?;
    let (found, len) = Digest::of_reader(&mut BufReader::with_capacity(BUFFER, &opened)).map_err(read_error)?;
    if found != download.sha256 {
        return Err(DownloadError::Digest { url: url(), expected: download.sha256, found });
    }
    let owner = owner(download, lock)?;
    match &download.target {
        DownloadTarget::File(path) => {
            let source: Arc<dyn ReadAt> = Arc::new(opened);
            let kind = Kind::File(Content::from_extent(source, 0, len, found));
            let meta = Meta { mode: download.ownership.mode, ..owner };
            Ok(vec![(path.clone(), Node { meta, kind, origin: Origin::Recipe })])
        }
        DownloadTarget::Extract { folder, strip } => {
            let mut unpacking = Unpacking {
                tree: RootTree::new(),
                spool: Spool::new(scratch).map_err(|source| DownloadError::Write { url: url(), source })?,
                folder,
                strip: *strip,
                owner,
            };
            unpacking.unpack(opened, len).map_err(|stop| stop.of(&download.url))?;
            unpacking.finish().map_err(|stop| stop.of(&download.url))
        }
    }
}

/// Owner and group of `download`, by number, or by a name that is root or pinned.
fn owner(download: &Download, lock: &Lock) -> Result<Meta, DownloadError> {
    let look_up = |name: &str, ids: &std::collections::BTreeMap<String, u32>| {
        let id = name.parse().ok().or_else(|| ids.get(name).copied()).or((name == "root").then_some(0));
        let what = || format!("it is to belong to `{name}`, for whom the lock has no id; write a number");
        id.ok_or_else(|| DownloadError::Shape { url: download.url.clone(), what: what() })
    };
    let uid = look_up(&download.ownership.owner, &lock.users)?;
    let gid = look_up(&download.ownership.group, &lock.groups)?;
    Ok(Meta { uid, gid, ..Meta::root_owned(0o755) })
}

/// What stops the unpacking.
enum Stop {
    Read(ArchiveError),
    Shape(String),
    Tree(TreeError),
    Write(io::Error),
}

impl Stop {
    fn of(self, url: &str) -> DownloadError {
        let url = url.to_owned();
        match self {
            Self::Read(source) => DownloadError::Archive { url, source },
            Self::Shape(what) => DownloadError::Shape { url, what },
            Self::Tree(source) => DownloadError::Tree { url, source },
            Self::Write(source) => DownloadError::Write { url, source },
        }
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Read(error)
    }
}

impl From<TreeError> for Stop {
    fn from(error: TreeError) -> Self {
        Self::Tree(error)
    }
}

struct Unpacking<'a> {
    tree: RootTree,
    spool: Spool,
    folder: &'a TreePath,
    strip: usize,
    owner: Meta,
}

impl Unpacking<'_> {
    fn unpack(&mut self, mut file: File, len: u64) -> Result<(), Stop> {
        let mut magic = [0; 6];
        let read = file.read_at(&mut magic, 0).map_err(ArchiveError::Read)?;
        file.rewind().map_err(ArchiveError::Read)?;
        let reader = BufReader::with_capacity(BUFFER, file);
        let decoder = Compression::by_magic(&magic[..read]).decoder(reader, len, Threads::Several)?;
        read_members(decoder, &LIMITS, |member, content| self.add(member, content))
    }

    fn add(&mut self, member: Member, content: &mut dyn io::Read) -> Result<(), Stop> {
        let Some(path) = self.place(&member.path)? else { return Ok(()) };
        let mut meta = Meta { mode: member.mode, xattrs: member.xattrs, ..self.owner.clone() };
        let kind = match member.kind {
            MemberKind::Folder => Kind::Folder,
            MemberKind::File => Kind::File(self.spool.copy(content).map_err(Stop::Write)?),
            MemberKind::Symlink(target) => Kind::Symlink(target),
            MemberKind::HardLink(target) => {
                let first = self.place(&target)?.and_then(|target| self.first_name(target));
                let (first, of_file) = first.ok_or_else(|| {
                    Stop::Shape(format!("hard link `{}` points to `{target}`, which is no file before it", member.path))
                })?;
                meta = of_file;
                Kind::HardLink(first)
            }
            MemberKind::CharDevice(..) | MemberKind::BlockDevice(..) | MemberKind::Fifo => {
                return Err(Stop::Shape(format!("`{}` is a device or a pipe", member.path)));
            }
        };
        Ok(self.tree.insert(path, Node { meta, kind, origin: Origin::Recipe })?)
    }

    /// Where a member goes; `None` when it is among the parts that are taken off.
    fn place(&self, path: &str) -> Result<Option<TreePath>, Stop> {
        let left: Vec<&str> = path.split('/').skip(self.strip).filter(|part| !part.is_empty()).collect();
        if left.is_empty() { Ok(None) } else { Ok(Some(self.folder.join(&left.join("/"))?)) }
    }

    fn first_name(&self, path: TreePath) -> Option<(TreePath, Meta)> {
        let node = self.tree.get(&path)?;
        match &node.kind {
            Kind::File(_) => Some((path, node.meta.clone())),
            Kind::HardLink(first) => Some((first.clone(), node.meta.clone())),
            _ => None,
        }
    }

    fn finish(self) -> Result<Vec<(TreePath, Node)>, Stop> {
        // A later member may have replaced the file that an earlier link names.
        self.tree.check_hard_links()?;
        let entries: Vec<(TreePath, Node)> = self
            .tree
            .below(self.folder)
            .filter(|(path, _)| *path != self.folder)
            .map(|(path, node)| (path.clone(), node.clone()))
            .collect();
        if entries.is_empty() {
            let strip = self.strip;
            return Err(Stop::Shape(format!("it has no member with more than {strip} path parts (`strip = {strip}`)")));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests;

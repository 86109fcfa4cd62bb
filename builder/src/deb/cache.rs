//! The cache of unpacked packages, so that a package is decompressed once and never again.
//!
//! One file per package, `unpacked/v1/SHA256-OF-DEB`:
//!
//! ```text
//! contents of the package's files, in archive order, each aligned to 16 bytes
//! index (JSON): control fields, scripts, every entry; for files offset, length and SHA-256
//! trailer, 48 bytes: SHA-256 of the index, length of the index (u64, little-endian), magic `slipdeb1`
//! ```
//!
//! The folder belongs to the user and is not defended against them, but it is expected to be damaged: by a machine that
//! lost power (files are renamed into place and not synced), a full disk, or bit rot. So the index counts only with its
//! digest, extents only within the file, and every content is read once and compared with its digest. Whatever is wrong,
//! the package counts as missing and is unpacked again. Two builds at once write the same bytes under names of
//! their own and rename; a file that is open stays whole when it is replaced.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use slipway_images::content::{Content, ReadAt};
use slipway_images::digest::{Digest, DigestWriter};
use slipway_images::tree::{Kind, Meta, Node, Origin, TreePath};
use tempfile::NamedTempFile;

use super::Package;
use crate::disuse::mark_used;

const MAGIC: &[u8; 8] = b"slipdeb1";
const TRAILER: usize = 48;
const ALIGNMENT: u64 = 16;
/// Most bytes of an index: that of the kernel's documentation, with 10,000 files, is 3 MiB.
const MAX_INDEX: u64 = 1 << 30;
const BUFFER: usize = 256 << 10;
const PARTIAL: &str = ".partial-";
/// After this time nobody is still writing a file that was never renamed.
const PARTIAL_LIFETIME: Duration = Duration::from_hours(24);

/// The folder of unpacked packages.
#[derive(Clone, Debug)]
pub struct UnpackedCache {
    folder: PathBuf,
}

impl UnpackedCache {
    /// The cache below the project's cache folder `cache`. Made when missing; what killed builds left is swept.
    pub fn open(cache: &Path) -> io::Result<Self> {
        let folder = cache.join("unpacked").join("v1");
        fs::create_dir_all(&folder)?;
        let opened = Self { folder };
        opened.sweep()?;
        Ok(opened)
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
            let age = || SystemTime::now().duration_since(entry.metadata().ok()?.modified().ok()?).ok();
            if partial && age().is_some_and(|age| age > PARTIAL_LIFETIME) {
                // Another build may sweep at the same time.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Where the package with this digest of its `.deb` is kept.
    pub fn path_of(&self, deb: Digest) -> PathBuf {
        self.folder.join(deb.to_hex())
    }

    /// The package, if it is here and whole.
    pub(super) fn load(&self, deb: Digest) -> Result<Option<Package>, Damage> {
        let file = match File::open(self.path_of(deb)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Damage::Read(error)),
        };
        let (index, contents) = read_index(&file)?;
        if index.deb != deb {
            return Err(Damage::Shape("it holds another package"));
        }
        let package = index.into_package(&Arc::new(file), contents)?;
        check_contents(&package)?;
        mark_used(&self.path_of(deb));
        Ok(Some(package))
    }

    /// Begins to write the file of a package.
    pub(super) fn writer(&self) -> io::Result<CacheWriter> {
        let file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&self.folder)?;
        Ok(CacheWriter { file: BufWriter::with_capacity(BUFFER, file), position: 0 })
    }
}

/// Why a file of the cache can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    #[error("{0}")]
    Shape(&'static str),
    #[error("the content of `{0}` is not what it was")]
    Content(TreePath),
}

/// What the cache keeps of a package besides its contents.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub deb: Digest,
    pub name: String,
    pub version: String,
    pub control: BTreeMap<String, String>,
    pub scripts: BTreeMap<String, String>,
    pub control_files: BTreeMap<String, String>,
    pub rows: Vec<Row>,
}

/// One entry of the data archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub path: String,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    /// Values in hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
    pub kind: RowKind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RowKind {
    Folder,
    File { offset: u64, len: u64, sha256: Digest },
    Symlink(String),
    HardLink(String),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

impl Index {
    /// The package whose contents are the first `contents` bytes of `file`.
    fn into_package(self, file: &Arc<File>, contents: u64) -> Result<Package, Damage> {
        let name: Arc<str> = self.name.into();
        let origin = Origin::Package(Arc::clone(&name));
        let entries =
            self.rows.into_iter().map(|row| row.into_entry(file, contents, &origin)).collect::<Result<_, _>>()?;
        Ok(Package {
            name,
            version: self.version,
            control: self.control,
            scripts: self.scripts,
            control_files: self.control_files,
            entries,
        })
    }
}

impl Row {
    fn into_entry(self, file: &Arc<File>, contents: u64, origin: &Origin) -> Result<(TreePath, Node), Damage> {
        let path = |text: &str| TreePath::new(text).map_err(|_| Damage::Shape("it has a path that is none"));
        let kind = match self.kind {
            RowKind::Folder => Kind::Folder,
            RowKind::File { offset, len, sha256 } => {
                if offset.checked_add(len).is_none_or(|end| end > contents) {
                    return Err(Damage::Shape("it has a file that lies outside"));
                }
                let source: Arc<dyn ReadAt> = Arc::<File>::clone(file);
                Kind::File(Content::from_extent(source, offset, len, sha256))
            }
            RowKind::Symlink(target) => Kind::Symlink(target),
            RowKind::HardLink(target) => Kind::HardLink(path(&target)?),
            RowKind::CharDevice(major, minor) => Kind::CharDevice { major, minor },
            RowKind::BlockDevice(major, minor) => Kind::BlockDevice { major, minor },
            RowKind::Fifo => Kind::Fifo,
        };
        let mut xattrs = BTreeMap::new();
        for (name, value) in self.xattrs {
            let value = hex::decode(value).map_err(|_| Damage::Shape("it has an attribute that isn't hexadecimal"))?;
            xattrs.insert(name, value);
        }
        let meta = Meta { mode: self.mode, uid: self.uid, gid: self.gid, xattrs };
        Ok((path(&self.path)?, Node { meta, kind, origin: origin.clone() }))
    }
}

fn read_index(file: &File) -> Result<(Index, u64), Damage> {
    let end = file.metadata()?.len();
    let trailer_at = end.checked_sub(TRAILER as u64).ok_or(Damage::Shape("it is too short"))?;
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, trailer_at)?;
    let (digest, rest) = trailer.split_at(32);
    let (len, magic) = rest.split_at(8);
    if magic != MAGIC {
        return Err(Damage::Shape("it doesn't end as it should"));
    }
    let len = len.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let contents = trailer_at.checked_sub(len).filter(|_| len <= MAX_INDEX);
    let contents = contents.ok_or(Damage::Shape("its index is longer than the file"))?;
    let mut index = vec![0; usize::try_from(len).map_err(|_| Damage::Shape("its index is too long"))?];
    file.read_exact_at(&mut index, contents)?;
    if Digest::of(&index).as_bytes() != digest {
        return Err(Damage::Shape("its index is not what it was"));
    }
    let index = serde_json::from_slice(&index).map_err(|_| Damage::Shape("its index can't be understood"))?;
    Ok((index, contents))
}

fn check_contents(package: &Package) -> Result<(), Damage> {
    let mut buffer = vec![0; BUFFER];
    for (path, node) in &package.entries {
        if let Kind::File(content) = &node.kind {
            let mut sink = DigestWriter::new(io::sink());
            let mut reader = content.reader();
            loop {
                match reader.read(&mut buffer)? {
                    0 => break,
                    count => sink.write_all(&buffer[..count])?,
                }
            }
            if sink.finish().1 != content.digest() {
                return Err(Damage::Content(path.clone()));
            }
        }
    }
    Ok(())
}

/// Writes the file of one package; nothing is seen under its name before [`CacheWriter::finish`].
pub(super) struct CacheWriter {
    file: BufWriter<NamedTempFile>,
    position: u64,
}

impl CacheWriter {
    /// Takes in the content of a file and returns where it lies.
    pub fn add(&mut self, content: &mut dyn Read) -> io::Result<RowKind> {
        let padding = self.position.next_multiple_of(ALIGNMENT) - self.position;
        io::copy(&mut io::repeat(0).take(padding), &mut self.file)?;
        let offset = self.position + padding;
        let mut sink = DigestWriter::new(&mut self.file);
        let len = io::copy(content, &mut sink)?;
        let (_, sha256) = sink.finish();
        self.position = offset + len;
        Ok(RowKind::File { offset, len, sha256 })
    }

    /// Writes the index and renames the file into `cache`. The package reads from the open file from now on.
    pub fn finish(mut self, cache: &UnpackedCache, index: Index) -> io::Result<Package> {
        let json = serde_json::to_vec(&index)?;
        self.file.write_all(&json)?;
        self.file.write_all(Digest::of(&json).as_bytes())?;
        self.file.write_all(&(json.len() as u64).to_le_bytes())?;
        self.file.write_all(MAGIC)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let file = file.persist(cache.path_of(index.deb)).map_err(|error| error.error)?;
        index.into_package(&Arc::new(file), self.position).map_err(io::Error::other)
    }
}

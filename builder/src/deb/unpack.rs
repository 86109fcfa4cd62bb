//! From a `.deb` to a [`Package`], through the cache of unpacked packages.
//!
//! A `.deb` is untrusted even when its digest is the one that was locked: third-party repositories and local files go
//! this way too. Expected are: another file under the right name (the digest is compared before a byte is parsed);
//! lying lengths and bombs ([`super::ar`] and [`crate::archive`], with [`CONTROL_LIMITS`] and [`DATA_LIMITS`]); names
//! that leave the tree (refused by the tar reader); an archive that writes through its own symbolic link, names one path
//! twice, or links to a file that it doesn't hold (refused here). Nothing is ever extracted: contents go to one cache
//! file, and everything else stays a value.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use slipway_images::digest::Digest;

use super::Package;
use super::ar::{self, ArError, ArMember, MemberReader};
use super::cache::{CacheWriter, Index, Row, RowKind, UnpackedCache};
use super::entries::{Entries, canonical};
use crate::archive::ArchiveError;
use crate::archive::compression::{Compression, Threads};
use crate::archive::tar::{Limits, Member, MemberKind, read_members};
use crate::progress::{Event, Phase, Progress};

/// Most that a control archive may hold: the `md5sums` and `symbols` of the largest packages are a few MiB.
const CONTROL_LIMITS: Limits = Limits { bytes: 64 << 20, members: 1000 };
/// Most that a data archive may hold.
const DATA_LIMITS: Limits = Limits { bytes: 16 << 30, members: 1 << 20 };
/// Packages unpacked at once, at most: each may need a decoder of up to 160 MiB.
const MAX_WORKERS: usize = 4;
/// Maintainer scripts of the control archive (deb-preinst(5) and its siblings, debconf-devel(7)).
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];
const READ_BUFFER: usize = 128 << 10;

/// Why a package can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The file can't be read.
    #[error("can't read `{path}`")]
    Read {
        /// The `.deb`.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not the file that was locked.
    #[error("`{path}` has the SHA-256 {found}, and {expected} was locked")]
    Digest {
        /// The `.deb`.
        path: PathBuf,
        /// What the lock says.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Its outer archive is malformed.
    #[error("`{path}` is no Debian package")]
    Ar {
        /// The `.deb`.
        path: PathBuf,
        /// What is wrong.
        source: ArError,
    },
    /// It lacks something, or holds what no package may hold.
    #[error("`{path}`: {what}")]
    Shape {
        /// The `.deb`.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// One of its inner archives is malformed.
    #[error("`{member}` of `{path}`")]
    Archive {
        /// The `.deb`.
        path: PathBuf,
        /// `control.tar.*` or `data.tar.*`.
        member: String,
        /// What is wrong.
        source: ArchiveError,
    },
    /// The cache of unpacked packages can't be written.
    #[error("can't write the cache of unpacked packages for `{path}`")]
    Cache {
        /// The `.deb`.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Package {
    /// Opens the package `deb` whose SHA-256 is `sha256`: from `unpacked` if it is there, else by unpacking it into
    /// there. Advances [`Phase::Unpack`] by the bytes of the `.deb`.
    pub fn open(
        deb: &Path,
        sha256: Digest,
        unpacked: &UnpackedCache,
        progress: &dyn Progress,
    ) -> Result<Self, DebError> {
        let package = match unpacked.load(sha256) {
            Ok(Some(package)) => package,
            Ok(None) => unpack(deb, sha256, unpacked)?,
            Err(damage) => {
                let path = unpacked.path_of(sha256);
                progress.event(Event::Note(&format!("`{}` is unpacked again: {damage}", path.display())));
                unpack(deb, sha256, unpacked)?
            }
        };
        progress.event(Event::Advance(Phase::Unpack, size_of(deb)));
        Ok(package)
    }
}

/// Opens all of `debs`, several at once, the biggest first. The result has their order.
pub fn unpack_all(
    debs: &[(PathBuf, Digest)],
    unpacked: &UnpackedCache,
    progress: &dyn Progress,
) -> Result<Vec<Package>, DebError> {
    let sizes: Vec<u64> = debs.iter().map(|(path, _)| size_of(path)).collect();
    progress.event(Event::Start(Phase::Unpack, Some(sizes.iter().sum())));
    let mut order: Vec<usize> = (0..debs.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(sizes[*index]));
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Mutex<BTreeMap<usize, Result<Package, DebError>>> = Mutex::default();
    let work = || {
        while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                return;
            }
            let (path, sha256) = &debs[*index];
            let result = Package::open(path, *sha256, unpacked, progress);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(*index, result);
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let packages = results.into_values().collect::<Result<Vec<_>, _>>()?;
    progress.event(Event::Done(Phase::Unpack, &format!("{} packages", packages.len())));
    Ok(packages)
}

/// For progress only: a file that isn't there is found out when it is needed.
fn size_of(deb: &Path) -> u64 {
    deb.metadata().map_or(0, |meta| meta.len())
}

fn unpack(deb: &Path, sha256: Digest, unpacked: &UnpackedCache) -> Result<Package, DebError> {
    let read_error = |source| DebError::Read { path: deb.to_owned(), source };
    let file = File::open(deb).map_err(read_error)?;
    let (found, _) = Digest::of_reader(&mut BufReader::with_capacity(READ_BUFFER, &file)).map_err(read_error)?;
    if found != sha256 {
        return Err(DebError::Digest { path: deb.to_owned(), expected: sha256, found });
    }
    Deb { path: deb, file: &file }.unpack(sha256, unpacked)
}

/// A `.deb` whose digest is right.
struct Deb<'a> {
    path: &'a Path,
    file: &'a File,
}

impl Deb<'_> {
    fn unpack(&self, sha256: Digest, unpacked: &UnpackedCache) -> Result<Package, DebError> {
        let members = ar::members(self.file).map_err(|source| DebError::Ar { path: self.path.to_owned(), source })?;
        self.check_version(&members)?;
        let mut index = self.read_control(sha256, self.member(&members, "control.tar")?)?;
        let data = self.member(&members, "data.tar")?;
        let cache_error = |source| DebError::Cache { path: self.path.to_owned(), source };
        let mut writer = unpacked.writer().map_err(cache_error)?;
        index.rows = self.read_data(data, &mut writer)?;
        writer.finish(unpacked, index).map_err(cache_error)
    }

    fn shape(&self, what: impl Into<String>) -> DebError {
        DebError::Shape { path: self.path.to_owned(), what: what.into() }
    }

    /// `debian-binary` comes first and says `2.` and a minor number, with which nothing changes for readers (deb(5)).
    fn check_version(&self, members: &[ArMember]) -> Result<(), DebError> {
        let first = members.first().filter(|member| member.name == "debian-binary");
        let first = first.ok_or_else(|| self.shape("its first member isn't `debian-binary`"))?;
        let mut version = String::new();
        let read = MemberReader::new(self.file, first).take(16).read_to_string(&mut version);
        read.map_err(|source| DebError::Read { path: self.path.to_owned(), source })?;
        if version.starts_with("2.") { Ok(()) } else { Err(self.shape("it has a format other than 2.0")) }
    }

    fn member<'a>(&self, members: &'a [ArMember], stem: &str) -> Result<&'a ArMember, DebError> {
        let mut named = members.iter().filter(|member| {
            member.name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        match (named.next(), named.next()) {
            (Some(member), None) => Ok(member),
            (None, _) => Err(self.shape(format!("it has no `{stem}`"))),
            (Some(_), Some(_)) => Err(self.shape(format!("it has more than one `{stem}`"))),
        }
    }

    fn read_tar(
        &self,
        member: &ArMember,
        stem: &str,
        limits: &Limits,
        visit: impl FnMut(Member, &mut dyn Read) -> Result<(), Refusal>,
    ) -> Result<(), DebError> {
        let reader = BufReader::with_capacity(READ_BUFFER, MemberReader::new(self.file, member));
        let decoder = Compression::by_name(&member.name, stem)
            .and_then(|compression| compression.decoder(reader, member.len, Threads::Several));
        decoder.map_err(Refusal::from).and_then(|tar| read_members(tar, limits, visit)).map_err(|error| match error {
            Refusal::Archive(source) => {
                DebError::Archive { path: self.path.to_owned(), member: member.name.clone(), source }
            }
            Refusal::Shape(what) => self.shape(what),
            Refusal::Cache(source) => DebError::Cache { path: self.path.to_owned(), source },
        })
    }

    fn read_control(&self, sha256: Digest, member: &ArMember) -> Result<Index, DebError> {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        self.read_tar(member, "control.tar", &CONTROL_LIMITS, |member, content| {
            if member.kind == MemberKind::File && !member.path.contains('/') {
                let mut data = Vec::new();
                content.read_to_end(&mut data).map_err(ArchiveError::Read)?;
                if files.insert(member.path.clone(), data).is_some() {
                    return Err(Refusal::Shape(format!("its control archive has `{}` twice", member.path)));
                }
            }
            Ok(())
        })?;
        let mut text = |name: &str| match files.remove(name).map(String::from_utf8) {
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(self.shape(format!("its `{name}` is no text"))),
            None => Ok(None),
        };
        let control = text("control")?.ok_or_else(|| self.shape("its control archive has no `control`"))?;
        let control = control_fields(&control).ok_or_else(|| self.shape("its `control` is malformed"))?;
        let mut scripts = BTreeMap::new();
        for name in SCRIPTS {
            scripts.extend(text(name)?.map(|script| (name.to_owned(), script)));
        }
        let field = |name: &str| control.get(name).cloned().ok_or_else(|| self.shape(format!("it has no `{name}`")));
        let (name, version) = (field("Package")?, field("Version")?);
        if !is_package_name(&name) {
            return Err(self.shape(format!("`{name}` is no package name")));
        }
        let control_files = files
            .into_iter()
            // Old templates and changelogs may be Latin-1, and nothing here depends on their letters.
            .map(|(name, data)| (name, String::from_utf8_lossy(&data).into_owned()))
            .collect();
        Ok(Index { deb: sha256, name, version, control, scripts, control_files, rows: Vec::new() })
    }

    fn read_data(&self, member: &ArMember, writer: &mut CacheWriter) -> Result<Vec<Row>, DebError> {
        let mut entries = Entries::default();
        self.read_tar(member, "data.tar", &DATA_LIMITS, |member, content| {
            let Some(path) = canonical(&member.path, member.kind == MemberKind::Folder) else { return Ok(()) };
            let kind = match member.kind {
                MemberKind::Folder => RowKind::Folder,
                MemberKind::File => writer.add(&mut Source(content)).map_err(Refusal::of_copy)?,
                // The text stays: a relative link of a moved folder means what it meant where dpkg unpacks through
                // the merged folders' own links.
                MemberKind::Symlink(text) => RowKind::Symlink(text),
                MemberKind::HardLink(target) => RowKind::HardLink(canonical(&target, false).unwrap_or_default()),
                MemberKind::CharDevice(major, minor) => RowKind::CharDevice(major, minor),
                MemberKind::BlockDevice(major, minor) => RowKind::BlockDevice(major, minor),
                MemberKind::Fifo => RowKind::Fifo,
            };
            let xattrs = member.xattrs.into_iter().map(|(name, value)| (name, hex::encode(value))).collect();
            entries
                .add(Row { path, mode: member.mode, uid: member.uid, gid: member.gid, xattrs, kind })
                .map_err(Refusal::Shape)
        })?;
        Ok(entries.into_rows())
    }
}

/// The fields of the one paragraph of a `control` file (deb-control(5)); lines that go on keep their line breaks.
fn control_fields(text: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut last: Option<(String, String)> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            let (_, value) = last.as_mut()?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':')?;
            fields.extend(last.replace((name.to_owned(), value.trim().to_owned())));
        }
    }
    fields.extend(last);
    Some(fields)
}

fn is_package_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// What stops the reading of an inner archive.
enum Refusal {
    Archive(ArchiveError),
    Shape(String),
    Cache(io::Error),
}

impl From<ArchiveError> for Refusal {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl Refusal {
    /// A copy fails on either side; [`Source`] marks its own errors.
    fn of_copy(error: io::Error) -> Self {
        match error.downcast::<SourceError>() {
            Ok(SourceError(source)) => Self::Archive(ArchiveError::Read(source)),
            Err(error) => Self::Cache(error),
        }
    }
}

/// Marks the errors of the reading side of a copy.
struct Source<'a>(&'a mut dyn Read);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SourceError(io::Error);

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(io::Error::new(error.kind(), SourceError(error)))
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;

//! What is published, and nothing else, to carry elsewhere: a folder such as a USB stick's, or a tar archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use serde::Serialize;
use slipway_images::digest::DigestWriter;
use slipway_images::release::{Part, ReleaseDocument, part_path};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::{ClientLimits, RoleName, VerifiedRoot};

use super::ReleaseError;
use super::gc::needed_files;
use super::repository::{LockedRepository, Repository, make_readable};
use super::state::{Published, metadata_name};
use crate::progress::{Event, Phase, Progress};

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Files that are there now.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Bytes that had to be copied.
    pub copied: u64,
}

/// Copies what is published into a folder, which is a repository like the one that it came from; what it has already isn't
/// copied again. Parts are checked on the way. The timestamp comes last: cut off, the folder holds what it held before. A folder that
/// holds something newer is refused: hosts that saw that would take nothing from it any more.
pub fn export_folder(
    repository: &Repository,
    published: &Published,
    roots: &[VerifiedRoot],
    to: &mut LockedRepository,
    progress: &dyn Progress,
) -> Result<Exported, ReleaseError> {
    let Plan { parts, files, timestamp } = Plan::of(repository, published, roots)?;
    check_not_newer(to, published, roots)?;
    let total = parts.values().map(|part| part.size).sum();
    progress.event(Event::Start(Phase::Export, Some(total)));
    let mut exported = Exported { files: 1 + (parts.len() + files.len()) as u64, bytes: total, copied: 0 };
    for part in parts.values() {
        if to.holds(part)? {
            progress.event(Event::Advance(Phase::Export, part.size));
            continue;
        }
        let (mut writer, path) = (to.begin_part()?, repository.part(part));
        let failed = |source| ReleaseError::Io { what: "copied", path: path.clone(), source };
        let copied = File::open(&path).and_then(|file| io::copy(&mut file.take(part.size + 1), &mut writer));
        copied.map_err(failed)?;
        if writer.part() != *part {
            return Err(ReleaseError::Damaged { path, what: "part" });
        }
        to.finish_part(writer)?;
        exported.copied += part.size;
        progress.event(Event::Advance(Phase::Export, part.size));
    }
    for (name, bytes) in &files {
        to.put(name, bytes)?;
        exported.bytes += bytes.len() as u64;
    }
    to.replace("metadata/timestamp.json", &timestamp)?;
    exported.bytes += timestamp.len() as u64;
    progress.event(Event::Done(Phase::Export, &format!("{} files", exported.files)));
    Ok(exported)
}

/// Whatever counts no longer by our newest root is older than what counts by it, unless there is a root that we don't have.
fn check_not_newer(to: &Repository, published: &Published, roots: &[VerifiedRoot]) -> Result<(), ReleaseError> {
    let (Some(root), Some(metadata)) = (roots.last(), &published.metadata) else { return Ok(()) };
    let limits = ClientLimits::default();
    let next_root = root.header.version.next().map(|version| metadata_name(version, &RoleName::root()));
    let has_next_root = next_root.is_some_and(|name| to.file(&name).exists());
    let there = to.read("metadata/timestamp.json", limits.timestamp)?;
    let there = there.and_then(|bytes| root.next_timestamp(&bytes, None).ok().flatten());
    let ours = metadata.timestamp.header.version;
    if has_next_root || there.is_some_and(|there| there.header.version > ours) {
        return Err(ReleaseError::Newer(to.path().to_owned()));
    }
    Ok(())
}

/// Writes what is published as a tar archive. The same content makes the same bytes.
pub fn export_tar(
    repository: &Repository,
    published: &Published,
    roots: &[VerifiedRoot],
    to: &Path,
    progress: &dyn Progress,
) -> Result<Exported, ReleaseError> {
    let Plan { parts, files, timestamp } = Plan::of(repository, published, roots)?;
    let written = |source| ReleaseError::Io { what: "written", path: to.to_owned(), source };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(written)?;
    let total = parts.values().map(|part| part.size).sum();
    progress.event(Event::Start(Phase::Export, Some(total)));
    let seconds = published.issued().map_or(0, UnixTime::as_secs);
    let header = |size| {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(seconds);
        header
    };
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 20, temporary.as_file()));
    let mut exported = Exported { files: 1 + (parts.len() + files.len()) as u64, bytes: total, copied: total };
    for (name, part) in &parts {
        let path = repository.part(part);
        let file = File::open(&path).map_err(|source| ReleaseError::Io { what: "read", path: path.clone(), source })?;
        let mut reader = Checked { reader: file.take(part.size), digest: DigestWriter::new(io::sink()) };
        archive.append_data(&mut header(part.size), name, &mut reader).map_err(written)?;
        if reader.digest.finish().1 != part.sha256 {
            return Err(ReleaseError::Damaged { path, what: "part" });
        }
        progress.event(Event::Advance(Phase::Export, part.size));
    }
    for (name, bytes) in files.iter().chain([&("metadata/timestamp.json".to_owned(), timestamp)]) {
        archive.append_data(&mut header(bytes.len() as u64), name, &bytes[..]).map_err(written)?;
        exported.bytes += bytes.len() as u64;
    }
    let flushed = archive.into_inner().and_then(|mut buffer| buffer.flush());
    let readable = flushed.and_then(|()| make_readable(temporary.as_file()));
    readable.and_then(|()| temporary.as_file().sync_all()).map_err(written)?;
    temporary.persist(to).map_err(|error| written(error.error))?;
    progress.event(Event::Done(Phase::Export, &format!("{} files", exported.files)));
    Ok(exported)
}

/// What goes along.
struct Plan {
    parts: BTreeMap<String, Part>,
    /// Small files with their content, in the order in which they are written.
    files: Vec<(String, Vec<u8>)>,
    timestamp: Vec<u8>,
}

impl Plan {
    fn of(repository: &Repository, published: &Published, roots: &[VerifiedRoot]) -> Result<Self, ReleaseError> {
        let metadata = published.metadata.as_ref();
        let metadata = metadata.ok_or_else(|| ReleaseError::Nothing(repository.path().to_owned()))?;
        let parts: BTreeMap<String, Part> = published
            .releases
            .values()
            .flat_map(ReleaseDocument::all_parts)
            .map(|part| (part_path(&part.sha256), part))
            .collect();
        let mut files = Vec::new();
        for name in needed_files(published, metadata).into_iter().filter(|name| !parts.contains_key(name)) {
            let bytes = repository.read(&name, SMALL_MAX)?;
            let bytes = bytes.ok_or_else(|| ReleaseError::Missing(repository.file(&name)))?;
            files.push((name, bytes));
        }
        for root in roots {
            files.push((metadata_name(root.header.version, &RoleName::root()), root.bytes().to_vec()));
        }
        Ok(Self { parts, files, timestamp: metadata.timestamp.bytes().to_vec() })
    }
}

/// Documents and metadata are shorter.
const SMALL_MAX: u64 = 16 << 20;

/// Digests what is read.
struct Checked<R> {
    reader: R,
    digest: DigestWriter<io::Sink>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.digest.write_all(&buffer[..count])?;
        Ok(count)
    }
}

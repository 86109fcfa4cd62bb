//! Tar (ustar, GNU long names, PAX) as a stream of members with cleaned names.
//!
//! Untrusted, see [`super`]. Headers of the `tar` crate's raw mode are used and its handling of extensions is not: it
//! reads long names of any length into memory, and cuts PAX records at newlines, which a binary attribute such as
//! `security.capability` may hold. Here an extension is at most 1 MiB, names follow the limits of Linux, and a record is
//! as long as it says or the archive is refused.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{Archive, EntryType, Header};

use super::ArchiveError;

/// Most bytes of one GNU long name or PAX header.
const MAX_EXTENSION: u64 = 1 << 20;
/// `PATH_MAX` of Linux, without its NUL.
const MAX_PATH: usize = 4095;
/// `NAME_MAX` of Linux.
const MAX_NAME: usize = 255;
/// Most bytes after the end-of-archive mark: tar pads to a record, 10 KiB as a rule.
const MAX_PADDING: u64 = 1 << 20;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of content of all members together.
    pub bytes: u64,
    /// Number of members.
    pub members: usize,
}

/// A member of an archive, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Path below the archive's root, parts joined by `/`; empty for the root itself. Never has `.`, `..` or empty parts.
    pub path: String,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// Bytes of content; zero for all but files.
    pub size: u64,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link with this text.
    Symlink(String),
    /// Another name of the member at this path, cleaned like [`Member::path`].
    HardLink(String),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// What the extension headers before a member say of it.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    records: BTreeMap<String, Vec<u8>>,
}

/// Reads the tar stream `source` to its end and hands each member with a reader of its content to `visit`, in order.
/// What `visit` leaves unread is skipped. The reader fails when the archive ends before the member does.
pub fn read_members<E: From<ArchiveError>>(
    source: impl Read,
    limits: &Limits,
    mut visit: impl FnMut(Member, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = Archive::new(source);
    let mut count = 0;
    let mut bytes_left = limits.bytes;
    let mut extensions = Extensions::default();
    for entry in archive.entries().map_err(ArchiveError::Read)?.raw(true) {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        let header = entry.header().clone();
        if read_extension(&header, &mut entry, &mut extensions)? {
            continue;
        }
        count += 1;
        if count > limits.members {
            return Err(ArchiveError::TooMany(limits.members).into());
        }
        let member = member(&header, &std::mem::take(&mut extensions))?;
        bytes_left = bytes_left
            .checked_sub(member.size)
            .ok_or_else(|| ArchiveError::TooLarge { path: member.path.clone(), limit: limits.bytes })?;
        let mut content = Exact { inner: &mut entry, left: member.size };
        visit(member, &mut content)?;
        io::copy(&mut content, &mut io::sink()).map_err(ArchiveError::Read)?;
    }
    drain(&mut archive.into_inner())?;
    Ok(())
}

/// Reads on to the end of the stream, so that the decoder below checks its trailer.
fn drain(source: &mut impl Read) -> Result<(), ArchiveError> {
    let padding = io::copy(&mut source.take(MAX_PADDING + 1), &mut io::sink()).map_err(ArchiveError::Read)?;
    if padding > MAX_PADDING {
        return Err(ArchiveError::Member { path: String::new(), what: "the archive goes on after its end" });
    }
    Ok(())
}

/// Takes in `entry` when it is an extension header, and says whether it was.
fn read_extension(header: &Header, entry: &mut impl Read, extensions: &mut Extensions) -> Result<bool, ArchiveError> {
    let kind = header.entry_type();
    let known = kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions();
    if !known {
        return Ok(false);
    }
    let size = header.entry_size().map_err(ArchiveError::Read)?;
    let refuse = |what| ArchiveError::Member { path: lossy(&header.path_bytes()), what };
    if size > MAX_EXTENSION {
        return Err(refuse("an extension header is larger than 1 MiB"));
    }
    let mut data = Vec::new();
    Exact { inner: entry, left: size }.read_to_end(&mut data).map_err(ArchiveError::Read)?;
    if kind.is_gnu_longname() {
        extensions.long_name = Some(until_nul(data));
    } else if kind.is_gnu_longlink() {
        extensions.long_link = Some(until_nul(data));
    } else {
        let records = pax_records(&data).ok_or_else(|| refuse("a PAX header is malformed"))?;
        if kind.is_pax_local_extensions() {
            extensions.records.extend(records);
        } else if records.keys().any(|key| key != "comment") {
            return Err(refuse("a global PAX header sets more than a comment"));
        }
    }
    Ok(true)
}

fn until_nul(mut data: Vec<u8>) -> Vec<u8> {
    if let Some(end) = data.iter().position(|byte| *byte == 0) {
        data.truncate(end);
    }
    data
}

/// The records of a PAX header: `LENGTH KEY=VALUE\n`, where the length counts the whole record. `None` if malformed.
fn pax_records(mut data: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !data.is_empty() {
        let space = data.iter().take(10).position(|byte| *byte == b' ')?;
        let len: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let record = data.get(space + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let key = std::str::from_utf8(&record[..equals]).ok()?;
        records.insert(key.to_owned(), record[equals + 1..].to_vec());
        data = &data[len..];
    }
    Some(records)
}

fn member(header: &Header, extensions: &Extensions) -> Result<Member, ArchiveError> {
    let records = &extensions.records;
    let raw_path = records
        .get("path")
        .or(extensions.long_name.as_ref())
        .map_or_else(|| header.path_bytes().into_owned(), Clone::clone);
    let refuse = |what| ArchiveError::Member { path: lossy(&raw_path), what };
    let path = clean_path(&raw_path).map_err(refuse)?;
    let size = header.entry_size().map_err(ArchiveError::Read)?;
    if records.get("size").is_some_and(|record| number(record) != Some(size)) {
        return Err(refuse("its PAX size differs from that of its header"));
    }
    if records.keys().any(|key| key.starts_with("GNU.sparse.")) {
        return Err(refuse("sparse members aren't supported"));
    }
    if records.keys().any(|key| key.starts_with("SCHILY.acl.")) {
        return Err(refuse("access control lists aren't supported"));
    }
    let id = |key: &str, own: io::Result<u64>| -> Result<u32, ArchiveError> {
        let id = match records.get(key) {
            Some(record) => number(record),
            None => own.ok(),
        };
        id.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| refuse("its owner or group is no number below 2^32"))
    };
    let kind = member_kind(header, extensions, &raw_path)?;
    if kind != MemberKind::File && size != 0 {
        return Err(refuse("it has content and is no file"));
    }
    let mode = header.mode().map_err(|_| refuse("its mode is no number"))? & 0o7777;
    Ok(Member {
        path,
        kind,
        mode: u16::try_from(mode).unwrap_or_default(),
        uid: id("uid", header.uid())?,
        gid: id("gid", header.gid())?,
        xattrs: records
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("SCHILY.xattr.")?.to_owned(), value.clone())))
            .collect(),
        size,
    })
}

fn member_kind(header: &Header, extensions: &Extensions, raw_path: &[u8]) -> Result<MemberKind, ArchiveError> {
    let refuse = |what| ArchiveError::Member { path: lossy(raw_path), what };
    let link = || {
        extensions
            .records
            .get("linkpath")
            .or(extensions.long_link.as_ref())
            .map_or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned), |name| Some(name.clone()))
            .ok_or_else(|| refuse("it is a link to nothing"))
    };
    let device = || match (header.device_major(), header.device_minor()) {
        (Ok(Some(major)), Ok(Some(minor))) => Ok((major, minor)),
        _ => Err(refuse("its device number is missing or no number")),
    };
    Ok(match header.entry_type() {
        EntryType::Regular if raw_path.ends_with(b"/") => MemberKind::Folder,
        EntryType::Regular | EntryType::Continuous => MemberKind::File,
        EntryType::Directory => MemberKind::Folder,
        EntryType::Symlink => MemberKind::Symlink(link_text(link()?).map_err(refuse)?),
        EntryType::Link => MemberKind::HardLink(clean_path(&link()?).map_err(refuse)?),
        EntryType::Char => device().map(|(major, minor)| MemberKind::CharDevice(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| MemberKind::BlockDevice(major, minor))?,
        EntryType::Fifo => MemberKind::Fifo,
        _ => return Err(refuse("it is of a kind that isn't supported")),
    })
}

/// `path` without `.` and empty parts; refused when it is absolute, climbs, or is longer than Linux allows.
fn clean_path(path: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(path).map_err(|_| "its name is no UTF-8")?;
    if text.starts_with('/') {
        return Err("its name is absolute");
    }
    let mut clean = String::new();
    for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => return Err("its name has `..`"),
            _ if part.contains('\0') => return Err("its name has a NUL"),
            _ if part.len() > MAX_NAME => return Err("a part of its name is longer than 255 bytes"),
            _ => {
                if !clean.is_empty() {
                    clean.push('/');
                }
                clean.push_str(part);
            }
        }
    }
    if clean.len() > MAX_PATH { Err("its name is longer than 4095 bytes") } else { Ok(clean) }
}

fn link_text(text: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(text).map_err(|_| "its link text is no UTF-8")?;
    match text.len() {
        0 => Err("it is a link to nothing"),
        len if len > MAX_PATH => Err("its link text is longer than 4095 bytes"),
        _ if text.contains('\0') => Err("its link text has a NUL"),
        _ => Ok(text),
    }
}

fn number(record: &[u8]) -> Option<u64> {
    std::str::from_utf8(record).ok()?.parse().ok()
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(&path[..path.len().min(MAX_PATH)]).into_owned()
}

/// Exactly `left` bytes of `inner`; an earlier end is an error.
struct Exact<'a, R> {
    inner: &'a mut R,
    left: u64,
}

impl<R: Read> Read for Exact<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let count = self.inner.read(&mut buf[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a member"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;

//! The outer shell of a `.deb`: an `ar` archive of three members (deb(5)).
//!
//! Untrusted, see [`super::unpack`]. Only the plain form that deb(5) allows is read: names of at most 16 bytes, no name
//! table, no symbol table, so that nothing of a declared length is ever allocated (general readers of `ar` allocate the
//! name table by its header).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;
/// A `.deb` has three members; a few more are allowed by deb(5) and ignored.
const MAX_MEMBERS: usize = 32;

/// A member: where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArMember {
    /// Name, without padding and the slash that some tools append.
    pub name: String,
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Length in bytes; lies within the file.
    pub len: u64,
}

/// What is wrong with an `ar` archive.
#[derive(Debug, thiserror::Error)]
pub enum ArError {
    /// Reading failed.
    #[error("can't read")]
    Read(#[from] io::Error),
    /// It doesn't begin like one.
    #[error("it is no `ar` archive, so no Debian package")]
    NotAr,
    /// A header is malformed.
    #[error("the `ar` header at offset {offset}: {what}")]
    Header {
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// The members of the archive in `file`, in order.
pub fn members(file: &File) -> Result<Vec<ArMember>, ArError> {
    let end = file.metadata()?.len();
    let mut magic = [0; MAGIC.len()];
    if end < MAGIC.len() as u64 {
        return Err(ArError::NotAr);
    }
    file.read_exact_at(&mut magic, 0)?;
    if magic != MAGIC {
        return Err(ArError::NotAr);
    }
    let mut members = Vec::new();
    let mut offset = MAGIC.len() as u64;
    while offset < end {
        let fail = |what| ArError::Header { offset, what };
        if end - offset < HEADER as u64 {
            return Err(fail("the file ends within it"));
        }
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, offset)?;
        let member = parse_header(&header, offset + HEADER as u64).map_err(fail)?;
        if member.len > end - member.offset {
            return Err(fail("its member is longer than the file"));
        }
        if members.len() == MAX_MEMBERS {
            return Err(fail("there are more than 32 members"));
        }
        offset = member.offset + member.len + member.len % 2;
        members.push(member);
    }
    Ok(members)
}

fn parse_header(header: &[u8; HEADER], offset: u64) -> Result<ArMember, &'static str> {
    if &header[58..] != b"`\n" {
        return Err("it doesn't end as one");
    }
    let text = |range: std::ops::Range<usize>| {
        std::str::from_utf8(&header[range]).map(str::trim_ascii_end).map_err(|_| "it is no text")
    };
    let name = text(0..16)?;
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() || name.contains('/') || name.starts_with('#') {
        return Err("it has a name table or long names, which a Debian package hasn't");
    }
    let size = text(48..58)?;
    if !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its size is no number");
    }
    let len = size.parse().map_err(|_| "its size is no number")?;
    Ok(ArMember { name: name.to_owned(), offset, len })
}

/// Reads a member from front to back.
pub struct MemberReader<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl<'a> MemberReader<'a> {
    /// A reader of `member` of `file`.
    pub fn new(file: &'a File, member: &ArMember) -> Self {
        Self { file, offset: member.offset, left: member.len }
    }
}

impl Read for MemberReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let count = self.file.read_at(&mut buf[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn archive() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, data) in [("debian-binary", &b"2.0\n"[..]), ("control.tar", b"odd")] {
            bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).bytes());
            bytes.extend(data);
            bytes.extend(std::iter::repeat_n(b'\n', data.len() % 2));
        }
        bytes
    }

    #[test]
    fn members_are_found_with_their_padding() {
        let file = file(&archive());
        let members = members(&file).unwrap();
        assert_eq!(members[0], ArMember { name: "debian-binary".into(), offset: 68, len: 4 });
        assert_eq!(members[1], ArMember { name: "control.tar".into(), offset: 132, len: 3 });
        let mut read = String::new();
        MemberReader::new(&file, &members[1]).read_to_string(&mut read).unwrap();
        assert_eq!(read, "odd");
    }

    #[test]
    fn lying_sizes_and_name_tables_are_refused() {
        let mut long = archive();
        long[8 + 48..8 + 58].copy_from_slice(b"9999999999");
        assert!(members(&file(&long)).unwrap_err().to_string().contains("longer than the file"));
        let mut table = archive();
        table[8..10].copy_from_slice(b"//");
        assert!(members(&file(&table)).is_err());
        assert!(matches!(members(&file(b"PK")), Err(ArError::NotAr)));
    }

    proptest! {
        #[test]
        fn damaged_archives_never_panic(at in 0usize..136, to in any::<u8>(), cut in 0usize..136) {
            let mut bytes = archive();
            bytes[at % 135] = to;
            let _ = members(&file(&bytes));
            let _ = members(&file(&bytes[..cut.min(bytes.len())]));
        }
    }
}

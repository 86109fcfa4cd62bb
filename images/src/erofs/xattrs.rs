//! Extended attributes, all beside the inode that has them: `struct erofs_xattr_ibody_header` and its entries.
//!
//! No area of shared attributes is written: a root has a handful of file capabilities, each its own.

use std::collections::BTreeMap;

use super::format::{le16, le32};

const HEADER_LEN: usize = 12;

/// Name prefixes that have a number; the longest that fits a name is listed before any other that does.
const PREFIXES: [(u8, &str); 6] = [
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (1, "user."),
    (4, "trusted."),
    (5, "lustre."),
    (6, "security."),
];

/// Bytes that `i_xattr_icount` stands for.
pub(super) fn area_len(count: u16) -> usize {
    if count == 0 { 0 } else { HEADER_LEN + 4 * (usize::from(count) - 1) }
}

/// The value of `i_xattr_icount` for an area of `len` bytes that [`encode`] made.
fn count_for(len: usize) -> Option<u16> {
    u16::try_from(len.checked_sub(HEADER_LEN)? / 4 + 1).ok()
}

/// The attribute area and its `i_xattr_icount`; nothing and 0 without attributes. Fails with the name of the attribute
/// and what is wrong with it.
pub(super) fn encode(xattrs: &BTreeMap<String, Vec<u8>>) -> Result<(Vec<u8>, u16), (String, &'static str)> {
    if xattrs.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let mut area = vec![0; HEADER_LEN];
    for (name, value) in xattrs {
        let fail = |reason| (name.clone(), reason);
        let (index, suffix) = split(name).ok_or(fail("has a name that EROFS has no number for"))?;
        let name_len = u8::try_from(suffix.len()).map_err(|_| fail("has a name of more than 255 bytes"))?;
        let value_len = u16::try_from(value.len()).map_err(|_| fail("has a value of more than 65535 bytes"))?;
        if suffix.contains('\0') {
            return Err(fail("has a NUL in its name"));
        }
        area.extend_from_slice(&[name_len, index]);
        area.extend_from_slice(&value_len.to_le_bytes());
        area.extend_from_slice(suffix.as_bytes());
        area.extend_from_slice(value);
        area.resize(area.len().next_multiple_of(4), 0);
        if count_for(area.len()).is_none() {
            return Err(fail("is one too many for the attributes of one inode"));
        }
    }
    let count = count_for(area.len()).unwrap_or_default();
    Ok((area, count))
}

fn split(name: &str) -> Option<(u8, &str)> {
    PREFIXES.iter().find_map(|(index, prefix)| {
        let suffix = name.strip_prefix(prefix)?;
        // A prefix with a dot needs a name after it, one without is the whole name.
        (prefix.ends_with('.') != suffix.is_empty()).then_some((*index, suffix))
    })
}

/// Where the entries of an attribute area are.
pub(super) struct Area<'a> {
    /// Numbers of shared attributes, in units of 4 bytes from the start of the shared area.
    pub shared: Vec<u32>,
    /// Entries, one after another.
    pub entries: &'a [u8],
}

/// Splits an attribute area; `None` when it is cut short.
pub(super) fn parse_area(area: &[u8]) -> Option<Area<'_>> {
    let shared_count = usize::from(*area.get(4)?);
    let (ids, entries) = area.get(HEADER_LEN..)?.split_at_checked(4 * shared_count)?;
    Some(Area { shared: ids.chunks_exact(4).map(|id| le32(id, 0)).collect(), entries })
}

/// Length of an entry with this header, unpadded, in bytes.
pub(super) fn entry_len(header: [u8; 4]) -> usize {
    4 + usize::from(header[0]) + usize::from(le16(&header, 2))
}

/// Reads the entry that `bytes` starts with: full name, value, and the rest of `bytes`.
pub(super) fn parse_entry(bytes: &[u8]) -> Option<(String, Vec<u8>, &[u8])> {
    let header = *bytes.first_chunk::<4>()?;
    let entry = bytes.get(4..entry_len(header))?;
    let (suffix, value) = entry.split_at_checked(usize::from(header[0]))?;
    let prefix = PREFIXES.iter().find(|(index, _)| *index == header[1])?.1;
    let name = format!("{prefix}{}", std::str::from_utf8(suffix).ok()?);
    let rest = bytes.get(entry_len(header).next_multiple_of(4)..).unwrap_or_default();
    Some((name, value.to_vec(), rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn one(name: &str, len: usize) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([(name.to_owned(), vec![7; len])])
    }

    #[test]
    fn names_without_a_number_and_values_too_long_are_refused() {
        assert!(encode(&one("security.capability", 20)).is_ok());
        assert!(encode(&one("system.posix_acl_access", 28)).is_ok());
        assert!(encode(&one("user.", 1)).is_err());
        assert!(encode(&one("system.nfs4_acl", 1)).is_err());
        assert!(encode(&one("user.x", 65536)).is_err());
        assert!(encode(&one(&format!("user.{}", "x".repeat(256)), 1)).is_err());
        let many = (0..5).map(|n| (format!("user.{n}"), vec![0; 65535])).collect();
        assert!(encode(&many).is_err());
    }

    #[test]
    fn an_entry_comes_back() {
        let (area, count) = encode(&one("security.capability", 21)).unwrap();
        assert_eq!(area_len(count), area.len());
        let parsed = parse_area(&area).unwrap();
        assert!(parsed.shared.is_empty());
        let (name, value, rest) = parse_entry(parsed.entries).unwrap();
        assert_eq!((name.as_str(), value, rest), ("security.capability", vec![7; 21], &[][..]));
    }
}

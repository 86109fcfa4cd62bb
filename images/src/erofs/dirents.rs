//! A folder's content: blocks of 4096 bytes, each with its entries (`struct erofs_dirent`) and then their names.
//!
//! Names ascend by their bytes over the whole folder, `.` and `..` among them, as the kernel's binary search needs.

use std::ops::Range;

use super::BLOCK_SIZE;
use super::format::{FileType, Nid, le16, le64};

const DIRENT_LEN: usize = 12;
const BLOCK_LEN: usize = 4096;
/// Longest name, in bytes.
pub(super) const NAME_MAX: usize = 255;

/// How the entries of a folder are spread over its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirPlan {
    /// Entries of each block, by index; never empty.
    blocks: Vec<Range<usize>>,
    /// Length of the folder's content, in bytes.
    pub size: u64,
}

/// Spreads entries with names of these lengths, in their final order, over blocks.
pub(super) fn plan(name_lens: impl Iterator<Item = usize>) -> DirPlan {
    let mut blocks = Vec::new();
    let (mut start, mut used, mut index) = (0, 0, 0);
    for len in name_lens {
        let need = DIRENT_LEN + len;
        if used + need > BLOCK_LEN {
            blocks.push(start..index);
            (start, used) = (index, 0);
        }
        used += need;
        index += 1;
    }
    let size = blocks.len() as u64 * BLOCK_SIZE + used as u64;
    blocks.push(start..index);
    DirPlan { blocks, size }
}

impl DirPlan {
    /// The bytes of the folder, `self.size` of them. `entry` gives name, inode and type by index.
    pub fn encode<'a>(&self, entry: impl Fn(usize) -> (&'a str, Nid, FileType)) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            let mut name_offset = DIRENT_LEN * block.len();
            for index in block.clone() {
                let (name, nid, file_type) = entry(index);
                out.extend_from_slice(&nid.0.to_le_bytes());
                // `plan` keeps every offset below 4096.
                out.extend_from_slice(&u16::try_from(name_offset).unwrap_or(u16::MAX).to_le_bytes());
                out.extend_from_slice(&[file_type.dirent_code(), 0]);
                name_offset += name.len();
            }
            for index in block.clone() {
                out.extend_from_slice(entry(index).0.as_bytes());
            }
            if number + 1 < self.blocks.len() {
                out.resize((number + 1) * BLOCK_LEN, 0);
            }
        }
        out
    }
}

/// One entry of a block that was read.
pub(super) struct RawDirent<'a> {
    pub name: &'a [u8],
    pub nid: Nid,
    pub file_type: FileType,
}

/// Reads one block of a folder, at most 4096 bytes. Fails with what is wrong. Names are 1 to 255 bytes without NUL and
/// slash; that they ascend is for the caller to check, who sees all blocks.
pub(super) fn parse_block(block: &[u8]) -> Result<Vec<RawDirent<'_>>, &'static str> {
    let first = block.get(..DIRENT_LEN).ok_or("a folder block too short for an entry")?;
    let names_start = usize::from(le16(first, 8));
    if names_start == 0 || !names_start.is_multiple_of(DIRENT_LEN) || names_start >= block.len() {
        return Err("a folder block whose names start in the wrong place");
    }
    let dirents = || block[..names_start].chunks_exact(DIRENT_LEN);
    let ends = dirents().skip(1).map(|next| usize::from(le16(next, 8))).chain([block.len()]);
    dirents()
        .zip(ends)
        .map(|(dirent, end)| {
            let start = usize::from(le16(dirent, 8));
            let mut name = block[names_start..]
                .get(start.wrapping_sub(names_start)..end.wrapping_sub(names_start))
                .ok_or("a name outside of its folder block")?;
            if end == block.len() {
                name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            }
            if name.is_empty() || name.len() > NAME_MAX || name.contains(&0) || name.contains(&b'/') {
                return Err("a name that no file can have");
            }
            let file_type = FileType::from_dirent_code(dirent[10]).ok_or("an entry of unknown type")?;
            Ok(RawDirent { name, nid: Nid(le64(dirent, 0)), file_type })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_thousand_names_come_back_block_by_block() {
        let names: Vec<String> = (0..1000).map(|n| format!("name-{n:05}")).collect();
        let plan = plan(names.iter().map(String::len));
        let bytes = plan.encode(|n| (&names[n], Nid(n as u64), FileType::File));
        assert_eq!(bytes.len() as u64, plan.size);
        let mut next = 0;
        for block in bytes.chunks(BLOCK_LEN) {
            for dirent in parse_block(block).unwrap() {
                assert_eq!((dirent.name, dirent.nid), (names[next].as_bytes(), Nid(next as u64)));
                next += 1;
            }
        }
        assert_eq!(next, 1000);
    }

    #[test]
    fn a_block_that_is_exactly_full_stays_one_block() {
        // 16 entries of 256 bytes fill 4096.
        assert_eq!(plan([244; 16].into_iter()).size, 4096);
        assert_eq!(plan([244; 17].into_iter()).size, 4096 + 256);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let good = plan([1, 2].into_iter()).encode(|n| (["a", "bb"][n], Nid(1), FileType::File));
        assert!(parse_block(&good).is_ok());
        for (at, value) in [(8, 0), (8, 25), (8, 255), (20, 0), (20, 200), (24, b'/'), (24, 0), (10, 9)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(parse_block(&bad).is_err(), "byte {at} = {value}");
        }
        assert!(parse_block(&good[..11]).is_err());
        assert!(parse_block(&[]).is_err());
    }
}

//! A root image as a row of regions: each file's blocks, and what lies between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_images::content::ReadAt;
use slipway_images::erofs::{Extent, FileType, ReadError, Reader};
use slipway_images::tree::TreePath;
use slipway_images::verity::BLOCK_SIZE;

/// Whole blocks that belong together.
#[derive(Clone, Debug)]
pub(super) struct Region {
    /// Where.
    pub extent: Extent,
    /// Bytes that the file has; the rest of the last block is zeros. The whole extent where there is no file.
    pub file_len: u64,
    /// The first name of the file; `None` for what lies between files.
    pub path: Option<TreePath>,
}

/// All blocks of an image, in order.
pub(super) struct Regions(Vec<Region>);

impl Regions {
    pub fn of(image: &Arc<dyn ReadAt>, len: u64) -> Result<Self, ReadError> {
        let reader = Reader::open(Arc::clone(image), len)?;
        let mut files: BTreeMap<u64, Region> = BTreeMap::new();
        for step in reader.walk() {
            let (path, inode) = step?;
            let blocks = inode.extents().next().filter(|extent| extent.offset.is_multiple_of(BLOCK_SIZE));
            if let (FileType::File, Some(Extent { offset, len: file_len })) = (inode.file_type(), blocks) {
                let extent = Extent { offset, len: file_len.next_multiple_of(BLOCK_SIZE) };
                files.entry(offset).or_insert(Region { extent, file_len, path: Some(path) });
            }
        }
        let mut regions = Vec::with_capacity(files.len() + 2);
        let mut end = 0;
        for (offset, file) in files {
            // Files whose blocks overlap are in no image of ours; the first one counts.
            let file_end = offset.saturating_add(file.extent.len);
            if offset < end || file_end > len {
                continue;
            }
            regions.extend(Region::between(end, offset));
            regions.push(file);
            end = file_end;
        }
        regions.extend(Region::between(end, len));
        Ok(Self(regions))
    }

    pub fn all(&self) -> &[Region] {
        &self.0
    }
}

impl Region {
    fn between(start: u64, end: u64) -> Option<Self> {
        let extent = Extent { offset: start, len: end.checked_sub(start).filter(|len| *len > 0)? };
        Some(Self { extent, file_len: extent.len, path: None })
    }
}

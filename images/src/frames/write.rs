//! Compresses an image into frames.

use std::io::Write;

use rayon::prelude::*;

use super::{FRAME_BLOCKS_MAX, Frame, FramesError, Index};
use crate::content::ReadAt;
use crate::digest::{Digest, DigestWriter};
use crate::verity::{BLOCK_SIZE, RootHash};

const LEVEL: i32 = 19;
/// Frames that are held at a time: enough to keep many threads busy.
const BATCH: u64 = 256;

/// What written frames came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramesSummary {
    /// Length of the file of frames, in bytes.
    pub len: u64,
    /// Its digest.
    pub digest: Digest,
    /// The index, as it is to be published.
    pub index: Vec<u8>,
    /// Digest of the index: what a host has to be told by somebody it trusts.
    pub index_digest: Digest,
}

/// Writes the image of `data_len` bytes with this root hash to `out` in frames of `frame_blocks` blocks each. The same
/// image makes the same bytes on any number of threads. `done` is told how many bytes of the image were finished.
pub fn write(
    image: &dyn ReadAt,
    data_len: u64,
    root_hash: RootHash,
    frame_blocks: u32,
    out: &mut dyn Write,
    done: &(dyn Fn(u64) + Sync),
) -> Result<FramesSummary, FramesError> {
    if data_len == 0 || !data_len.is_multiple_of(BLOCK_SIZE) {
        return Err(FramesError::BadInput("an image of no whole number of blocks, or none"));
    }
    if !(1..=FRAME_BLOCKS_MAX).contains(&frame_blocks) {
        return Err(FramesError::BadInput("a bad number of blocks"));
    }
    let frame_len = u64::from(frame_blocks) * BLOCK_SIZE;
    let count = data_len.div_ceil(frame_len);
    let mut out = DigestWriter::new(out);
    let (mut frames, mut offset) = (Vec::new(), 0);
    for first in (0..count).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let batch: Vec<Vec<u8>> = (first..count.min(first + BATCH))
            .into_par_iter()
            .map(|number| {
                let start = number * frame_len;
                let len = frame_len.min(data_len - start);
                // At most 1 MiB.
                let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
                let read = image.read_exact_at(&mut bytes, start);
                read.map_err(|source| FramesError::Read { offset: start, source })?;
                let frame = zstd::bulk::compress(&bytes, LEVEL).map_err(FramesError::Write)?;
                done(len);
                Ok(frame)
            })
            .collect::<Result<_, FramesError>>()?;
        for bytes in batch {
            out.write_all(&bytes).map_err(FramesError::Write)?;
            let len = u32::try_from(bytes.len()).map_err(|_| FramesError::BadInput("blocks that grow so much"))?;
            frames.push(Frame { offset, len, digest: Digest::of(&bytes) });
            offset += u64::from(len);
        }
    }
    out.flush().map_err(FramesError::Write)?;
    let index = Index { root_hash, data_len, frame_blocks, frames }.encode();
    Ok(FramesSummary { len: offset, digest: out.finish().1, index_digest: Digest::of(&index), index })
}

//! An image in frames: runs of blocks that are compressed by themselves, so that a host can fetch the blocks it lacks and no
//! others, whatever version it comes from, or none.
//!
//! There are two files. The frames follow each other without a gap in one, which is an ordinary zstd file of the whole image
//! (`zstd -d` reads it). The index has the length and the digest of each; whoever signs a release names the index's digest.
//! Which blocks a host lacks is seen from the hash trees ([`BlockPlan`]).
//!
//! Both files are read from untrusted places. What is expected, and what stops it:
//!
//! * a foreign or altered index or frame: digests are compared before anything is parsed or decompressed;
//! * lengths that ask for memory: an index is no longer than its bytes, a frame is at most [`FRAME_BLOCKS_MAX`] blocks and
//!   is decompressed into exactly as many bytes;
//! * a frame with other content than its blocks': each block is checked against the hash tree by whoever takes it.

mod plan;
mod write;

use std::io;
use std::ops::Range;

pub use plan::{BlockPlan, FrameRun};
pub use write::{FramesSummary, write};

use crate::digest::Digest;
use crate::verity::{BLOCK_SIZE, BlockIndex, RootHash};

/// Most blocks in a frame: 1 MiB.
pub const FRAME_BLOCKS_MAX: u32 = 256;
/// Blocks in a frame, by default. `docs/adr/` has the sizes for other numbers.
pub const FRAME_BLOCKS: u32 = 16;

const MAGIC: &[u8; 8] = b"slipfrm\n";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 56;
const ENTRY_LEN: usize = 36;

/// Why frames can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// The index is not the one that was signed.
    #[error("the index of frames has the digest {found} and should have {expected}")]
    WrongIndex {
        /// What was signed.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The index makes no sense.
    #[error("the index of frames has {0}")]
    BadIndex(&'static str),
    /// There is no such frame.
    #[error("there is no frame {0}")]
    NoFrame(FrameIndex),
    /// A frame is not the one that the index names.
    #[error("frame {0} doesn't match the digest in the index")]
    WrongFrame(FrameIndex),
    /// A frame can't be decompressed.
    #[error("frame {frame} can't be decompressed")]
    Decompress {
        /// Which.
        frame: FrameIndex,
        /// Why.
        source: io::Error,
    },
    /// A frame has other than its number of bytes.
    #[error("frame {frame} holds {found} bytes and should hold {expected}")]
    WrongLength {
        /// Which.
        frame: FrameIndex,
        /// Bytes by the index.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// An image or a number of blocks for which frames can't be written.
    #[error("frames can't be made of {0}")]
    BadInput(&'static str),
    /// The image can't be read.
    #[error("byte {offset} of the image can't be read")]
    Read {
        /// Where reading began.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// Frames can't be compressed or written.
    #[error("the frames can't be written")]
    Write(#[source] io::Error),
}

/// Number of a frame, from the start of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameIndex(pub u64);

impl std::fmt::Display for FrameIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A frame as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it starts in the file of frames, in bytes.
    pub offset: u64,
    /// Bytes it has there.
    pub len: u32,
    /// Digest of these.
    pub digest: Digest,
}

/// An index that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    root_hash: RootHash,
    data_len: u64,
    frame_blocks: u32,
    frames: Vec<Frame>,
}

impl Index {
    /// Reads an index, whose digest must be `expected`.
    pub fn parse(bytes: &[u8], expected: &Digest) -> Result<Self, FramesError> {
        let found = Digest::of(bytes);
        if found != *expected {
            return Err(FramesError::WrongIndex { expected: *expected, found });
        }
        Self::parse_unverified(bytes)
    }

    /// Reads an index that nobody vouches for.
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, FramesError> {
        let bad = FramesError::BadIndex;
        let Some((header, list)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Err(bad("no header")) };
        if !header.starts_with(MAGIC) || le32(header, 8) != VERSION {
            return Err(bad("no header that this program knows"));
        }
        let frame_blocks = le32(header, 12);
        let data_len = u64::from(le32(header, 16)) | u64::from(le32(header, 20)) << 32;
        let mut root_hash = [0; 32];
        root_hash.copy_from_slice(&header[24..]);
        if !(1..=FRAME_BLOCKS_MAX).contains(&frame_blocks) {
            return Err(bad("a bad number of blocks in a frame"));
        }
        if data_len == 0 || !data_len.is_multiple_of(BLOCK_SIZE) {
            return Err(bad("a bad length of the image"));
        }
        let count = data_len.div_ceil(u64::from(frame_blocks) * BLOCK_SIZE);
        let (entries, rest) = list.as_chunks::<ENTRY_LEN>();
        if !rest.is_empty() || entries.len() as u64 != count {
            return Err(bad("another number of frames than the image has"));
        }
        let mut offset = 0;
        let frames = entries.iter().map(|entry| {
            let mut digest = [0; 32];
            digest.copy_from_slice(&entry[4..]);
            let frame = Frame { offset, len: le32(entry, 0), digest: Digest::from_bytes(digest) };
            offset += u64::from(frame.len);
            frame
        });
        let frames: Vec<Frame> = frames.collect();
        // At most 1 MiB of blocks, and what compressing adds where it gains nothing.
        let longest = usize::try_from(u64::from(frame_blocks) * BLOCK_SIZE).map_or(0, zstd::zstd_safe::compress_bound);
        if frames.iter().any(|frame| frame.len as usize > longest) {
            return Err(bad("a frame that is longer than its blocks can be"));
        }
        Ok(Self { root_hash: RootHash::from_bytes(root_hash), data_len, frame_blocks, frames })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.frames.len() * ENTRY_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.frame_blocks.to_le_bytes());
        bytes.extend_from_slice(&self.data_len.to_le_bytes());
        bytes.extend_from_slice(self.root_hash.as_bytes());
        for frame in &self.frames {
            bytes.extend_from_slice(&frame.len.to_le_bytes());
            bytes.extend_from_slice(frame.digest.as_bytes());
        }
        bytes
    }

    /// The root that the frames are of.
    pub fn root_hash(&self) -> RootHash {
        self.root_hash
    }

    /// Length of the image, in bytes.
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// Length of the file of frames, in bytes.
    pub fn frames_len(&self) -> u64 {
        self.frames.last().map_or(0, |last| last.offset + u64::from(last.len))
    }

    /// The frames, in order.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The frame that a block is in; beyond the last one if the image has no such block.
    pub fn frame_of(&self, block: BlockIndex) -> FrameIndex {
        FrameIndex(block.0 / u64::from(self.frame_blocks))
    }

    /// The blocks that a frame holds; none beyond the last.
    pub fn blocks_of(&self, frame: FrameIndex) -> Range<u64> {
        let blocks = self.data_len / BLOCK_SIZE;
        let start = frame.0.saturating_mul(u64::from(self.frame_blocks)).min(blocks);
        start..start.saturating_add(u64::from(self.frame_blocks)).min(blocks)
    }

    /// The blocks of a frame, from how it is stored. They are what was signed; that they are the image's, the hash tree says.
    pub fn decode(&self, frame: FrameIndex, stored: &[u8]) -> Result<Vec<u8>, FramesError> {
        let entry = usize::try_from(frame.0).ok().and_then(|number| self.frames.get(number));
        let entry = entry.ok_or(FramesError::NoFrame(frame))?;
        if stored.len() as u64 != u64::from(entry.len) || Digest::of(stored) != entry.digest {
            return Err(FramesError::WrongFrame(frame));
        }
        let blocks = self.blocks_of(frame);
        // At most 1 MiB.
        let expected = usize::try_from((blocks.end - blocks.start) * BLOCK_SIZE).unwrap_or_default();
        let bytes =
            zstd::bulk::decompress(stored, expected).map_err(|source| FramesError::Decompress { frame, source })?;
        if bytes.len() != expected {
            return Err(FramesError::WrongLength { frame, expected, found: bytes.len() });
        }
        Ok(bytes)
    }
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

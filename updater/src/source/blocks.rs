//! The blocks tier: the hash tree, the frames with the blocks that a host lacks, and the kernel image.

use std::io::{self, Cursor, Read};
use std::ops::Range;

use slipway_images::frames::{Frame, FrameIndex, FramesError, Index};
use slipway_images::patch::PatchError;
use slipway_images::release::{KERNEL_MAX, Part, ReleaseDocument, stored_max};
use slipway_images::verity::{BlockIndex, VerityError};
use thiserror::Error;
use zstd::stream::read::Decoder;

use super::parts::{PartError, Parts, Traffic};
use crate::release::{ReleaseSource, TakeBlock};

/// Frames with no more bytes than this between them are fetched at once: a request costs as much.
const GAP: u64 = 8 << 10;
/// The largest part that is held in memory, before its digest has been compared and it is decompressed: a kernel image.
const HELD_MAX: u64 = stored_max(KERNEL_MAX);
const BLOCK: usize = 4096;
/// Decompression keeps at most two to the power of this many bytes: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Why a part is of no use.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A part can't be had.
    #[error(transparent)]
    Part(#[from] PartError),
    /// Frames that make no sense, although they are what was signed.
    #[error(transparent)]
    Frames(#[from] FramesError),
    /// The index of another root.
    #[error("the index of frames is for another root than the release")]
    OtherIndex,
    /// A patch that can't be applied.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// A patch of something else, although it is what was signed.
    #[error("the patch {0}")]
    ForeignPatch(&'static str),
    /// A patch whose head of a hash tree makes no sense.
    #[error("the patch has no hash tree for the release")]
    Tree(#[source] VerityError),
}

impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        Self::other(error)
    }
}

/// A release by its blocks.
#[derive(Debug)]
pub struct BlocksSource<'a> {
    parts: &'a mut Parts,
    release: &'a ReleaseDocument,
    index: Option<Index>,
}

impl<'a> BlocksSource<'a> {
    /// This release, from these places.
    pub fn new(release: &'a ReleaseDocument, parts: &'a mut Parts) -> Self {
        Self { parts, release, index: None }
    }

    /// What was fetched so far.
    pub fn traffic(&self) -> Traffic {
        self.parts.traffic()
    }

    pub(super) fn parts(&mut self) -> &mut Parts {
        self.parts
    }

    /// Bytes of the frames that hold these blocks, with what lies between those that are fetched at once.
    pub fn cost(&mut self, wanted: &[Range<u64>]) -> Result<u64, SourceError> {
        let index = self.index()?;
        let runs = runs(&index, wanted);
        self.index = Some(index);
        Ok(runs.iter().map(|run| run.bytes.end - run.bytes.start).sum())
    }

    /// A part that is one zstd frame, decompressed as it is read.
    fn unpacked(&mut self, part: Part) -> io::Result<Box<dyn Read + 'static>> {
        let stored = self.parts.whole(part, HELD_MAX)?;
        let mut decoder = Decoder::with_buffer(Cursor::new(stored))?;
        decoder.window_log_max(WINDOW_LOG)?;
        Ok(Box::new(decoder))
    }

    fn index(&mut self) -> Result<Index, SourceError> {
        if let Some(index) = self.index.take() {
            return Ok(index);
        }
        let part = self.release.parts.blocks.index;
        let index = Index::parse(&self.parts.whole(part, HELD_MAX)?, &part.sha256)?;
        let root = &self.release.root;
        let fits = index.root_hash() == root.root_hash
            && index.data_len() == root.size
            && index.frames_len() == self.release.parts.blocks.frames.size;
        if fits { Ok(index) } else { Err(SourceError::OtherIndex) }
    }

    /// Fetches a run of frames, and hands on their blocks. Goes on with the frame at which a place had to be given up.
    fn fetch(&mut self, index: &Index, run: &Run, take: &mut TakeBlock<'_>) -> io::Result<()> {
        let part = self.release.parts.blocks.frames;
        let mut next = run.frames.start;
        while next < run.frames.end {
            let Some(first) = frame(index, next) else {
                return Err(io::Error::other(FramesError::NoFrame(FrameIndex(next))));
            };
            let mut reader = self.parts.open(part, first.offset..run.bytes.end);
            let mut wrong = None;
            while let Some(entry) = frame(index, next).filter(|_| next < run.frames.end) {
                let mut stored = vec![0; usize::try_from(entry.len).unwrap_or(usize::MAX)];
                reader.fill(&mut stored)?;
                match index.decode(FrameIndex(next), &stored) {
                    Ok(bytes) => {
                        reader.vouch();
                        hand_on(index, FrameIndex(next), &bytes, take)?;
                    }
                    Err(error @ FramesError::WrongFrame(_)) => {
                        wrong = Some(error);
                        break;
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
                next += 1;
            }
            if let Some(error) = wrong {
                self.parts.blame(part, &format!("sends other bytes than were signed: {error}"))?;
            }
        }
        Ok(())
    }
}

impl ReleaseSource for BlocksSource<'_> {
    fn tree(&mut self) -> io::Result<Box<dyn Read + '_>> {
        self.unpacked(self.release.parts.verity)
    }

    fn kernel(&mut self) -> io::Result<Box<dyn Read + '_>> {
        self.unpacked(self.release.parts.uki)
    }

    fn blocks(&mut self, wanted: &[Range<u64>], take: &mut TakeBlock<'_>) -> io::Result<()> {
        let index = self.index()?;
        let fetched = runs(&index, wanted).iter().try_for_each(|run| self.fetch(&index, run, take));
        self.index = Some(index);
        fetched
    }
}

fn frame(index: &Index, number: u64) -> Option<&Frame> {
    index.frames().get(usize::try_from(number).ok()?)
}

fn hand_on(index: &Index, frame: FrameIndex, bytes: &[u8], take: &mut TakeBlock<'_>) -> io::Result<()> {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    index.blocks_of(frame).zip(blocks).try_for_each(|(number, block)| take(BlockIndex(number), block))
}

/// Frames that lie side by side, and are fetched by one request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    frames: Range<u64>,
    bytes: Range<u64>,
}

/// The frames that hold these blocks. Those that are wanted only for what lies behind them come with it.
fn runs(index: &Index, wanted: &[Range<u64>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for blocks in wanted.iter().filter(|blocks| !blocks.is_empty()) {
        let (first, last) = (index.frame_of(BlockIndex(blocks.start)).0, index.frame_of(BlockIndex(blocks.end - 1)).0);
        for number in first..=last {
            // There is none for blocks beyond the image; that they don't come is noticed by whoever wants them.
            let Some(entry) = frame(index, number) else { break };
            let bytes = entry.offset..entry.offset + u64::from(entry.len);
            match runs.last_mut() {
                Some(run) if number < run.frames.end => {}
                Some(run) if bytes.start - run.bytes.end <= GAP => {
                    *run = Run { frames: run.frames.start..number + 1, bytes: run.bytes.start..bytes.end };
                }
                _ => runs.push(Run { frames: number..number + 1, bytes }),
            }
        }
    }
    runs
}

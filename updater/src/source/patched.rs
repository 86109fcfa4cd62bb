//! The patch tier: root and kernel image made of what runs and of a patch ([`slipway_images::patch`] has the format).
//!
//! A patch comes from wherever a release comes from, and nobody vouches for its bytes. What is expected, and what stops it:
//!
//! * another head than the signed one: its digest is compared before it is parsed, and no more is read than was signed;
//! * a signed head that is for another pair: the names and lengths of both versions are compared with what runs and with
//!   what is to be installed;
//! * windows that are altered, too long, or make too much: `images` refuses them by the head, before it decompresses them;
//!   another place is asked;
//! * old bytes that are not what the patch was made from, on a disk that fails: each group of 128 blocks is checked against
//!   the head of the hash tree before anybody gets it, a kernel image before anything refers to it. The root is therefore
//!   read past dm-verity, which would restart the machine at the first bad block, and nobody else may need that block;
//! * whatever else: root and kernel image can be had whole, and whoever asks does so when a patch fails.
//!
//! Memory is bounded by one window as it is stored, three decoders, and a group of blocks, whatever the size of the image.

use std::io::{self, Read};
use std::ops::Range;

use slipway_images::content::ReadAt;
use slipway_images::digest::Digest;
use slipway_images::patch::{HEAD_MAX, Head, Pair, PatchError, WindowMaker};
use slipway_images::release::{Part, PatchPart, ReleaseDocument};
use slipway_images::verity::{GROUP_LEN, GroupIndex, GroupWriter, RootHash, TreeHead};

use super::ahead::{Borrowed, Places, ReadAhead};
use super::blocks::{BlocksSource, SourceError};
use super::parts::{Parts, Traffic};
use crate::release::{PatchSource, ReleaseSource, TakeBlock, TakeGroup};

/// The kernel image that runs.
pub struct OldKernel {
    /// Its digest, as it is on the ESP now.
    pub digest: Digest,
    /// Bytes it has.
    pub size: u64,
    /// Its bytes.
    pub bytes: Places,
}

/// A release by patches of what runs, and by its blocks where there is none or it fails.
pub struct PatchedSource<'a> {
    blocks: BlocksSource<'a>,
    root: Option<RootPatch>,
    kernel: Option<KernelPatch>,
}

struct RootPatch {
    part: PatchPart,
    pair: Pair,
    head: Option<Head>,
}

struct KernelPatch {
    part: PatchPart,
    pair: Pair,
    old: Places,
}

impl<'a> PatchedSource<'a> {
    /// This release, from these places, for a host that runs the root `running` with this kernel image. The patch of the
    /// root is left out unless `root` says so.
    pub fn new(
        release: &'a ReleaseDocument,
        parts: &'a mut Parts,
        running: RootHash,
        root: bool,
        kernel: Option<OldKernel>,
    ) -> Self {
        let patch = release.patch_from(running);
        let name = |hash: RootHash| Digest::from_bytes(*hash.as_bytes());
        let root = patch.filter(|_| root).map(|patch| RootPatch {
            part: patch.root,
            // The old length is the patch's to say: reading ends with the slot.
            pair: Pair {
                old: name(running),
                old_len: 0,
                new: name(release.root.root_hash),
                new_len: release.root.size,
            },
            head: None,
        });
        let kernel = kernel.zip(patch).and_then(|(OldKernel { digest, size, bytes }, patch)| {
            let part = patch.uki.filter(|_| patch.from.uki == digest)?;
            let pair = Pair { old: digest, old_len: size, new: release.uki.sha256, new_len: release.uki.size };
            Some(KernelPatch { part, pair, old: bytes })
        });
        Self { blocks: BlocksSource::new(release, parts), root, kernel }
    }

    /// What was fetched so far.
    pub fn traffic(&self) -> Traffic {
        self.blocks.traffic()
    }
}

impl ReleaseSource for PatchedSource<'_> {
    fn tree(&mut self) -> io::Result<Box<dyn Read + '_>> {
        self.blocks.tree()
    }

    fn kernel(&mut self) -> io::Result<Box<dyn Read + '_>> {
        self.blocks.kernel()
    }

    fn blocks(&mut self, wanted: &[Range<u64>], take: &mut TakeBlock<'_>) -> io::Result<()> {
        self.blocks.blocks(wanted, take)
    }

    fn patch(&mut self) -> Option<&mut dyn PatchSource> {
        if self.root.is_some() { Some(self) } else { None }
    }

    fn kernel_patch(&mut self) -> Option<io::Result<Box<dyn Read + '_>>> {
        let KernelPatch { part, pair, old } = self.kernel.take()?;
        let parts = self.blocks.parts();
        let head = match read_head(parts, &part) {
            Ok(head) if *head.pair() == pair => head,
            Ok(_) => return Some(Err(SourceError::ForeignPatch("is for other kernel images").into())),
            Err(error) => return Some(Err(error.into())),
        };
        let old = ReadAhead::new(old, pair.old_len);
        let (next, maker, made, given) = (0, None, Vec::new(), 0);
        Some(Ok(Box::new(PatchedKernel { parts, part: part.part(), head, old, next, maker, made, given })))
    }
}

impl PatchSource for PatchedSource<'_> {
    fn tree_head(&mut self) -> io::Result<TreeHead> {
        let root = self.root.as_mut().ok_or(SourceError::ForeignPatch("is none"))?;
        let head = read_head(self.blocks.parts(), &root.part)?;
        let Pair { old_len, .. } = *head.pair();
        if *head.pair() != (Pair { old_len, ..root.pair }) {
            return Err(SourceError::ForeignPatch("is for other roots").into());
        }
        if head.windows().iter().any(|window| !window.new_offset.is_multiple_of(GROUP_LEN)) {
            return Err(SourceError::ForeignPatch("has windows that don't end with a group of the hash tree").into());
        }
        let tree = head.tree_head().map_err(SourceError::Tree)?;
        root.head = Some(head);
        Ok(tree)
    }

    fn groups(
        &mut self,
        tree: &TreeHead,
        old: &dyn ReadAt,
        is_there: &dyn Fn(GroupIndex) -> bool,
        take: &mut TakeGroup<'_>,
    ) -> io::Result<()> {
        let Some(RootPatch { part, head: Some(head), .. }) = &self.root else {
            return Err(SourceError::ForeignPatch("has no head yet").into());
        };
        let old = ReadAhead::new(Borrowed(old), head.pair().old_len);
        for (number, window) in head.windows().iter().enumerate() {
            let first = GroupIndex(window.new_offset / GROUP_LEN);
            let groups = first.0..(window.new_offset + window.new_len).div_ceil(GROUP_LEN);
            let there: Vec<bool> = groups.map(|group| is_there(GroupIndex(group))).collect();
            if there.iter().all(|there| *there) {
                continue;
            }
            let is_there = |group: GroupIndex| {
                usize::try_from(group.0 - first.0).ok().and_then(|at| there.get(at)).copied().unwrap_or_default()
            };
            let mut maker = maker(self.blocks.parts(), part.part(), head, number)?;
            let mut checked =
                GroupWriter::new(
                    tree,
                    first,
                    |group, leaves, bytes| {
                        if is_there(group) { Ok(()) } else { take(group, leaves, bytes) }
                    },
                );
            loop {
                match maker.next_bytes(&old).map_err(SourceError::Patch)? {
                    [] => break,
                    made => io::Write::write_all(&mut checked, made)?,
                }
            }
        }
        Ok(())
    }
}

/// Gets the head of a patch from whoever sends the signed one.
fn read_head(parts: &mut Parts, patch: &PatchPart) -> Result<Head, SourceError> {
    let Part { size, sha256 } = patch.head;
    let len = usize::try_from(size).ok().filter(|len| *len <= HEAD_MAX);
    let len = len.ok_or(SourceError::ForeignPatch("has too long a head"))?;
    loop {
        let mut bytes = vec![0; len];
        parts.open(patch.part(), 0..size).fill(&mut bytes)?;
        match Head::parse(&bytes, &sha256) {
            Err(error @ PatchError::WrongHead { .. }) => blame(parts, patch.part(), &error)?,
            Err(error) => return Err(error.into()),
            Ok(head) if head.patch_len(size) == patch.size => {
                parts.vouch();
                return Ok(head);
            }
            Ok(_) => return Err(SourceError::ForeignPatch("has another length than was signed")),
        }
    }
}

/// Gets a window from whoever sends the signed one. Its length is one that a head may name.
fn maker(parts: &mut Parts, patch: Part, head: &Head, number: usize) -> Result<WindowMaker, SourceError> {
    let window = head.windows().get(number).ok_or(SourceError::ForeignPatch("has no such window"))?;
    let (start, len) = (window.offset, window.stored_len());
    loop {
        let mut stored = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        parts.open(patch, start..start + len).fill(&mut stored)?;
        match head.maker(number, stored) {
            Err(error @ PatchError::WrongWindow { .. }) => blame(parts, patch, &error)?,
            made => {
                parts.vouch();
                return Ok(made?);
            }
        }
    }
}

fn blame(parts: &mut Parts, part: Part, error: &PatchError) -> Result<(), SourceError> {
    Ok(parts.blame(part, &format!("sends other bytes than were signed: {error}"))?)
}

/// The new kernel image, made as it is read. Whoever takes it compares its digest.
struct PatchedKernel<'a> {
    parts: &'a mut Parts,
    part: Part,
    head: Head,
    old: ReadAhead<Places>,
    next: usize,
    maker: Option<WindowMaker>,
    made: Vec<u8>,
    given: usize,
}

impl PatchedKernel<'_> {
    /// Makes the next bytes, if there are any.
    fn refill(&mut self) -> Result<(), SourceError> {
        self.made.clear();
        self.given = 0;
        while self.made.is_empty() && self.next < self.head.windows().len() {
            let maker = match &mut self.maker {
                Some(maker) => maker,
                None => self.maker.insert(maker(self.parts, self.part, &self.head, self.next)?),
            };
            self.made.extend_from_slice(maker.next_bytes(&self.old)?);
            if self.made.is_empty() {
                self.maker = None;
                self.next += 1;
            }
        }
        Ok(())
    }
}

impl Read for PatchedKernel<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.given == self.made.len() {
            self.refill()?;
        }
        let count = buf.len().min(self.made.len() - self.given);
        buf[..count].copy_from_slice(&self.made[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

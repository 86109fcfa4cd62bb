//! What the agent is handed to install: a release whose signatures were verified, and a source of its bytes, which need
//! not be trusted: each block is checked against the signed tree before it is written.

use std::io::{self, Read};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use slipway_images::content::ReadAt;
use slipway_images::digest::Digest;
use slipway_images::manifest::Manifest;
use slipway_images::names::{BootTries, PartitionLabel, TriesLeft};
use slipway_images::verity::{BlockIndex, GroupIndex, LeafBlock, RootHash, TreeHead};
use slipway_images::version::Version;

use crate::disk::survey::Survey;
use crate::ledger::{LedgerContents, UnixSeconds};

/// A release as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRelease(Target);

impl VerifiedRelease {
    /// Takes what the caller has just read from a document whose signature it verified. Nothing here can check that.
    pub fn from_document_verified_by_caller(target: Target) -> Self {
        Self(target)
    }

    /// What is signed.
    pub fn target(&self) -> &Target {
        &self.0
    }
}

/// What is to be in the slot and on the ESP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Image and version.
    pub label: PartitionLabel,
    /// What authenticates the root; also the name by which the ledger knows the version.
    pub root_hash: RootHash,
    /// Bytes of the root.
    pub root_size: u64,
    /// Bytes of the hash tree, superblock and all.
    pub tree_size: u64,
    /// Digest of the hash tree.
    pub tree: Digest,
    /// Bytes of the unified kernel image.
    pub kernel_size: u64,
    /// Digest of the unified kernel image.
    pub kernel: Digest,
}

impl Target {
    /// What a manifest describes.
    pub fn of_manifest(manifest: &Manifest) -> Self {
        let parts = &manifest.parts;
        Self {
            label: manifest.label.clone(),
            root_hash: manifest.root_hash,
            root_size: parts.root.size,
            tree_size: parts.verity.size,
            tree: parts.verity.sha256,
            kernel_size: parts.uki.size,
            kernel: parts.uki.sha256,
        }
    }
}

/// A release that this host may install. Made by [`admit`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedRelease {
    target: Target,
}

impl AdmittedRelease {
    /// What is installed.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// On which terms a release is admitted; by default as any other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// An operator asks: the wait after an installation that went wrong is over.
    pub by_hand: bool,
    /// What runs was withdrawn: an older version will do.
    pub instead_of_withdrawn: bool,
    /// The floor that counts, where it was lowered.
    pub lowered_floor: Option<&'a Version>,
}

/// Why a release is not installed. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It is of another image.
    #[error("{offered} is another image than {running}, which runs here")]
    OtherImage {
        /// What is offered.
        offered: String,
        /// What runs.
        running: String,
    },
    /// It runs already.
    #[error("{0} runs already")]
    Running(String),
    /// It is in the other slot already, and the next boot tries it.
    #[error("{0} is installed already, and the next boot tries it")]
    Armed(String),
    /// It is older than what runs.
    #[error("{offered} is older than {running}, which runs here; `rollback` goes back")]
    Older {
        /// What is offered.
        offered: Version,
        /// What runs.
        running: Version,
    },
    /// It is below the floor.
    #[error("{offered} is older than {floor}, which was found good here once")]
    BelowFloor {
        /// What is offered.
        offered: Version,
        /// The floor.
        floor: Version,
    },
    /// It failed here before.
    #[error("{label} failed on this host: {reason}; it isn't tried again unless an operator allows it")]
    Failed {
        /// What is offered.
        label: String,
        /// Why it failed.
        reason: String,
    },
    /// Installing it went wrong a short while ago.
    #[error(
        "installing {label} failed {attempts} times, the last time with: {reason}; it is tried again in {seconds} s"
    )]
    Waiting {
        /// What is offered.
        label: String,
        /// How often.
        attempts: u32,
        /// The last error.
        reason: String,
        /// Seconds from now.
        seconds: u64,
    },
    /// It doesn't fit.
    #[error("the {part} of {label} takes {size} bytes, and there is room for {room} {place}")]
    TooLarge {
        /// What is offered.
        label: String,
        /// `root`, `hash tree` or `kernel image`.
        part: String,
        /// Where it would go, in words.
        place: String,
        /// Bytes it takes.
        size: u64,
        /// Bytes there are.
        room: u64,
    },
}

/// Decides whether a release may be installed on a host, from what is on its disk and in its ledger.
pub fn admit(
    release: &VerifiedRelease,
    survey: &Survey,
    ledger: &LedgerContents,
    now: UnixSeconds,
    terms: &Terms<'_>,
) -> Result<AdmittedRelease, Refusal> {
    let target = release.target();
    let (label, running) = (&target.label, &survey.running_label);
    let text = || label.to_string();
    if label.id() != running.id() {
        return Err(Refusal::OtherImage { offered: text(), running: running.to_string() });
    }
    // A second slot of the same name or root hash would make the first ambiguous for boot loader and initrd.
    if label == running || survey.running().root_hash() == Some(target.root_hash) {
        return Err(Refusal::Running(text()));
    }
    let offered = label.version();
    if offered < running.version() && !terms.instead_of_withdrawn {
        return Err(Refusal::Older { offered: offered.clone(), running: running.version().clone() });
    }
    let floor = ledger.floor.as_ref().map(|floor| terms.lowered_floor.map_or(floor, |lowered| lowered.min(floor)));
    if let Some(floor) = floor.filter(|floor| offered < *floor) {
        return Err(Refusal::BelowFloor { offered: offered.clone(), floor: floor.clone() });
    }
    if let Some(failure) = ledger.failure(target.root_hash) {
        return Err(Refusal::Failed { label: text(), reason: failure.reason.to_string() });
    }
    if let Some(trouble) = ledger.trouble(target.root_hash).filter(|trouble| trouble.holds(now) && !terms.by_hand) {
        return Err(Refusal::Waiting {
            label: text(),
            attempts: trouble.attempts,
            reason: trouble.reason.clone(),
            seconds: trouble.not_before.0.saturating_sub(now.0),
        });
    }
    let other = survey.other();
    let has_tries = |tries| matches!(tries, BootTries::Counted { left, .. } if left > TriesLeft(0));
    if other.root_hash() == Some(target.root_hash) && other.entry.as_ref().is_some_and(|entry| has_tries(entry.tries()))
    {
        return Err(Refusal::Armed(text()));
    }
    let fits = [
        ("root", "in its partition", target.root_size, other.root.size),
        ("hash tree", "in its partition", target.tree_size, other.verity.size),
        // The other slot's kernel image goes before the new one comes.
        ("kernel image", "on the ESP", target.kernel_size, survey.esp_room.saturating_add(other.kernel_size)),
    ];
    if let Some((part, place, size, room)) = fits.into_iter().find(|(_, _, size, room)| size > room) {
        return Err(Refusal::TooLarge { label: text(), part: part.to_owned(), place: place.to_owned(), size, room });
    }
    Ok(AdmittedRelease { target: target.clone() })
}

/// A block that a source delivers, with what became of it.
pub type TakeBlock<'a> = dyn FnMut(BlockIndex, &[u8]) -> Result<(), io::Error> + 'a;

/// Where the bytes of a release come from: the network, a folder, memory. It is not trusted.
pub trait ReleaseSource {
    /// The hash tree, superblock and all: `tree_size` bytes.
    fn tree(&mut self) -> io::Result<Box<dyn Read + '_>>;
    /// The unified kernel image: `kernel_size` bytes.
    fn kernel(&mut self) -> io::Result<Box<dyn Read + '_>>;
    /// Hands the 4096 bytes of each block in `wanted`, which is sorted and without overlaps, to `take`, in any order. An
    /// error of `take` ends it, and is passed on.
    fn blocks(&mut self, wanted: &[Range<u64>], take: &mut TakeBlock<'_>) -> io::Result<()>;
    /// What makes the root from the one that runs, if the source has that. It is asked first, and when it fails, the hash
    /// tree and blocks are.
    fn patch(&mut self) -> Option<&mut dyn PatchSource> {
        None
    }

    /// The kernel image, made from the one that runs, if the source has a patch for that. It is asked first, and when it
    /// fails, [`kernel`](Self::kernel) is.
    fn kernel_patch(&mut self) -> Option<io::Result<Box<dyn Read + '_>>> {
        None
    }
}

/// A group of blocks that a patch makes, with its leaves.
pub type TakeGroup<'a> = dyn FnMut(GroupIndex, &LeafBlock, &[u8]) -> io::Result<()> + 'a;

/// Makes a root from the one that runs. It is not trusted either: each group is checked against the head of the hash tree,
/// and that against the signed root hash.
pub trait PatchSource {
    /// The head of the new hash tree. Whoever asks compares its root hash.
    fn tree_head(&mut self) -> io::Result<TreeHead>;
    /// Makes the groups of the new root from the bytes of the running one, `old`, in order, and hands to `take` those for
    /// which `is_there` is false. A window whose groups are all there needn't be fetched. An error of `take` ends it, and is
    /// passed on.
    fn groups(
        &mut self,
        head: &TreeHead,
        old: &dyn ReadAt,
        is_there: &dyn Fn(GroupIndex) -> bool,
        take: &mut TakeGroup<'_>,
    ) -> io::Result<()>;
}

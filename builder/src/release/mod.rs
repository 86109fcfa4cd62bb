//! Publishes builds into a folder that any web server hands out, and looks after that folder.
//!
//! `docs/release-format.md` says what is in it, `docs/publishing.md` how it is used. [`Repository`] is the folder and
//! [`LockedRepository`] who may write to it, [`Published`] what it says. A [`Publisher`] makes it say something else: [`add`],
//! [`withdraw`], [`change_rollout`] and [`forget`] decide what. [`gc`] and [`fn@export_folder`] see to its files, and [`verify`] looks at
//! it as a host does.

mod add;
mod change;
mod edition;
mod export;
mod gc;
mod pack;
mod patches;
mod repository;
mod source;
mod state;
mod verify;

use std::io;
use std::path::PathBuf;

use slipway_images::frames::FramesError;
use slipway_images::manifest::ManifestError;
use slipway_images::names::PartitionLabel;
use slipway_images::patch::PatchError;
use slipway_images::release::{ChannelName, DocumentError, PATCHES_MAX};
use slipway_images::verity::VerityError;
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::MetadataVersion;
use slipway_trust::tuf::sign::SignError;
use slipway_trust::tuf::{MetadataError, RoleName, StoreError, TufError};

pub use add::{Added, Addition, add};
pub use change::{RolloutChange, Withdrawn, change_rollout, withdraw};
pub use edition::{Changes, Keys, Publisher, Roots};
pub use export::{Exported, export_folder, export_tar};
pub use gc::{Freed, forget, gc};
pub use repository::{LockedRepository, Repository};
pub use state::{Published, PublishedMetadata};
pub use verify::{Verification, verify};

use crate::keys::KeysError;
use crate::patch::MakeError;

/// The time of a publication, and how long what is signed counts.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The moment of signing. The same moment, inputs and keys make the same bytes.
    pub now: UnixTime,
    /// Days that the targets count.
    pub targets_days: u64,
    /// Days that the snapshot counts.
    pub snapshot_days: u64,
    /// Days that the timestamp counts: how long hosts can be kept from hearing of a newer release.
    pub timestamp_days: u64,
}

impl Terms {
    /// A year, half a year, and 14 days.
    pub const fn at(now: UnixTime) -> Self {
        Self { now, targets_days: 365, snapshot_days: 180, timestamp_days: 14 }
    }
}

/// A repository can't be read, written or believed.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// An input or output error.
    #[error("{} could not be {what}", path.display())]
    Io {
        /// What was being done, as in "could not be read".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is longer than it can be.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// How long it can be.
        limit: u64,
    },
    /// A file isn't there.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// A file isn't what its digest says.
    #[error("{}: this {what} is damaged", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file that is written once only is there with other content.
    #[error("{} is there already and says something else; nothing published is ever overwritten", .0.display())]
    Taken(PathBuf),
    /// An export would take a folder back.
    #[error(
        "{} holds something newer than this repository: hosts that saw it would refuse what is older; export to another folder",
        .0.display()
    )]
    Newer(PathBuf),
    /// Metadata isn't believed.
    #[error("the {role} metadata of the repository is refused")]
    Metadata {
        /// Whose.
        role: RoleName,
        /// Why.
        source: MetadataError,
    },
    /// A document that is to be published would make no sense.
    #[error("{target} can't be published")]
    Draft {
        /// Its target.
        target: String,
        /// Why.
        source: DocumentError,
    },
    /// A document makes no sense.
    #[error("target {target} is no document of a release repository")]
    Document {
        /// Its target.
        target: String,
        /// Why.
        source: DocumentError,
    },
    /// A document is of something else than its name says.
    #[error("target {0} is the document of something else")]
    Misnamed(String),
    /// There is no version after the last one.
    #[error("no version of metadata can follow {0}")]
    LastVersion(MetadataVersion),
    /// What is published was signed with keys that were replaced since.
    #[error(
        "what is published was signed with keys that root {0} has replaced, maybe because somebody else had them: see with `slipway release list` \
         that it is yours; `slipway release refresh --all --accept-replaced-keys` signs all of it again"
    )]
    OldKeys(MetadataVersion),
    /// A new timestamp would be for metadata that has expired.
    #[error(
        "the {role} metadata of the repository counts no longer, and a new timestamp is not enough for hosts: \
         `slipway release refresh --all` signs all of it again"
    )]
    Expired {
        /// Whose.
        role: RoleName,
        /// Since when.
        source: MetadataError,
    },
    /// The clock goes back.
    #[error("it is {now} here, and the repository was last signed at {issued}: set the clock right")]
    Time {
        /// What the clock reads.
        now: UnixTime,
        /// When it was signed.
        issued: UnixTime,
    },
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Signing.
    #[error("can't sign with the keys of this folder")]
    Sign(#[from] SignError),
    /// A host's way of reading it fails.
    #[error("a host would not take this repository")]
    Host(#[from] TufError),
    /// Trusted metadata can't be kept while a repository is verified.
    #[error("can't keep metadata while verifying")]
    Store(#[from] StoreError),
    /// A build's manifest.
    #[error("{} is no manifest of a build", path.display())]
    Manifest {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// A hash tree, or a root that doesn't fit it.
    #[error("{}: root and hash tree don't belong together", path.display())]
    Tree {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerityError,
    },
    /// Frames can't be made or read.
    #[error("can't make or read the root in frames")]
    Frames(#[from] FramesError),
    /// A part can't be compressed.
    #[error("can't compress a part")]
    Compress(#[source] io::Error),
    /// A patch can't be made.
    #[error("can't make a patch from {from} to {to}")]
    Patch {
        /// Where it starts.
        from: PartitionLabel,
        /// What it makes.
        to: PartitionLabel,
        /// Why.
        source: Box<MakeError>,
    },
    /// A patch doesn't make what it should.
    #[error("the patch from {from} doesn't make {to}")]
    WrongPatch {
        /// Where it starts.
        from: String,
        /// What it should make.
        to: PartitionLabel,
        /// Why.
        source: Box<PatchError>,
    },
    /// The build to start a patch from is of another image.
    #[error("{from} is another image than {to}: there is nothing to patch")]
    OtherImage {
        /// Where it would start.
        from: PartitionLabel,
        /// What it would make.
        to: PartitionLabel,
    },
    /// More patches than a release can have.
    #[error("{label} would have {count} patches, and hosts read at most {PATCHES_MAX}: name fewer by `--patch-from`")]
    TooManyPatches {
        /// The release.
        label: PartitionLabel,
        /// How many, with those that it has already.
        count: usize,
    },
    /// A version that was published with other content.
    #[error("{0} is published already, and with other content: a version is built once; give this build another one")]
    Reused(PartitionLabel),
    /// A version that a channel has already.
    #[error("channel {channel} offers {label} already; `slipway release rollout` changes who may take it")]
    Offered {
        /// The channel.
        channel: ChannelName,
        /// The version.
        label: PartitionLabel,
    },
    /// A version that was taken back, which nothing undoes.
    #[error("{label} was taken back in channel {channel}, for good: publish a newer version")]
    TakenBack {
        /// The channel.
        channel: ChannelName,
        /// The version.
        label: PartitionLabel,
    },
    /// Nothing of that name is offered.
    #[error("no channel{} offers {label}", channel.as_ref().map(|name| format!(" {name}")).unwrap_or_default())]
    NotOffered {
        /// The channel that was asked for.
        channel: Option<ChannelName>,
        /// The version.
        label: PartitionLabel,
    },
    /// Nothing was published yet.
    #[error("{} holds no releases; `slipway release add` publishes one", .0.display())]
    Nothing(PathBuf),
}

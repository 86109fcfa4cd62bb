//! The document of a channel: which versions there are, and who may take which. It changes, and releases don't.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::rollout::RolloutShape;
use super::{ChannelName, DocumentError, Rollout, SCHEMA, TargetName, read, write};
use crate::names::{ImageId, PartitionLabel};
use crate::verity::RootHash;
use crate::version::Version;

/// Most versions that a channel offers.
pub const OFFERS_MAX: usize = 256;
/// Longest reason, in bytes.
const REASON_MAX: usize = 500;
pub(super) const DOCUMENT: &str = "channel";

/// What a channel's document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelContents {
    /// The image.
    pub id: ImageId,
    /// The channel.
    pub channel: ChannelName,
    /// Lowers the floor of hosts whose own is above it: they may go back as far as this version.
    pub floor: Option<Version>,
    /// The versions, the oldest first.
    pub offers: Vec<Offer>,
}

/// A version that a channel offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which one.
    pub version: Version,
    /// What authenticates its root.
    pub root_hash: RootHash,
    /// Who may take it, and when.
    pub rollout: Rollout,
    /// The oldest version that may take it. A host with an older one takes another version first.
    pub min_from: Option<Version>,
    /// It was taken back: no host takes it, and those that run it go to the best other one.
    pub withdrawn: Option<Withdrawal>,
}

/// Why a version was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// One line for people, at most 500 bytes.
    pub reason: String,
}

/// A valid channel document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelDocument(ChannelContents);

impl ChannelDocument {
    /// Checks that the contents make sense.
    pub fn new(contents: ChannelContents) -> Result<Self, DocumentError> {
        let check = |good: bool, field, problem| {
            if good { Ok(()) } else { Err(DocumentError::Field { document: DOCUMENT, field, problem }) }
        };
        let offers = &contents.offers;
        check(offers.len() <= OFFERS_MAX, "offers", "are more than 256")?;
        let sorted = offers.windows(2).all(|pair| pair[0].version < pair[1].version);
        check(sorted, "offers", "are not sorted by version, or one is there twice")?;
        let mut hashes: Vec<RootHash> = offers.iter().map(|offer| offer.root_hash).collect();
        hashes.sort_unstable();
        check(hashes.windows(2).all(|pair| pair[0] != pair[1]), "offers.root_hash", "is there twice")?;
        for offer in offers {
            label(&contents.id, &offer.version)?;
            offer.rollout.check()?;
            let steps = offer.min_from.as_ref().is_none_or(|from| *from < offer.version);
            check(steps, "offers.min_from", "is not older than the version")?;
            if let Some(Withdrawal { reason }) = &offer.withdrawn {
                let one_line = !reason.is_empty() && !reason.chars().any(char::is_control);
                check(one_line && reason.len() <= REASON_MAX, "offers.withdrawn.reason", "is not one line")?;
            }
        }
        Ok(Self(contents))
    }

    /// Reads the document.
    pub fn from_json(json: &[u8]) -> Result<Self, DocumentError> {
        let Shape { id, channel, floor, offers, .. } = read(DOCUMENT, json)?;
        let mut taken = Vec::with_capacity(offers.len().min(OFFERS_MAX));
        for offer in offers {
            let named = TargetName::of_release(&label(&id, &offer.version)?);
            if offer.release != named.as_str() {
                let (field, problem) = ("offers.release", "is not the name of the version's release document");
                return Err(DocumentError::Field { document: DOCUMENT, field, problem });
            }
            taken.push(offer.into());
        }
        Self::new(ChannelContents { id, channel, floor, offers: taken })
    }

    /// The document: indented, fields in a fixed order, with a line break at the end.
    pub fn to_json(&self) -> Result<Vec<u8>, DocumentError> {
        let Self(contents) = self;
        let offer = |offer: &Offer| {
            Ok(OfferShape {
                version: offer.version.clone(),
                root_hash: offer.root_hash,
                release: TargetName::of_release(&label(&contents.id, &offer.version)?).as_str().to_owned(),
                rollout: (&offer.rollout).into(),
                min_from: offer.min_from.clone(),
                withdrawn: offer.withdrawn.clone(),
            })
        };
        let offers = contents.offers.iter().map(offer).collect::<Result<_, DocumentError>>()?;
        let (id, channel, floor) = (contents.id.clone(), contents.channel.clone(), contents.floor.clone());
        write(DOCUMENT, &Shape { schema: SCHEMA, id, channel, floor, offers })
    }

    /// Its name among the targets.
    pub fn target_name(&self) -> TargetName {
        TargetName::of_channel(&self.id, &self.channel)
    }

    /// The image of this version.
    pub fn label(&self, version: &Version) -> Result<PartitionLabel, DocumentError> {
        label(&self.id, version)
    }

    /// The offer of this version.
    pub fn offer(&self, version: &Version) -> Option<&Offer> {
        let place = self.offers.binary_search_by(|offer| offer.version.cmp(version)).ok()?;
        self.offers.get(place)
    }

    /// What it says, to be changed.
    pub fn into_contents(self) -> ChannelContents {
        self.0
    }
}

impl Deref for ChannelDocument {
    type Target = ChannelContents;

    fn deref(&self) -> &ChannelContents {
        &self.0
    }
}

fn label(id: &ImageId, version: &Version) -> Result<PartitionLabel, DocumentError> {
    PartitionLabel::new(id.clone(), version.clone())
        .map_err(|source| DocumentError::Name { document: DOCUMENT, source })
}

/// The document as it is written.
#[derive(Serialize, Deserialize)]
struct Shape {
    schema: u32,
    id: ImageId,
    channel: ChannelName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<Version>,
    offers: Vec<OfferShape>,
}

#[derive(Serialize, Deserialize)]
struct OfferShape {
    version: Version,
    root_hash: RootHash,
    release: String,
    rollout: RolloutShape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_from: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdrawn: Option<Withdrawal>,
}

impl From<OfferShape> for Offer {
    fn from(shape: OfferShape) -> Self {
        Self {
            version: shape.version,
            root_hash: shape.root_hash,
            rollout: shape.rollout.into(),
            min_from: shape.min_from,
            withdrawn: shape.withdrawn,
        }
    }
}

//! Publishes a build in a channel.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use slipway_images::calendar::Moment;
use slipway_images::digest::Digest;
use slipway_images::names::PartitionLabel;
use slipway_images::release::{
    ChannelContents, ChannelDocument, ChannelName, Offer, PATCHES_MAX, Patch, ReleaseContents, ReleaseDocument,
    Rollout, TargetName,
};
use slipway_images::verity::RootHash;
use slipway_images::version::Version;

use super::ReleaseError;
use super::change::{checked, keep_ways_out};
use super::edition::{Changes, Publisher};
use super::pack::pack;
use super::patches::{Base, make};
use super::repository::LockedRepository;
use super::source::Build;
use super::state::Published;
use crate::progress::{Event, Progress};

/// What is to be published, and how.
#[derive(Clone, Debug)]
pub struct Addition {
    /// The output folder of the build.
    pub build: PathBuf,
    /// The channel.
    pub channel: ChannelName,
    /// Who may take it, and when.
    pub rollout: Rollout,
    /// The oldest version that may take it.
    pub min_from: Option<Version>,
    /// Patches are made from so many releases of the channel, the last ones before this.
    pub patch_last: usize,
    /// Patches are made from the builds in these folders, too.
    pub patch_from: Vec<PathBuf>,
}

/// What was published.
#[derive(Clone, Debug, Serialize)]
pub struct Added {
    /// Image and version.
    pub release: String,
    /// The channel.
    pub channel: ChannelName,
    /// Bytes that a host fetches that has nothing.
    pub whole: u64,
    /// Bytes that a host fetches with one of these versions.
    pub patches: Vec<PatchCost>,
    /// Files that came to be, in the order in which they did.
    pub files: Vec<String>,
}

/// What a patch costs a host.
#[derive(Clone, Debug, Serialize)]
pub struct PatchCost {
    /// The version that the host has.
    pub from: Version,
    /// Bytes that it fetches.
    pub bytes: u64,
}

/// Publishes a build. What is in the repository already isn't made again.
pub fn add(mut publisher: Publisher<'_>, addition: &Addition, progress: &dyn Progress) -> Result<Added, ReleaseError> {
    publisher.check_keys()?;
    let build = Build::open(&addition.build, progress)?;
    let label = build.manifest.label.clone();
    let key = (label.id().clone(), addition.channel.clone());
    let channel = match publisher.published.channels.get(&key) {
        Some(channel) => channel.clone().into_contents(),
        None => ChannelContents { id: key.0, channel: key.1, floor: None, offers: Vec::new() },
    };
    if let Some(offer) = channel.offers.iter().find(|offer| offer.version == *label.version()) {
        let (is_taken_back, channel) = (offer.withdrawn.is_some(), channel.channel);
        return Err(if is_taken_back {
            ReleaseError::TakenBack { channel, label }
        } else {
            ReleaseError::Offered { channel, label }
        });
    }
    let created = Moment::from_seconds(publisher.terms.now.as_secs());
    // Before anything is made, since each of these may be refused.
    let channel_document = with_offer(channel.clone(), &build, addition, created, progress)?;
    let known = publisher.published.release(&TargetName::of_release(&label)).cloned();
    if known.as_ref().is_some_and(|document| !is_same(document, &build)) {
        return Err(ReleaseError::Reused(label));
    }
    publisher.online_keys()?;
    let folders = addition.patch_from.iter().map(|folder| Base::of_folder(folder, &label, progress));
    let folders: Vec<Base> = folders.collect::<Result<_, _>>()?;
    let last = last_releases(&publisher.published, &channel, &label, addition.patch_last);
    check_count(&build, known.as_ref(), &folders, &last)?;
    let document = match known {
        Some(document) => document,
        None => pack(&mut publisher.repository, &build, created, progress)?,
    };
    let document = with_patches(&mut publisher.repository, document, &build, &folders, &last, progress)?;
    let (whole, patches) = (document.whole_cost(), costs(&document));
    let changes = Changes { releases: vec![document], channels: vec![channel_document], removed: Vec::new() };
    let files = publisher.publish(&changes)?;
    Ok(Added { release: label.to_string(), channel: addition.channel.clone(), whole, patches, files })
}

fn is_same(document: &ReleaseDocument, build: &Build) -> bool {
    document.root.root_hash == build.manifest.root_hash
        && document.uki.sha256 == build.manifest.parts.uki.sha256
        && document.manifest.sha256 == Digest::of(&build.manifest_json)
}

/// The last releases of the channel before this one, so many at most.
fn last_releases(
    published: &Published,
    channel: &ChannelContents,
    label: &PartitionLabel,
    count: usize,
) -> Vec<ReleaseDocument> {
    let before: Vec<&Offer> = channel.offers.iter().filter(|offer| offer.version < *label.version()).collect();
    let last = &before[before.len().saturating_sub(count)..];
    let labels = last.iter().filter_map(|offer| PartitionLabel::new(channel.id.clone(), offer.version.clone()).ok());
    labels.filter_map(|label| published.release(&TargetName::of_release(&label)).cloned()).collect()
}

fn check_count(
    build: &Build,
    known: Option<&ReleaseDocument>,
    folders: &[Base],
    last: &[ReleaseDocument],
) -> Result<(), ReleaseError> {
    let patches = known.iter().flat_map(|document| &document.patches);
    let mut from: BTreeSet<RootHash> = patches.map(|patch| patch.from.root_hash).collect();
    from.extend(folders.iter().map(Base::root_hash).chain(last.iter().map(|release| release.root.root_hash)));
    from.remove(&build.manifest.root_hash);
    let (label, count) = (build.manifest.label.clone(), from.len());
    if count > PATCHES_MAX { Err(ReleaseError::TooManyPatches { label, count }) } else { Ok(()) }
}

fn with_patches(
    repository: &mut LockedRepository,
    document: ReleaseDocument,
    build: &Build,
    folders: &[Base],
    last: &[ReleaseDocument],
    progress: &dyn Progress,
) -> Result<ReleaseDocument, ReleaseError> {
    let mut contents = document.into_contents();
    let mut new: Option<Base> = None;
    let has = |contents: &ReleaseContents, root_hash| {
        root_hash == contents.root.root_hash || contents.patches.iter().any(|patch| patch.from.root_hash == root_hash)
    };
    for old in folders {
        if !has(&contents, old.root_hash()) {
            contents.patches.extend(make(repository, old, new_of(&mut new, build)?, &contents.parts, progress)?);
        }
    }
    for old in last {
        if !has(&contents, old.root.root_hash) {
            let old = Base::of_release(repository, old, progress)?;
            contents.patches.extend(make(repository, &old, new_of(&mut new, build)?, &contents.parts, progress)?);
        }
    }
    contents.patches.sort_by_key(|patch| (patch.from.version.clone(), patch.from.root_hash));
    let target = TargetName::of_release(&contents.label).to_string();
    ReleaseDocument::new(contents).map_err(|source| ReleaseError::Draft { target, source })
}

/// Opened when the first patch is made, since there may be none.
fn new_of<'a>(new: &'a mut Option<Base>, build: &Build) -> Result<&'a Base, ReleaseError> {
    match new {
        Some(new) => Ok(new),
        None => Ok(new.insert(Base::of_build(build)?)),
    }
}

fn with_offer(
    mut channel: ChannelContents,
    build: &Build,
    addition: &Addition,
    now: Moment,
    progress: &dyn Progress,
) -> Result<ChannelDocument, ReleaseError> {
    let label = &build.manifest.label;
    let version = label.version();
    let note = |text: &str| progress.event(Event::Note(text));
    if channel.offers.last().is_some_and(|last| last.version > *version) {
        note(&format!("{label} is not the newest version of the channel: hosts with a newer one don't take it"));
    }
    if let Some(from) = &addition.min_from {
        let step = |offer: &&Offer| offer.version >= *from && offer.version < *version && offer.withdrawn.is_none();
        if !channel.offers.iter().any(|offer| step(&offer)) {
            note(&format!(
                "the channel offers nothing that takes hosts older than {from} to where they may take {label}"
            ));
        }
    }
    channel.offers.push(Offer {
        version: version.clone(),
        root_hash: build.manifest.root_hash,
        rollout: addition.rollout.clone(),
        min_from: addition.min_from.clone(),
        withdrawn: None,
    });
    channel.offers.sort_by(|one, other| one.version.cmp(&other.version));
    keep_ways_out(&mut channel, now);
    checked(channel)
}

fn costs(document: &ReleaseDocument) -> Vec<PatchCost> {
    let cost = |patch: &Patch| PatchCost {
        from: patch.from.version.clone(),
        bytes: patch.root.size + patch.uki.map_or(document.parts.uki.size, |uki| uki.size),
    };
    document.patches.iter().map(cost).collect()
}

//! Changes who may take a version that is published, without touching the version.

use serde::Serialize;
use slipway_images::calendar::Moment;
use slipway_images::names::PartitionLabel;
use slipway_images::release::{ChannelContents, ChannelDocument, ChannelName, Offer, Stage, TargetName, Withdrawal};
use slipway_images::version::Version;

use super::ReleaseError;
use super::edition::{Changes, Publisher};
use super::state::Published;

/// What is to be different about a rollout; what isn't named stays.
#[derive(Clone, Debug, Default)]
pub struct RolloutChange {
    /// When it starts.
    pub start: Option<Moment>,
    /// Its stages.
    pub stages: Option<Vec<Stage>>,
    /// Whether it is paused.
    pub paused: Option<bool>,
    /// Whether everybody takes it at once.
    pub immediate: Option<bool>,
    /// The oldest version that may take it.
    pub min_from: Option<Version>,
}

/// What a withdrawal did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Withdrawn {
    /// The channels that offered it.
    pub channels: Vec<ChannelName>,
    /// The version that hosts take instead, in each of them; none when there is no other that they may take now.
    pub instead: Vec<Option<Version>>,
}

/// Changes the rollout of a version: in one channel, or in all that offer it and haven't taken it back. Returns these.
pub fn change_rollout(
    publisher: Publisher<'_>,
    label: &PartitionLabel,
    channel: Option<&ChannelName>,
    change: &RolloutChange,
) -> Result<Vec<ChannelName>, ReleaseError> {
    let mut channels = offering(&publisher.published, label, channel)?;
    let taken_back = |channel: &ChannelContents| {
        channel.offers.iter().any(|offer| offer.version == *label.version() && offer.withdrawn.is_some())
    };
    if let Some(first) = channels.first().filter(|_| channels.iter().all(taken_back)) {
        return Err(ReleaseError::TakenBack { channel: first.channel.clone(), label: label.clone() });
    }
    channels.retain(|channel| !taken_back(channel));
    let now = Moment::from_seconds(publisher.terms.now.as_secs());
    let names = channels.iter().map(|channel| channel.channel.clone()).collect();
    let changed = channels.into_iter().map(|mut channel| {
        for offer in channel.offers.iter_mut().filter(|offer| offer.version == *label.version()) {
            let RolloutChange { start, stages, paused, immediate, min_from } = change.clone();
            let rollout = &mut offer.rollout;
            rollout.start = start.unwrap_or(rollout.start);
            rollout.stages = stages.unwrap_or_else(|| rollout.stages.clone());
            rollout.paused = paused.unwrap_or(rollout.paused);
            rollout.immediate = immediate.unwrap_or(rollout.immediate);
            offer.min_from = min_from.or(offer.min_from.take());
        }
        keep_ways_out(&mut channel, now);
        checked(channel)
    });
    let channels = changed.collect::<Result<_, _>>()?;
    publisher.publish(&Changes { channels, ..Changes::default() })?;
    Ok(names)
}

/// Takes a version back: in one channel, or in all that offer it. Unless `keep_floor`, hosts that run it may go back to the
/// best version that is left, below their floor.
pub fn withdraw(
    publisher: Publisher<'_>,
    label: &PartitionLabel,
    channel: Option<&ChannelName>,
    reason: &str,
    keep_floor: bool,
) -> Result<Withdrawn, ReleaseError> {
    let (now, version) = (Moment::from_seconds(publisher.terms.now.as_secs()), label.version());
    let mut withdrawn = Withdrawn { channels: Vec::new(), instead: Vec::new() };
    let mut channels = Vec::new();
    for mut channel in offering(&publisher.published, label, channel)? {
        for offer in channel.offers.iter_mut().filter(|offer| offer.version == *version) {
            offer.withdrawn = Some(Withdrawal { reason: reason.to_owned() });
        }
        if !keep_floor {
            // An older one that has to wait is the way out one day, and so it is once a newer one is paused or taken back.
            let older = || left(&channel, version).filter(|offer| offer.version < *version);
            let back = older().find(|offer| has_begun(offer, now)).or_else(|| older().next());
            let back = back.map(|offer| offer.version.clone());
            lower_floor(&mut channel, back);
        }
        keep_ways_out(&mut channel, now);
        withdrawn.channels.push(channel.channel.clone());
        withdrawn.instead.push(way_out(&channel, version, now));
        channels.push(checked(channel)?);
    }
    publisher.publish(&Changes { channels, ..Changes::default() })?;
    Ok(withdrawn)
}

/// Lowers the floor with the ways out of versions that were taken back: they change with each other version's rollout. Only where
/// hosts with these may go below them already: who withdrew one may have wanted it otherwise.
pub(super) fn keep_ways_out(channel: &mut ChannelContents, now: Moment) {
    let is_left = |offer: &&Offer| {
        offer.withdrawn.is_some() && channel.floor.as_ref().is_some_and(|floor| *floor < offer.version)
    };
    let ways_out = channel.offers.iter().filter(is_left).filter_map(|offer| way_out(channel, &offer.version, now));
    let lowest = ways_out.min();
    lower_floor(channel, lowest);
}

fn lower_floor(channel: &mut ChannelContents, to: Option<Version>) {
    channel.floor = channel.floor.take().into_iter().chain(to).min();
}

/// What hosts with a version take that was taken back: who has to leave one doesn't wait for a stage.
fn way_out(channel: &ChannelContents, from: &Version, now: Moment) -> Option<Version> {
    left(channel, from).find(|offer| has_begun(offer, now)).map(|offer| offer.version.clone())
}

fn has_begun(offer: &Offer, now: Moment) -> bool {
    !offer.rollout.paused && offer.rollout.start <= now
}

/// What is left for hosts with a version, the newest first.
fn left<'a>(channel: &'a ChannelContents, from: &'a Version) -> impl Iterator<Item = &'a Offer> {
    let takes = |offer: &&Offer| offer.min_from.as_ref().is_none_or(|least| least <= from);
    channel.offers.iter().rev().filter(|offer| offer.withdrawn.is_none()).filter(takes)
}

fn offering(
    published: &Published,
    label: &PartitionLabel,
    wanted: Option<&ChannelName>,
) -> Result<Vec<ChannelContents>, ReleaseError> {
    let asked = published.channels.values().filter(|channel| wanted.is_none_or(|name| channel.channel == *name));
    let of_image = asked.filter(|channel| channel.id == *label.id() && channel.offer(label.version()).is_some());
    let found: Vec<_> = of_image.map(|channel| channel.clone().into_contents()).collect();
    if found.is_empty() {
        return Err(ReleaseError::NotOffered { channel: wanted.cloned(), label: label.clone() });
    }
    Ok(found)
}

/// The document of a channel that was changed.
pub(super) fn checked(channel: ChannelContents) -> Result<ChannelDocument, ReleaseError> {
    let target = TargetName::of_channel(&channel.id, &channel.channel).to_string();
    ChannelDocument::new(channel).map_err(|source| ReleaseError::Draft { target, source })
}

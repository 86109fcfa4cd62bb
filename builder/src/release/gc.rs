//! What a repository no longer needs.

use std::collections::BTreeSet;

use serde::Serialize;
use slipway_images::calendar::Moment;
use slipway_images::release::{ChannelContents, Offer, Percent, ReleaseDocument, TargetName, part_path};
use slipway_images::version::Version;
use slipway_trust::tuf::RoleName;

use super::ReleaseError;
use super::change::checked;
use super::edition::{Changes, Publisher};
use super::repository::LockedRepository;
use super::state::{Published, PublishedMetadata, metadata_name, metadata_version, target_file_name};

/// What was freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Files.
    pub files: u64,
    /// Bytes that they had.
    pub bytes: u64,
}

/// Publishes all channels without their older versions, and releases that no channel offers any more not at all. Each channel
/// keeps its newest `keep` versions that every host may take now, all that are newer than the oldest of these, and every one that hosts
/// must take on their way to what stays. Returns the names of the releases that went; nothing is published when there are none. Their files stay until [`gc`].
pub fn forget(publisher: Publisher<'_>, keep: usize) -> Result<Vec<String>, ReleaseError> {
    let (now, moment) = (publisher.published(), Moment::from_seconds(publisher.now().as_secs()));
    let (mut channels, mut kept) = (Vec::new(), BTreeSet::new());
    for channel in now.channels.values() {
        let mut contents = channel.clone().into_contents();
        let stay = staying(&contents.offers, keep, moment);
        contents.offers.retain(|offer| stay.contains(&offer.version));
        tidy_floor(&mut contents);
        for offer in &contents.offers {
            if let Ok(label) = channel.label(&offer.version) {
                kept.insert(TargetName::of_release(&label));
            }
        }
        if contents != **channel {
            channels.push(checked(contents)?);
        }
    }
    let removed: Vec<TargetName> = now.releases.keys().filter(|name| !kept.contains(name)).cloned().collect();
    if removed.is_empty() && channels.is_empty() {
        return Ok(Vec::new());
    }
    let names = removed.iter().filter_map(TargetName::release).map(|label| label.to_string()).collect();
    publisher.publish(&Changes { channels, removed, ..Changes::default() })?;
    Ok(names)
}

/// The versions that stay in a channel.
fn staying(offers: &[Offer], keep: usize, now: Moment) -> BTreeSet<Version> {
    let for_everybody = |offer: &&Offer| offer.withdrawn.is_none() && offer.rollout.share_at(now) == Some(Percent::ALL);
    let oldest = offers.iter().rev().filter(for_everybody).take(keep.max(1)).last();
    // What is newer stays as well: few may take it yet, or hosts that run it must hear that it was taken back.
    let is_recent = |offer: &&Offer| oldest.is_none_or(|oldest| offer.version >= oldest.version);
    let mut stay: BTreeSet<Version> = offers.iter().filter(is_recent).map(|offer| offer.version.clone()).collect();
    // From the newest to the oldest: a stepping stone may need another one.
    for offer in offers.iter().rev() {
        let Some(from) = offer.min_from.as_ref().filter(|_| stay.contains(&offer.version)) else { continue };
        let between = |stone: &&Offer| stone.version < offer.version && stone.version >= *from;
        let stones = offers.iter().filter(|stone| between(stone) && stone.withdrawn.is_none());
        // The oldest of them asks for the least. One that few may take is better than none, and even one that is paused may go on.
        let stone = stones.clone().find(for_everybody);
        let stone =
            stone.or_else(|| stones.clone().find(|stone| !stone.rollout.paused)).or_else(|| stones.clone().next());
        stay.extend(stone.map(|stone| stone.version.clone()));
    }
    stay
}

/// A lowered floor is there for hosts with a version that was taken back.
fn tidy_floor(channel: &mut ChannelContents) {
    let needed =
        |floor: &Version| channel.offers.iter().any(|offer| offer.withdrawn.is_some() && offer.version > *floor);
    if channel.floor.as_ref().is_some_and(|floor| !needed(floor)) {
        channel.floor = None;
    }
}

/// Removes the files that nothing published refers to. Whatever has no name that [`publish`](super::Publisher::publish) gives
/// is left alone.
pub fn gc(repository: &mut LockedRepository, published: &Published) -> Result<Freed, ReleaseError> {
    let mut freed = Freed::default();
    let Some(metadata) = &published.metadata else { return Ok(freed) };
    let needed: BTreeSet<String> = needed_files(published, metadata).into_iter().collect();
    let mut doomed = Vec::new();
    for name in repository.names("metadata")? {
        let versioned = name.split_once('.').is_some_and(|(version, _)| version.parse::<u64>().is_ok());
        // Numbers that have a file aren't used again: without theirs, the next publication would use these.
        let is_newer = |role: &RoleName| metadata_version(&name, role) > published.version(role);
        let stays = [RoleName::snapshot(), RoleName::targets()].iter().any(is_newer);
        // The chain of roots stays for ever: a host that was off follows it from any of them.
        if versioned && !stays && !name.ends_with(".root.json") {
            doomed.push(format!("metadata/{name}"));
        }
    }
    // A delegate's targets are in metadata that nobody reads here.
    if metadata.targets.delegations.is_none() {
        let of_ours = |name: &&String| name.split_once('.').is_some_and(|(digest, _)| is_digest(digest));
        doomed.extend(repository.names("targets")?.iter().filter(of_ours).map(|name| format!("targets/{name}")));
    }
    for folder in repository.folders("parts")? {
        let names = repository.names(&format!("parts/{folder}"))?;
        doomed.extend(names.iter().filter(|name| is_digest(name)).map(|name| format!("parts/{folder}/{name}")));
    }
    for name in doomed.into_iter().filter(|name| !needed.contains(name)) {
        freed.bytes += repository.remove(&name)?;
        freed.files += 1;
    }
    Ok(freed)
}

/// The files that what is published consists of, in the order in which they have to come to be; the timestamp, the last of
/// all, is not among them.
pub(super) fn needed_files(published: &Published, metadata: &PublishedMetadata) -> Vec<String> {
    let PublishedMetadata { timestamp, snapshot, targets } = metadata;
    let parts = published.releases.values().flat_map(ReleaseDocument::all_parts);
    let mut files: Vec<String> = parts.map(|part| part_path(&part.sha256)).collect();
    files.extend(targets.targets.iter().filter_map(|(path, file)| target_file_name(path, file)));
    files.extend(snapshot.meta.iter().map(|(role, listed)| metadata_name(listed.version, role)));
    files.push(metadata_name(timestamp.snapshot.version, &RoleName::snapshot()));
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    files
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use slipway_images::digest::Digest;
    use slipway_images::release::{Rollout, Stage, Withdrawal};
    use slipway_images::verity::RootHash;

    use super::*;

    fn offer(version: &str, min_from: Option<&str>, withdrawn: bool) -> Offer {
        Offer {
            version: version.parse().unwrap(),
            root_hash: RootHash::from_bytes(*Digest::of(version.as_bytes()).as_bytes()),
            rollout: Rollout::everybody(Moment::from_seconds(0)),
            min_from: min_from.map(|from| from.parse().unwrap()),
            withdrawn: withdrawn.then(|| Withdrawal { reason: "bad".to_owned() }),
        }
    }

    #[track_caller]
    fn stay(offers: &[Offer], keep: usize, expected: &[&str]) {
        let found: Vec<String> =
            staying(offers, keep, Moment::from_seconds(1000)).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn stepping_stones_and_what_was_taken_back_since_stay() {
        let plain = |version| offer(version, None, false);
        stay(&[plain("1"), plain("2"), plain("3")], 2, &["2", "3"]);
        stay(&[plain("1"), plain("2"), plain("3")], 0, &["3"]);
        // 5 is for hosts with 3 or 4, and 3 for those with 2: a host with 1 goes by 2 and 3.
        let stones = [plain("1"), plain("2"), offer("3", Some("2"), false), plain("4"), offer("5", Some("3"), false)];
        stay(&stones, 1, &["2", "3", "5"]);
        let taken_back = |version| offer(version, None, true);
        stay(&[taken_back("1"), plain("2"), taken_back("3"), plain("4"), taken_back("5")], 1, &["4", "5"]);
        stay(&[taken_back("1"), plain("2"), taken_back("3"), plain("4"), taken_back("5")], 2, &["2", "3", "4", "5"]);
        stay(&[taken_back("1")], 1, &["1"]);
    }

    #[test]
    fn a_stepping_stone_that_is_paused_replaces_none_that_can_be_taken() {
        let plain = |version| offer(version, None, false);
        let paused = |version| {
            let mut offer = plain(version);
            offer.rollout.paused = true;
            offer
        };
        let last = || offer("4", Some("2"), false);
        stay(&[plain("1"), paused("2"), plain("3"), last()], 1, &["3", "4"]);
        stay(&[plain("1"), paused("2"), last()], 1, &["2", "4"]);
        let mut later = plain("2");
        later.rollout.start = Moment::from_seconds(1001);
        stay(&[plain("1"), later, plain("3"), last()], 1, &["3", "4"]);
    }

    #[test]
    fn versions_that_few_may_take_yet_stay_and_do_not_count() {
        let plain = |version| offer(version, None, false);
        let mut later = plain("4");
        later.rollout.start = Moment::from_seconds(1001);
        stay(&[plain("1"), plain("2"), plain("3"), later.clone()], 1, &["3", "4"]);
        let mut half = plain("3");
        half.rollout.stages = vec![Stage { percent: Percent::new(50).unwrap(), after: std::time::Duration::ZERO }];
        stay(&[plain("1"), plain("2"), half.clone(), later], 1, &["2", "3", "4"]);
        // It has reached everybody.
        half.rollout.stages.push(Stage { percent: Percent::ALL, after: std::time::Duration::from_secs(1000) });
        stay(&[plain("1"), plain("2"), half], 1, &["3"]);
    }
}

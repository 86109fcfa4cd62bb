//! What a repository no longer needs.

use std::collections::BTreeSet;

use serde::Serialize;
use slipway_images::release::{ChannelContents, Offer, ReleaseDocument, TargetName, part_path};
use slipway_images::version::Version;
use slipway_trust::tuf::RoleName;

use super::ReleaseError;
use super::change::checked;
use super::edition::{Changes, Publisher};
use super::repository::LockedRepository;
use super::state::{Published, PublishedMetadata, metadata_name, target_file_name};

/// What was freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Files.
    pub files: u64,
    /// Bytes that they had.
    pub bytes: u64,
}

/// Publishes all channels without their older versions, and releases that no channel offers any more not at all. Each channel
/// keeps its newest `keep` versions that hosts may take, every one that hosts must take on their way to these, and what was withdrawn or is paused since.
/// Returns the names of the releases that went; nothing is published when there are none. Their files stay until [`gc`].
pub fn forget(publisher: Publisher<'_>, keep: usize) -> Result<Vec<String>, ReleaseError> {
    let now = publisher.published();
    let (mut channels, mut kept) = (Vec::new(), BTreeSet::new());
    for channel in now.channels.values() {
        let mut contents = channel.clone().into_contents();
        let stay = staying(&contents.offers, keep);
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
fn staying(offers: &[Offer], keep: usize) -> BTreeSet<Version> {
    let good = offers.iter().rev().filter(|offer| offer.withdrawn.is_none() && !offer.rollout.paused);
    let mut stay: BTreeSet<Version> = good.take(keep.max(1)).map(|offer| offer.version.clone()).collect();
    let oldest = stay.first().cloned();
    // From the newest to the oldest: a stepping stone may need another one.
    for offer in offers.iter().rev() {
        let Some(from) = offer.min_from.as_ref().filter(|_| stay.contains(&offer.version)) else { continue };
        let is_stone =
            |stone: &&Offer| stone.withdrawn.is_none() && stone.version < offer.version && stone.version >= *from;
        // The oldest of them asks for the least.
        stay.extend(offers.iter().find(is_stone).map(|stone| stone.version.clone()));
    }
    // Hosts that run one of these must hear that it was taken back; what is paused may go on.
    let since = |offer: &&Offer| {
        (offer.withdrawn.is_some() || offer.rollout.paused)
            && oldest.as_ref().is_none_or(|oldest| offer.version > *oldest)
    };
    stay.extend(offers.iter().filter(since).map(|offer| offer.version.clone()));
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
        // The chain of roots stays for ever: a host that was off follows it from any of them.
        if versioned && !name.ends_with(".root.json") {
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

    use slipway_images::calendar::Moment;
    use slipway_images::digest::Digest;
    use slipway_images::release::{Rollout, Withdrawal};
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
        let found: Vec<String> = staying(offers, keep).iter().map(ToString::to_string).collect();
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
}

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::calendar::Moment;
use crate::names::{ImageId, PartitionLabel};
use crate::verity::{BLOCK_SIZE, RootHash, Salt, tree_len};

fn root_hash(of: &str) -> RootHash {
    RootHash::from_bytes(*Digest::of(of.as_bytes()).as_bytes())
}

fn part(size: u64) -> Part {
    Part { size, sha256: Digest::of(&size.to_le_bytes()) }
}

fn patch_of(version: &str) -> Patch {
    let patch = |size| PatchPart { size, sha256: Digest::of(version.as_bytes()), head: part(300) };
    let from =
        PatchBase { version: version.parse().unwrap(), root_hash: root_hash(version), uki: Digest::of(b"old kernel") };
    Patch { from, root: patch(5000), uki: Some(patch(2000)) }
}

fn release() -> ReleaseContents {
    let label: PartitionLabel = "web_2026.11.22".parse().unwrap();
    let blocks = Blocks { index: part(56 + 36 * 4), frames: part(70_000) };
    ReleaseContents {
        root: RootFacts {
            root_hash: root_hash("2026.11.22"),
            salt: Salt::for_image(label.id()),
            size: 50 * BLOCK_SIZE,
        },
        label,
        architecture: Architecture::X86_64,
        created: "2026-11-22T16:40:05Z".parse().unwrap(),
        verity: part(tree_len(50 * BLOCK_SIZE)),
        uki: part(30_000),
        manifest: part(400),
        parts: ReleaseParts { verity: part(2000), uki: part(29_000), blocks },
        patches: vec![patch_of("2026.10.1"), patch_of("2026.11.1")],
    }
}

fn offer(version: &str) -> Offer {
    let start: Moment = "2026-11-22T17:00:00Z".parse().unwrap();
    let stage = |percent: u8, hours: u64| Stage {
        percent: Percent::new(percent).unwrap(),
        after: Duration::from_secs(hours * 3600),
    };
    Offer {
        version: version.parse().unwrap(),
        root_hash: root_hash(version),
        rollout: Rollout { stages: vec![stage(5, 0), stage(50, 24), stage(100, 48)], ..Rollout::everybody(start) },
        min_from: Some("2026.1.1".parse().unwrap()),
        withdrawn: None,
    }
}

fn channel() -> ChannelContents {
    let withdrawn = Some(Withdrawal { reason: "the network doesn't come up on some cards".to_owned() });
    ChannelContents {
        id: "web".parse().unwrap(),
        channel: "stable".parse().unwrap(),
        floor: Some("2026.10.1".parse().unwrap()),
        offers: vec![Offer { withdrawn, ..offer("2026.11.1") }, offer("2026.11.22")],
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

fn changed(json: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let json = String::from_utf8(json).unwrap();
    assert!(json.contains(from), "{from} is not in {json}");
    json.replacen(from, to, 1).into_bytes()
}

#[track_caller]
fn release_refused(from: &str, to: &str, words: &str) {
    let json = changed(ReleaseDocument::new(release()).unwrap().to_json().unwrap(), from, to);
    let error = chain(&ReleaseDocument::from_json(&json).unwrap_err());
    assert!(error.contains(words), "{error}");
}

#[track_caller]
fn channel_refused(from: &str, to: &str, words: &str) {
    let json = changed(ChannelDocument::new(channel()).unwrap().to_json().unwrap(), from, to);
    let error = chain(&ChannelDocument::from_json(&json).unwrap_err());
    assert!(error.contains(words), "{error}");
}

#[test]
fn documents_are_read_back() {
    let document = ReleaseDocument::new(release()).unwrap();
    let json = document.to_json().unwrap();
    assert_eq!(ReleaseDocument::from_json(&json).unwrap(), document);
    assert!(json.starts_with(b"{\n  \"schema\": 1,\n  \"id\": \"web\",\n  \"version\": \"2026.11.22\","));
    assert_eq!(document.all_parts().count(), 9);
    assert_eq!(document.patch_from(root_hash("2026.10.1")).unwrap().from.version.as_str(), "2026.10.1");
    assert_eq!(document.patch_from(root_hash("2026.11.22")), None);

    let document = ChannelDocument::new(channel()).unwrap();
    assert_eq!(ChannelDocument::from_json(&document.to_json().unwrap()).unwrap(), document);
    assert_eq!(document.offer(&"2026.11.22".parse().unwrap()), Some(&offer("2026.11.22")));
    assert_eq!(document.offer(&"2026.11.2".parse().unwrap()), None);
}

#[test]
fn what_a_newer_publisher_adds_is_passed_over_and_another_schema_is_not() {
    let json = changed(ReleaseDocument::new(release()).unwrap().to_json().unwrap(), "\"parts\": {", {
        "\"news\": [1, {}], \"parts\": { \"sbom\": 1,"
    });
    assert_eq!(*ReleaseDocument::from_json(&json).unwrap(), release());
    let json = changed(ChannelDocument::new(channel()).unwrap().to_json().unwrap(), "\"rollout\": {", {
        "\"news\": 1, \"rollout\": { \"moon\": \"full\","
    });
    assert_eq!(*ChannelDocument::from_json(&json).unwrap(), channel());
    release_refused("\"schema\": 1", "\"schema\": 2", "of schema 2, and this program knows schema 1");
    channel_refused("\"schema\": 1", "\"schema\": 99999999999", "of schema 99999999999");
}

#[test]
fn a_release_that_makes_no_sense_is_refused_by_field() {
    let (root, tree) = (50 * BLOCK_SIZE, tree_len(50 * BLOCK_SIZE));
    release_refused("\"blocks\": 50", "\"blocks\": 51", "`root.blocks`");
    release_refused("\"blocks\": 50", "\"blocks\": 4503599627370546", "`root.blocks`");
    release_refused(&format!("\"size\": {tree}"), &format!("\"size\": {}", tree + BLOCK_SIZE), "`verity.size`");
    release_refused("\"size\": 30000", "\"size\": 300000000", "`uki.size`");
    release_refused("\"size\": 30000", "\"size\": 0", "`uki.size`");
    release_refused("\"size\": 30000", "\"size\": -1", "malformed");
    release_refused("\"size\": 400", "\"size\": 40000000", "`manifest.size`");
    release_refused("\"size\": 29000", "\"size\": 90000", "`parts.uki.size`");
    release_refused("\"size\": 70000", &format!("\"size\": {}", 2 * root), "`parts.blocks.frames.size`");
    release_refused("\"size\": 200,", "\"size\": 9000,", "`parts.blocks.index.size`");
    release_refused("\"version\": \"2026.10.1\"", "\"version\": \"2026.12.1\"", "`patches`: are not sorted");
    release_refused("\"size\": 5000", "\"size\": 299", "`patches.root`");
    release_refused("\"size\": 5000", "\"size\": 9999999999", "`patches.root`");
    release_refused("\"size\": 2000,\n        \"sha256\"", "\"size\": 99999999,\n        \"sha256\"", "`patches.uki`");
    release_refused("\"id\": \"web\"", "\"id\": \"../web\"", "no image id");
    release_refused("\"id\": \"web\"", &format!("\"id\": \"{}\"", "w".repeat(32)), "names no image");
    release_refused("\"x86-64\"", "\"z80\"", "unknown variant `z80`");
    release_refused("16:40:05Z", "16:40:05+01:00", "no moment");
    release_refused("\"salt\": \"", "\"salt\": \"x", "`root.salt`");
    let own = format!("\"root_hash\": \"{}\",\n        \"uki\"", root_hash("2026.11.1"));
    let release_own = format!("\"root_hash\": \"{}\",\n        \"uki\"", root_hash("2026.11.22"));
    release_refused(&own, &release_own, "`patches.from.root_hash`");
    release_refused("\"schema\": 1,", "\"schema\": 1, \"schema\": 1,", "duplicate field");
    let mut many = release();
    many.patches = (1..=65).map(|number| patch_of(&format!("1.{number}"))).collect();
    assert!(ReleaseDocument::new(many).unwrap_err().to_string().contains("`patches`: are more than 64"));
    let mut large = release();
    large.root.size = ROOT_MAX + BLOCK_SIZE;
    large.verity.size = tree_len(large.root.size);
    assert!(ReleaseDocument::new(large).unwrap_err().to_string().contains("more than 4 GiB"));
}

#[test]
fn a_channel_that_makes_no_sense_is_refused_by_field() {
    channel_refused("\"release\": \"web_", "\"release\": \"../web_", "`offers.release`");
    channel_refused("\"version\": \"2026.11.1\"", "\"version\": \"2026.11.3\"", "`offers.release`");
    channel_refused("\"percent\": 50", "\"percent\": 5", "`offers.rollout.stages`: don't rise");
    channel_refused("\"percent\": 50", "\"percent\": 0", "0 is no percentage");
    channel_refused("\"percent\": 50", "\"percent\": 101", "101 is no percentage");
    channel_refused("\"after\": 86400", "\"after\": 0", "`offers.rollout.stages`: don't rise");
    channel_refused("\"after\": 172800", "\"after\": 18446744073709551615", "more than 366 days");
    channel_refused("\"min_from\": \"2026.1.1\"", "\"min_from\": \"2026.11.1\"", "`offers.min_from`");
    channel_refused("the network", "\\u001b[2Jthe network", "`offers.withdrawn.reason`");
    channel_refused("\"channel\": \"stable\"", "\"channel\": \"a/b\"", "no channel");
    channel_refused(&root_hash("2026.11.1").to_hex(), &root_hash("2026.11.22").to_hex(), "`offers.root_hash`");
    let swapped = ChannelContents { offers: vec![offer("2"), offer("1.9")], ..channel() };
    assert!(ChannelDocument::new(swapped).unwrap_err().to_string().contains("not sorted"));
    let number = |number: usize| Offer { min_from: None, ..offer(&format!("1.{number}")) };
    let many = ChannelContents { offers: (1..=OFFERS_MAX + 1).map(number).collect(), ..channel() };
    assert!(ChannelDocument::new(many).unwrap_err().to_string().contains("more than 256"));
    let spaces = vec![b' '; DOCUMENT_MAX + 1];
    assert!(matches!(ChannelDocument::from_json(&spaces), Err(DocumentError::TooLarge { .. })));
}

#[test]
fn the_fullest_documents_can_be_written() {
    let full = |number: usize| {
        let stage = |step: usize| Stage {
            percent: Percent::new(u8::try_from(step + 1).unwrap()).unwrap(),
            after: Duration::from_secs(step as u64 * 100_000),
        };
        let mut offer = Offer { min_from: None, ..offer(&format!("1.{number}")) };
        offer.rollout.stages = (0..8).map(stage).collect();
        offer
    };
    let document =
        ChannelDocument::new(ChannelContents { offers: (0..OFFERS_MAX).map(full).collect(), ..channel() }).unwrap();
    assert_eq!(ChannelDocument::from_json(&document.to_json().unwrap()).unwrap(), document);
    let mut contents = release();
    contents.patches = (1..=PATCHES_MAX).map(|number| patch_of(&format!("1.{number}"))).collect();
    let document = ReleaseDocument::new(contents).unwrap();
    assert_eq!(ReleaseDocument::from_json(&document.to_json().unwrap()).unwrap(), document);
}

#[test]
fn a_document_of_another_release_is_noticed() {
    let document = ReleaseDocument::new(release()).unwrap();
    let id: ImageId = "web".parse().unwrap();
    let good = offer("2026.11.22");
    document.check_offer(&id, &good).unwrap();
    let other = |id: &str, offer: &Offer| document.check_offer(&id.parse().unwrap(), offer).unwrap_err().to_string();
    assert!(other("db", &good).ends_with("another id"));
    assert!(other("web", &offer("2026.11.23")).ends_with("another version"));
    let rebuilt = Offer { root_hash: root_hash("rebuilt"), ..good };
    assert!(other("web", &rebuilt).ends_with("another root hash"));
}

#[test]
fn targets_are_told_apart_by_their_names() {
    let document = ReleaseDocument::new(release()).unwrap();
    assert_eq!(document.target_name().as_str(), "web_2026.11.22.release.json");
    assert_eq!(document.target_name().release().as_ref(), Some(&document.label));
    assert_eq!(document.target_name().channel(), None);
    // The worst that a version can look like.
    let label: PartitionLabel = "web_1.release.json".parse().unwrap();
    assert_eq!(TargetName::of_release(&label).release(), Some(label));
    let name = ChannelDocument::new(channel()).unwrap().target_name();
    assert_eq!((name.as_str(), name.release()), ("web.stable.json", None));
    assert_eq!(name.channel().unwrap().1.as_str(), "stable");
    assert_eq!(TargetName::of_path("web.stable.json"), Some(name));
    for foreign in ["", "x", "web.json", "../web.stable.json", "web.sta.ble.json", "web.stable.jso", ".release.json"] {
        assert_eq!(TargetName::of_path(foreign), None, "{foreign}");
    }
    let digest = Digest::of(b"abc");
    assert_eq!(part_path(&digest), format!("parts/ba/{digest}"));
}

#[test]
fn a_share_grows_by_stages_until_somebody_stops_it() {
    let rollout = offer("1").rollout;
    let at = |hours: u64| Moment::from_seconds(rollout.start.seconds() + hours * 3600);
    let share = |rollout: &Rollout, hours| rollout.share_at(at(hours)).map(Percent::get);
    assert_eq!(rollout.share_at(Moment::from_seconds(rollout.start.seconds() - 1)), None);
    assert_eq!([0, 23, 24, 47, 48, 9999].map(|hours| share(&rollout, hours)), [5, 5, 50, 50, 100, 100].map(Some));
    let paused = Rollout { paused: true, ..rollout.clone() };
    assert_eq!(share(&paused, 9999), None);
    let immediate = Rollout { immediate: true, ..rollout.clone() };
    assert_eq!(share(&immediate, 0), Some(100));
    assert_eq!(Rollout { immediate: true, ..paused }.share_at(at(0)), None);
    assert_eq!(Rollout::everybody(rollout.start).share_at(rollout.start), Some(Percent::ALL));
    let mut late = rollout.clone();
    late.stages.remove(0);
    assert_eq!(late.share_at(rollout.start), None);
    late.stages.pop();
    let last = (0..200).map(|host| HostPlace::of(&format!("{host:032x}"), &"1".parse().unwrap()));
    assert!(last.into_iter().all(|place| {
        let reached = place.is_within(Percent::new(50).unwrap());
        late.turn_of(place).is_some() == reached && late.turn_of(place).is_none_or(|turn| turn == at(24))
    }));
}

#[test]
fn hosts_are_spread_evenly_and_otherwise_for_each_version() {
    let place = |host: u32, version: &str| HostPlace::of(&format!("{host:032x}"), &version.parse().unwrap());
    let tenth = Percent::new(10).unwrap();
    let count = (0..2000).filter(|host| place(*host, "1").is_within(tenth)).count();
    assert!((150..250).contains(&count), "{count}");
    let both = (0..2000).filter(|host| place(*host, "1").is_within(tenth) && place(*host, "2").is_within(tenth));
    assert!(both.count() < 50);
    assert!((0..2000).all(|host| place(host, "1").is_within(Percent::ALL)));
    assert_eq!(place(1, "1"), HostPlace::of("00000000000000000000000000000001\n", &"1".parse().unwrap()));
}

proptest! {
    #[test]
    fn any_release_that_makes_sense_is_read_back(
        blocks in 1_u64..=1_048_576, kernel in 1_u64..=KERNEL_MAX, patches in 0_usize..5, seconds in 0_u64..253_402_300_800,
    ) {
        let mut contents = release();
        contents.root.size = blocks * BLOCK_SIZE;
        contents.verity.size = tree_len(contents.root.size);
        contents.parts.verity = part(contents.verity.size);
        contents.parts.blocks = Blocks { index: part(56 + 36 * blocks), frames: part(contents.root.size) };
        contents.uki.size = kernel;
        contents.parts.uki = part(kernel);
        contents.created = Moment::from_seconds(seconds);
        contents.patches = (0..patches).map(|number| patch_of(&format!("1.{number}"))).collect();
        let document = ReleaseDocument::new(contents).unwrap();
        prop_assert_eq!(ReleaseDocument::from_json(&document.to_json().unwrap()).unwrap(), document);
    }

    #[test]
    fn no_bytes_make_reading_panic(changes in prop::collection::vec((0_usize..4000, any::<u8>()), 0..4), cut in 0_usize..6000) {
        let mut json = ReleaseDocument::new(release()).unwrap().to_json().unwrap();
        let mut channel = ChannelDocument::new(channel()).unwrap().to_json().unwrap();
        for (place, byte) in changes {
            let (len, other) = (json.len(), channel.len());
            json[place % len] = byte;
            channel[place % other] = byte;
        }
        json.truncate(cut.max(1000));
        if let Ok(document) = ReleaseDocument::from_json(&json) {
            prop_assert_eq!(ReleaseDocument::from_json(&document.to_json().unwrap()).unwrap(), document);
        }
        if let Ok(document) = ChannelDocument::from_json(&channel) {
            prop_assert_eq!(ChannelDocument::from_json(&document.to_json().unwrap()).unwrap(), document);
        }
    }

    #[test]
    fn a_share_never_shrinks(places in any::<u32>(), hours in prop::collection::vec(0_u64..100, 2)) {
        let rollout = offer("1").rollout;
        let place = HostPlace::of(&format!("{places:032x}"), &"1".parse().unwrap());
        let may = |hours: u64| {
            let now = Moment::from_seconds(rollout.start.seconds() + hours * 3600);
            let may = rollout.share_at(now).is_some_and(|share| place.is_within(share));
            assert_eq!(may, rollout.turn_of(place).is_some_and(|turn| turn <= now));
            may
        };
        prop_assert!(!may(hours[0].min(hours[1])) || may(hours[0].max(hours[1])));
    }
}

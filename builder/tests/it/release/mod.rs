//! Release repositories: published, cut off, damaged, looked at by hosts.

mod changes;
mod cut_off;
mod export;
mod guide;
mod python_tuf;
mod refused;
mod signing;
mod site;

use std::fs;

use slipway_builder::progress::Silent;
use slipway_builder::release::{
    Changes, Freed, Published, Publisher, ReleaseError, RolloutChange, Roots, add, change_rollout, forget, gc, verify,
    withdraw,
};
use slipway_images::release::{Percent, Stage};
use slipway_trust::tuf::TufError;
use slipway_trust::tuf::sign::TopRole;

use site::{DAY, Host, NOW, Site, files, make_keys, make_keys_until};

#[test]
fn a_release_goes_from_a_build_to_a_host() {
    let site = Site::new();
    let first = site.add(1);
    assert_eq!(first.files.last().map(String::as_str), Some("metadata/timestamp.json"));
    let second = site.add(2);
    assert_eq!(second.patches.len(), 1);
    assert!(second.patches[0].bytes * 5 < second.whole, "{second:?}");
    let found = site.is_whole(2);
    assert_eq!((found.patches, found.untried, found.channels), (1, 0, vec!["web stable".to_owned()]));
    let host = Host::new(&site.root());
    assert_eq!(host.newest(&site.path("repo")), "2");

    // The fourth before the last gets no patch; a build in a folder gets one.
    for version in 3..=5 {
        site.add(version);
    }
    let mut sixth = site.addition(6, "stable");
    sixth.patch_from.push(site.build(1));
    let added = site.publish(NOW.after(6), |publisher| add(publisher, &sixth, &Silent)).unwrap();
    let from: Vec<_> = added.patches.iter().map(|patch| patch.from.to_string()).collect();
    assert_eq!(from, ["1", "3", "4", "5"]);
    assert_eq!(site.is_whole(6).patches, 1 + 2 + 3 + 3 + 4);
}

#[test]
fn the_same_moment_inputs_and_keys_make_the_same_bytes() {
    let [one, other] = [Site::new(), Site::new()];
    for (name, bytes) in files(&one.path("keys")) {
        fs::write(other.path("keys").join(name), bytes).unwrap();
    }
    for site in [&one, &other] {
        site.add(1);
        site.add(2);
    }
    let (one, other) = (files(&one.path("repo")), files(&other.path("repo")));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    assert!(one == other);
}

#[test]
fn a_version_is_published_once_and_shared_by_channels() {
    let site = Site::new();
    site.add(1);
    site.try_add(2, "testing", NOW.after(2)).unwrap();
    let again = site.try_add(2, "testing", NOW.after(3)).unwrap_err();
    assert!(matches!(again, ReleaseError::Offered { .. }), "{again}");
    // Promoted: nothing but patches is new, and those for the other channel's hosts are added.
    let promoted = site.add(2);
    let of_parts = |file: &&String| file.starts_with("parts/");
    assert_eq!(promoted.files.iter().filter(of_parts).count(), 2, "{promoted:?}");
    assert_eq!(site.is_whole(2).patches, 1);

    let manifest = site.build(2).join("manifest.json");
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap().replace("A host", "Another")).unwrap();
    let before = files(&site.path("repo"));
    let reused = site.try_add(2, "beta", NOW.after(5)).unwrap_err();
    assert!(matches!(reused, ReleaseError::Reused(_)), "{reused}");
    assert!(files(&site.path("repo")) == before);
}

#[test]
fn a_build_that_is_damaged_is_not_published() {
    for name in ["root.erofs", "root.verity", "uki.efi"] {
        let site = Site::new();
        let path = site.build(1).join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = site.try_add(1, "stable", NOW).unwrap_err();
        assert!(matches!(error, ReleaseError::Damaged { .. } | ReleaseError::Tree { .. }), "{name}: {error}");
        assert!(files(&site.path("repo")).is_empty());
    }
}

#[test]
fn keys_that_the_root_does_not_name_publish_nothing() {
    let site = Site::new();
    site.add(1);
    let before = files(&site.path("repo"));
    make_keys(&site.path("stranger"));
    let stranger = slipway_builder::keys::KeyFolder::at(&site.path("stranger"));
    // With a root of their own they don't believe what is there.
    let error = site.publish_with(&stranger, NOW.after(9), |publisher| publisher.publish(&Changes::default()));
    assert!(matches!(error, Err(ReleaseError::Metadata { .. })), "{error:?}");
    // With ours, their signatures are worth nothing.
    for key in ["targets", "snapshot", "timestamp"] {
        fs::copy(site.path("stranger").join(format!("{key}.pem")), site.path("keys").join(format!("{key}.pem")))
            .unwrap();
        let error = site.publish(NOW.after(9), |publisher| publisher.publish(&Changes::default())).unwrap_err();
        assert!(matches!(error, ReleaseError::Sign(_)), "{error}");
    }
    assert!(files(&site.path("repo")) == before);
}

#[test]
fn what_expired_is_refused_and_signed_again() {
    let site = Site::new();
    site.add(1);
    let host = Host::new(&site.root());
    let repo = site.path("repo");
    assert!(host.channel(&repo, NOW.after(13 * DAY)).is_ok());
    let late = NOW.after(15 * DAY);
    let error = host.channel(&repo, late).unwrap_err();
    assert!(matches!(error, TufError::Refused { .. }), "{error}");
    assert!(matches!(verify(&site.repo(), &site.root(), late, &Silent), Err(ReleaseError::Host(_))));
    // The timestamp's key alone is needed.
    for key in ["targets", "snapshot"] {
        fs::rename(site.path(&format!("keys/{key}.pem")), site.path(&format!("{key}.pem"))).unwrap();
    }
    let written = site.refresh(late).unwrap();
    assert_eq!(written, ["metadata/timestamp.json"]);
    assert_eq!(host.channel(&repo, late).unwrap().offers.len(), 1);
    let error = site.refresh(NOW).unwrap_err();
    assert!(matches!(error, ReleaseError::Time { .. }), "{error}");

    let old = Site::new();
    fs::remove_dir_all(old.path("keys")).unwrap();
    make_keys_until(&old.path("keys"), NOW.after(DAY));
    old.add(1);
    let error = old.try_add(2, "stable", NOW.after(2 * DAY)).unwrap_err();
    assert!(matches!(error, ReleaseError::Metadata { .. }), "{error}");
}

#[test]
fn a_version_that_is_taken_back_sends_hosts_to_the_best_other_one() {
    let site = Site::new();
    for version in 1..=3 {
        site.add(version);
    }
    let label = "web_3".parse().unwrap();
    let back = |keep_floor, second| {
        site.publish(NOW.after(second), |publisher| withdraw(publisher, &label, None, "no network", keep_floor))
    };
    let withdrawn = back(true, 10).unwrap();
    assert_eq!(withdrawn.instead, [Some("2".parse().unwrap())]);
    let host = Host::new(&site.root());
    assert_eq!(host.channel(&site.path("repo"), NOW.after(100)).unwrap().floor, None);
    back(false, 11).unwrap();
    let channel = host.channel(&site.path("repo"), NOW.after(100)).unwrap();
    assert_eq!(channel.floor, Some("2".parse().unwrap()));
    assert_eq!(channel.offers[2].withdrawn.as_ref().unwrap().reason, "no network");
    let nothing =
        site.publish(NOW.after(12), |publisher| withdraw(publisher, &"web_9".parse().unwrap(), None, "bad", false));
    assert!(matches!(nothing, Err(ReleaseError::NotOffered { .. })));
    let hostile = site
        .publish(NOW.after(12), |publisher| withdraw(publisher, &"web_2".parse().unwrap(), None, "two\nlines", false));
    assert!(matches!(hostile, Err(ReleaseError::Draft { .. })));
    // A newer one: patches for those that still run what was taken back, and the floor is tidied with it.
    let added = site.add(20);
    assert_eq!(added.patches.iter().map(|patch| patch.from.to_string()).collect::<Vec<_>>(), ["1", "2", "3"]);
    site.publish(NOW.after(30), |publisher| forget(publisher, 1)).unwrap();
    let channel = host.channel(&site.path("repo"), NOW.after(100)).unwrap();
    assert_eq!((channel.floor.clone(), channel.offers.len()), (None, 1));
}

#[test]
fn a_version_that_is_paused_is_no_way_out_and_is_not_forgotten() {
    let site = Site::new();
    for version in 1..=3 {
        site.add(version);
    }
    let (two, three) = ("web_2".parse().unwrap(), "web_3".parse().unwrap());
    let pause = RolloutChange { paused: Some(true), ..RolloutChange::default() };
    site.publish(NOW.after(10), |publisher| change_rollout(publisher, &two, None, &pause)).unwrap();
    let withdrawn = site.publish(NOW.after(20), |publisher| withdraw(publisher, &three, None, "no network", false));
    assert_eq!(withdrawn.unwrap().instead, [Some("1".parse().unwrap())]);
    let host = Host::new(&site.root());
    assert_eq!(host.channel(&site.path("repo"), NOW.after(100)).unwrap().floor, Some("1".parse().unwrap()));
    assert_eq!(site.publish(NOW.after(30), |publisher| forget(publisher, 1)).unwrap(), [""; 0]);
    site.try_add(4, "stable", NOW.after(35)).unwrap();
    assert_eq!(site.publish(NOW.after(40), |publisher| forget(publisher, 1)).unwrap(), ["web_1", "web_2", "web_3"]);
}

#[test]
fn a_rollout_is_changed_without_touching_the_release() {
    let site = Site::new();
    site.add(1);
    let before = files(&site.path("repo"));
    let half = Stage { percent: Percent::new(50).unwrap(), after: std::time::Duration::from_mins(1) };
    let change = RolloutChange { stages: Some(vec![half]), paused: Some(true), ..RolloutChange::default() };
    let label = "web_1".parse().unwrap();
    let changed = site.publish(NOW.after(5), |publisher| change_rollout(publisher, &label, None, &change)).unwrap();
    assert_eq!(changed.len(), 1);
    let channel = Host::new(&site.root()).channel(&site.path("repo"), NOW.after(100)).unwrap();
    let rollout = &channel.offers[0].rollout;
    assert_eq!((rollout.paused, rollout.stages.as_slice()), (true, [half].as_slice()));
    let after = files(&site.path("repo"));
    let new: Vec<_> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert!(new.iter().all(|name| !name.starts_with("parts/") && !name.contains(".release.")), "{new:?}");
}

fn collect(site: &Site) -> Freed {
    let mut repository = site.repo().lock(|| ()).unwrap();
    let roots = Roots::of_repository(&repository).unwrap();
    let published = Published::read(&repository, roots.all()).unwrap();
    gc(&mut repository, &published).unwrap()
}

/// A cache may hold what a publication that was cut off had under these numbers.
#[test]
fn numbers_of_metadata_are_used_once_whatever_is_collected() {
    let site = Site::new();
    site.add(1);
    for name in ["9.targets.json", "7.snapshot.json"] {
        fs::write(site.path("repo/metadata").join(name), "cut off").unwrap();
    }
    assert_eq!(collect(&site).files, 0);
    let written = site.add(2).files;
    for name in ["metadata/10.targets.json", "metadata/8.snapshot.json"] {
        assert!(written.iter().any(|written| written == name), "{written:?}");
    }
    // They go with those before what counts.
    collect(&site);
    let left = fs::read_dir(site.path("repo/metadata")).unwrap().count();
    assert_eq!(left, 4, "a root, targets, snapshot, timestamp");
    site.is_whole(2);
}

#[test]
fn what_is_still_needed_is_never_removed() {
    let site = Site::new();
    for version in 1..=4 {
        site.add(version);
    }
    let collect = || collect(&site);
    // Old metadata and documents that were replaced.
    assert!(collect().files > 6);
    site.is_whole(4);
    fs::write(site.path("repo/index.html"), "mine").unwrap();
    fs::write(site.path("repo/metadata/README"), "mine").unwrap();
    let gone = site.publish(NOW.after(50), |publisher| forget(publisher, 2)).unwrap();
    assert_eq!(gone, ["web_1", "web_2"]);
    assert!(collect().bytes > 100_000);
    let found = site.is_whole(2);
    // Those that are left keep patches from what is gone; that can't be tried any more.
    assert_eq!((found.patches, found.untried, found.parts), (1, 4, 2 * 5 + 2 * (2 + 3)));
    let told = site.done(&["verify", "repo", "--time", "2026-11-22T16:42:00Z"]);
    assert!(
        told.contains("1 patches applied\n4 patches not applied: what they start from is no release here\n"),
        "{told}"
    );
    assert_eq!(collect().files, 0);
    assert_eq!(site.publish(NOW.after(60), |publisher| forget(publisher, 2)).unwrap(), [""; 0]);
    assert!(site.path("repo/index.html").exists() && site.path("repo/metadata/README").exists());
    assert_eq!(Host::new(&site.root()).newest(&site.path("repo")), "4");
}

#[test]
fn replaced_keys_end_with_everything_signed_again() {
    let site = Site::new();
    site.add(1);
    let host = Host::new(&site.root());
    assert_eq!(host.newest(&site.path("repo")), "1");
    site.rotate(&[TopRole::Targets, TopRole::Timestamp]);
    let again = site.publish(NOW.after(40), |publisher| {
        assert!(!publisher.published().replaced.is_empty());
        publisher.accept_replaced_keys().publish(&Changes::default())
    });
    let written = again.unwrap();
    assert_eq!(written[written.len() - 2], "metadata/2.root.json");
    assert!(site.publish(NOW.after(50), |publisher| Ok(publisher.published().replaced.is_empty())).unwrap());
    // A host that was off meanwhile, and one that starts from the new root.
    assert_eq!(host.newest(&site.path("repo")), "1");
    assert_eq!(Host::new(&fs::read(site.path("keys/2.root.json")).unwrap()).newest(&site.path("repo")), "1");
    site.is_whole(1);
}

#[test]
fn a_timestamp_alone_is_not_signed_for_what_replaced_keys_have_signed() {
    let site = Site::new();
    site.add(1);
    site.rotate(&[TopRole::Targets]);
    let before = files(&site.path("repo"));
    let refused = site.refresh(NOW.after(30)).unwrap_err();
    assert!(matches!(refused, ReleaseError::OldKeys(_)) && refused.to_string().contains("--all"), "{refused}");
    assert!(files(&site.path("repo")) == before, "hosts go on with what is published");
    let accept = |publisher: Publisher<'_>| publisher.accept_replaced_keys().publish(&Changes::default());
    site.publish(NOW.after(40), accept).unwrap();
    site.refresh(NOW.after(50)).unwrap();
    site.is_whole(1);
    // Another timestamp key is all that a timestamp needs.
    site.rotate(&[TopRole::Timestamp]);
    assert_eq!(site.refresh(NOW.after(60)).unwrap(), ["metadata/3.root.json", "metadata/timestamp.json"]);
    site.is_whole(1);
}

/// Whatever file is damaged, whoever looks says so.
#[test]
fn no_damage_goes_unnoticed() {
    let site = Site::new();
    site.add(1);
    site.add(2);
    let (repo, all) = (site.path("repo"), files(&site.path("repo")));
    let superseded = ["metadata/1.targets.json", "metadata/1.snapshot.json"];
    let current = |name: &str| {
        let published = Published::read(&site.repo(), Roots::of_repository(&site.repo()).unwrap().all()).unwrap();
        let targets = published.metadata.unwrap().targets;
        !name.starts_with("targets/")
            || targets
                .targets
                .iter()
                .any(|(path, file)| name == format!("targets/{}.{path}", file.hashes.prefix().unwrap()))
    };
    for (name, bytes) in &all {
        if superseded.contains(&name.as_str()) || !current(name) {
            continue;
        }
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        for damaged in [changed, bytes[..bytes.len() - 3].to_vec(), [bytes.as_slice(), &b"\0"[..]].concat()] {
            fs::write(repo.join(name), damaged).unwrap();
            let found = verify(&site.repo(), &site.root(), NOW.after(100), &Silent);
            let noticed = found.as_ref().map_or(true, |found| !found.problems.is_empty());
            // The root that a host starts from is not read from the repository.
            assert!(noticed || name == "metadata/1.root.json", "{name}");
        }
        fs::remove_file(repo.join(name)).unwrap();
        let found = verify(&site.repo(), &site.root(), NOW.after(100), &Silent);
        let noticed = found.as_ref().map_or(true, |found| !found.problems.is_empty());
        assert!(noticed || name == "metadata/1.root.json", "{name} is missing");
        fs::write(repo.join(name), bytes).unwrap();
    }
    site.is_whole(2);
}

//! What is signed once more, and what isn't.

use std::fs;

use slipway_builder::keys;
use slipway_builder::progress::Silent;
use slipway_builder::release::{
    Changes, Published, Publisher, ReleaseError, RolloutChange, Roots, add, change_rollout, forget, withdraw,
};
use slipway_trust::tuf::RoleName;
use slipway_trust::tuf::schema::{Header, MetaFile, MetadataVersion};
use slipway_trust::tuf::sign::{SigningKey, TopRole, UnsignedRole};

use super::site::{DAY, Host, NOW, Site, files, nobody};

#[test]
fn a_timestamp_alone_is_not_signed_for_what_has_expired() {
    let site = Site::new();
    site.add(1);
    let before = files(&site.path("repo"));
    let late = NOW.after(200 * DAY);
    let refused = site.refresh(late).unwrap_err();
    assert!(
        matches!(&refused, ReleaseError::Expired { role, .. } if *role == RoleName::snapshot())
            && refused.to_string().contains("`slipway release refresh --all`"),
        "{refused}"
    );
    assert!(files(&site.path("repo")) == before);
    site.publish(late, |publisher| publisher.publish(&Changes::default())).unwrap();
    site.refresh(late.after(1)).unwrap();
    assert!(Host::new(&site.root()).channel(&site.path("repo"), late.after(2)).is_ok());
}

#[test]
fn a_refresh_warns_of_what_it_does_not_renew() {
    let site = Site::new();
    site.add(1);
    let refresh = |time| site.release(&["refresh", "--repo", "repo", "--keys", "keys", "--time", time]);
    let (status, text) = refresh("2027-04-01T00:00:00Z");
    assert!(status == Some(0) && !text.contains("expires"), "{text}");
    let (status, text) = refresh("2027-05-01T00:00:00Z");
    assert!(status == Some(0) && text.contains("the snapshot metadata expires in 20 days"), "{text}");
    let (status, text) = refresh("2027-06-01T00:00:00Z");
    assert!(status == Some(7) && text.contains("refresh --all"), "{text}");
}

/// Whoever had the stolen keys may have published as well.
#[test]
fn what_replaced_keys_have_signed_is_looked_at_before_it_is_signed_again() {
    type Act<'a> = &'a dyn Fn(Publisher<'_>) -> Result<(), ReleaseError>;
    let site = Site::new();
    site.add(1);
    site.add(2);
    site.rotate(&[TopRole::Targets]);
    let before = files(&site.path("repo"));
    let (label, addition) = ("web_2".parse().unwrap(), site.addition(3, "stable"));
    let acts: [(&str, Act<'_>); 5] = [
        ("refresh --all", &|publisher| publisher.publish(&Changes::default()).map(drop)),
        ("add", &|publisher| add(publisher, &addition, &Silent).map(drop)),
        ("rollout", &|publisher| change_rollout(publisher, &label, None, &RolloutChange::default()).map(drop)),
        ("withdraw", &|publisher| withdraw(publisher, &label, None, "bad", false).map(drop)),
        ("gc --keep", &|publisher| forget(publisher, 1).map(drop)),
    ];
    for (name, act) in acts {
        let refused = site.publish(NOW.after(30), act).unwrap_err();
        assert!(matches!(refused, ReleaseError::OldKeys(_)), "{name}: {refused}");
        let told = refused.to_string();
        assert!(told.contains("release list") && told.contains("--all --accept-replaced-keys"), "{told}");
        assert!(files(&site.path("repo")) == before, "{name}");
    }
    let all = ["refresh", "--all", "--repo", "repo", "--keys", "keys", "--time", "2026-11-22T16:45:00Z"];
    let (status, text) = site.release(&all);
    assert!(status == Some(7) && text.contains("--accept-replaced-keys"), "{text}");
    let (status, text) = site.release(&["refresh", "--accept-replaced-keys", "--repo", "repo"]);
    assert!(status == Some(2) && text.contains("--all"), "{text}");
    site.done(&[&all[..], &["--accept-replaced-keys"]].concat());
    assert!(site.path("repo/metadata/2.root.json").exists());
    site.try_add(3, "stable", NOW.after(600)).unwrap();
}

/// In the repository and on hosts: signed in the year 2099, with versions that nothing can follow.
#[test]
fn what_a_thief_made_of_time_and_versions_ends_with_his_keys() {
    let far = NOW.after(73 * 365 * DAY);
    let header = |number| Header::new(MetadataVersion::new(number).unwrap(), far, far.after(DAY));
    for (roles, last) in [
        (&[TopRole::Timestamp][..], u64::MAX),
        (&[TopRole::Timestamp], 5),
        (&[TopRole::Timestamp, TopRole::Snapshot], u64::MAX),
        (&[TopRole::Timestamp, TopRole::Snapshot], u64::MAX - 1),
    ] {
        let site = Site::new();
        site.add(1);
        let key = |role| -> SigningKey { keys::read(&site.keys().key_path(role), &nobody).unwrap() };
        let roots = Roots::of_repository(&site.repo()).unwrap();
        let now = Published::read(&site.repo(), roots.all()).unwrap().metadata.unwrap();
        let mut timestamp = (*now.timestamp).clone();
        if roles.contains(&TopRole::Snapshot) {
            let mut snapshot = (*now.snapshot).clone();
            snapshot.header = header(last);
            let snapshot = UnsignedRole::new(snapshot).sign(&key(TopRole::Snapshot)).finish(roots.newest()).unwrap();
            fs::write(site.path(&format!("repo/metadata/{last}.snapshot.json")), snapshot.bytes()).unwrap();
            timestamp.snapshot = MetaFile::of(snapshot.header.version, snapshot.bytes());
        }
        timestamp.header = header(last);
        let timestamp = UnsignedRole::new(timestamp).sign(&key(TopRole::Timestamp)).finish(roots.newest()).unwrap();
        fs::write(site.path("repo/metadata/timestamp.json"), timestamp.bytes()).unwrap();
        let [deceived, other] = [(); 2].map(|()| Host::new(&site.root()));
        assert!(deceived.channel(&site.path("repo"), NOW.after(10)).is_err(), "all else has expired by then");

        assert!(matches!(site.refresh(NOW.after(20)), Err(ReleaseError::Time { .. })), "as long as the keys count");
        site.rotate(roles);
        if roles.contains(&TopRole::Snapshot) {
            let accept = |publisher: Publisher<'_>| publisher.accept_replaced_keys().publish(&Changes::default());
            site.publish(NOW.after(20), accept).unwrap();
        } else {
            site.refresh(NOW.after(20)).unwrap();
        }
        assert_eq!(other.newest(&site.path("repo")), "1", "{roles:?} {last}");
        // With the root it drops what the thief has signed, and what time it is by that.
        assert_eq!(deceived.newest(&site.path("repo")), "1", "{roles:?} {last}");
        for version in 2..=4 {
            site.try_add(version, "stable", NOW.after(20 + version)).unwrap();
        }
        assert_eq!(deceived.newest(&site.path("repo")), "4");
        site.is_whole(4);
    }
}

#[test]
fn an_older_state_that_a_thief_has_named_gives_way_to_the_timestamp_of_an_export() {
    let site = Site::new();
    let path = site.path("repo/metadata/timestamp.json");
    let published = || Published::read(&site.repo(), Roots::of_repository(&site.repo()).unwrap().all()).unwrap();
    site.add(1);
    let older = published().metadata.unwrap().timestamp.snapshot.clone();
    site.add(2);
    let [host, other] = [(); 2].map(|()| Host::new(&site.root()));
    assert_eq!(host.newest(&site.path("repo")), "2");
    let exported = fs::read(&path).unwrap();
    let mut thief = (*published().metadata.unwrap().timestamp).clone();
    thief.snapshot = older;
    thief.header.version = MetadataVersion::new(50).unwrap();
    let key: SigningKey = keys::read(&site.keys().key_path(TopRole::Timestamp), &nobody).unwrap();
    let roots = Roots::of_repository(&site.repo()).unwrap();
    fs::write(&path, UnsignedRole::new(thief).sign(&key).finish(roots.newest()).unwrap().bytes()).unwrap();
    assert_eq!(published().releases.len(), 1, "the list shows it");
    site.rotate(&[TopRole::Timestamp]);
    fs::write(&path, exported).unwrap();
    site.refresh(NOW.after(20)).unwrap();
    assert_eq!([host, other].map(|host| host.newest(&site.path("repo"))), ["2", "2"]);
}

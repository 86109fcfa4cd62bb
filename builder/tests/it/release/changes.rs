//! Who may take what is published, changed afterwards.

use slipway_builder::progress::Silent;
use slipway_builder::release::{
    Addition, ReleaseError, RolloutChange, Withdrawn, add, change_rollout, forget, withdraw,
};
use slipway_images::calendar::Moment;
use slipway_images::version::Version;

use super::site::{Host, NOW, Site, files};

fn add_as(site: &Site, version: u64, change: impl FnOnce(&mut Addition)) {
    let mut addition = site.addition(version, "stable");
    change(&mut addition);
    site.publish(NOW.after(version), |publisher| add(publisher, &addition, &Silent)).unwrap();
}

fn take_back(site: &Site, label: &str, second: u64) -> Result<Withdrawn, ReleaseError> {
    let label = label.parse().unwrap();
    site.publish(NOW.after(second), |publisher| withdraw(publisher, &label, None, "no network", false))
}

#[test]
fn a_version_that_hosts_cannot_have_yet_is_no_way_out() {
    let site = Site::new();
    site.add(1);
    site.add(2);
    // One begins later, and for the other a host needs a third before.
    add_as(&site, 4, |addition| addition.rollout.start = Moment::from_seconds(NOW.after(1000).as_secs()));
    add_as(&site, 5, |addition| addition.min_from = Some("3".parse().unwrap()));
    let one: Version = "1".parse().unwrap();
    assert_eq!(take_back(&site, "web_2", 10).unwrap().instead, [Some(one.clone())]);
    let channel = |second| Host::new(&site.root()).channel(&site.path("repo"), NOW.after(second)).unwrap();
    assert_eq!(channel(100).floor, Some(one.clone()));
    assert_eq!(take_back(&site, "web_1", 20).unwrap().instead, [None]);
    // From the moment on from which they can have it, it is one.
    assert_eq!(take_back(&site, "web_2", 1000).unwrap().instead, [Some("4".parse().unwrap())]);
    // Whoever has the third may take the other.
    site.try_add(3, "stable", NOW.after(1005)).unwrap();
    assert_eq!(take_back(&site, "web_3", 1010).unwrap().instead, [Some("5".parse().unwrap())]);
}

#[test]
fn what_was_taken_back_is_not_rolled_out_again() {
    let site = Site::new();
    site.add(1);
    site.try_add(1, "testing", NOW.after(2)).unwrap();
    let (label, testing, stable) = ("web_1".parse().unwrap(), "testing".parse().unwrap(), "stable".parse().unwrap());
    site.publish(NOW.after(3), |publisher| withdraw(publisher, &label, Some(&testing), "no network", false)).unwrap();
    let resume = RolloutChange { paused: Some(false), ..RolloutChange::default() };
    let roll_out = |channel, second| {
        site.publish(NOW.after(second), |publisher| change_rollout(publisher, &label, channel, &resume))
    };
    let before = files(&site.path("repo"));
    let refused = roll_out(Some(&testing), 4).unwrap_err();
    assert!(matches!(refused, ReleaseError::TakenBack { .. }), "{refused}");
    assert_eq!(refused.to_string(), "web_1 was taken back in channel testing, for good: publish a newer version");
    let refused = site.try_add(1, "testing", NOW.after(4)).unwrap_err();
    assert!(matches!(refused, ReleaseError::TakenBack { .. }), "{refused}");
    assert!(files(&site.path("repo")) == before);
    // In the other channel it goes on.
    assert_eq!(roll_out(None, 5).unwrap(), [stable]);
    take_back(&site, "web_1", 6).unwrap();
    assert!(matches!(roll_out(None, 7), Err(ReleaseError::TakenBack { .. })));
}

#[test]
fn versions_that_begin_later_push_none_out_that_hosts_may_take() {
    let site = Site::new();
    site.add(1);
    site.add(2);
    add_as(&site, 3, |addition| addition.rollout.start = Moment::from_seconds(NOW.after(1000).as_secs()));
    assert_eq!(site.publish(NOW.after(30), |publisher| forget(publisher, 1)).unwrap(), ["web_1"]);
    site.is_whole(2);
    assert_eq!(site.publish(NOW.after(1000), |publisher| forget(publisher, 1)).unwrap(), ["web_2"]);
}

/// Hosts with a version that was taken back, and with a floor of their own: it was good there.
#[test]
fn hosts_are_let_back_to_whatever_becomes_the_way_out() {
    let roll_out = |site: &Site, label: &str, paused, second| {
        let change = RolloutChange { paused: Some(paused), ..RolloutChange::default() };
        let label = label.parse().unwrap();
        site.publish(NOW.after(second), |publisher| change_rollout(publisher, &label, None, &change)).unwrap();
    };
    let floor = |site: &Site| {
        let channel = Host::new(&site.root()).channel(&site.path("repo"), NOW.after(100)).unwrap();
        channel.floor.as_ref().map(ToString::to_string)
    };
    let three = || {
        let site = Site::new();
        (1..=3).for_each(|version| drop(site.add(version)));
        site
    };
    // Paused until after the withdrawal.
    let site = three();
    roll_out(&site, "web_1", true, 10);
    roll_out(&site, "web_2", true, 11);
    assert_eq!(take_back(&site, "web_3", 12).unwrap().instead, [None]);
    roll_out(&site, "web_1", false, 13);
    assert_eq!(floor(&site).as_deref(), Some("1"));

    // Paused after it.
    let site = three();
    take_back(&site, "web_3", 10).unwrap();
    assert_eq!(floor(&site).as_deref(), Some("2"));
    roll_out(&site, "web_2", true, 11);
    assert_eq!(floor(&site).as_deref(), Some("1"));

    // A newer one was the way out, until it was paused.
    let site = three();
    assert_eq!(take_back(&site, "web_2", 10).unwrap().instead, [Some("3".parse().unwrap())]);
    roll_out(&site, "web_3", true, 11);
    assert_eq!(floor(&site).as_deref(), Some("1"));

    // Published afterwards.
    let site = three();
    roll_out(&site, "web_1", true, 10);
    take_back(&site, "web_3", 11).unwrap();
    roll_out(&site, "web_2", true, 12);
    assert_eq!(floor(&site).as_deref(), Some("2"));
    site.try_add(0, "stable", NOW.after(13)).unwrap();
    assert_eq!(floor(&site).as_deref(), Some("0"));

    // The floor that was to be kept.
    let site = three();
    let label = "web_3".parse().unwrap();
    site.publish(NOW.after(10), |publisher| withdraw(publisher, &label, None, "no network", true)).unwrap();
    roll_out(&site, "web_2", true, 11);
    roll_out(&site, "web_2", false, 12);
    assert_eq!(floor(&site), None);
}

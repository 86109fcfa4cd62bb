//! What is signed once more, and what isn't.

use slipway_builder::progress::Silent;
use slipway_builder::release::{
    Changes, Publisher, ReleaseError, RolloutChange, add, change_rollout, forget, withdraw,
};
use slipway_trust::tuf::RoleName;
use slipway_trust::tuf::sign::TopRole;

use super::site::{DAY, Host, NOW, Site, files};

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

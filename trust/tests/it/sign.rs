//! Making metadata: only what will be believed can be published.

use std::num::NonZeroU64;

use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::{Header, MetadataVersion, Root, TargetFile, Targets};
use slipway_trust::tuf::sign::{RootBuilder, SignError, SignedRole, SigningKey, TopRole, UnsignedRole};
use slipway_trust::tuf::{RoleName, VerifiedRoot};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn later() -> UnixTime {
    NOW.after(86_400)
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_secret(&[number; 32])
}

fn two() -> NonZeroU64 {
    NonZeroU64::new(2).unwrap()
}

/// Keys 1 to 3 for the root, of which 2 must sign; key 4 for all else.
fn builder() -> RootBuilder {
    let root = (1..=3)
        .fold(RootBuilder::first(NOW, later()), |root, number| root.add_key(TopRole::Root, &key(number).public()));
    let online = [TopRole::Targets, TopRole::Snapshot, TopRole::Timestamp];
    online.into_iter().fold(root.threshold(TopRole::Root, two()), |root, role| root.add_key(role, &key(4).public()))
}

fn signed_root() -> SignedRole<Root> {
    builder().build().unwrap().sign(&key(1)).sign(&key(3)).finish(None).unwrap()
}

#[test]
fn a_root_needs_its_threshold() {
    let unsigned = builder().build().unwrap();
    for keys in [&[][..], &[1], &[1, 1], &[1, 4], &[1, 9]] {
        let unsigned = keys.iter().fold(unsigned.clone(), |unsigned, &number| unsigned.sign(&key(number)));
        assert!(matches!(unsigned.finish(None), Err(SignError::Refused { .. })), "{keys:?}");
    }
    let root = unsigned.sign(&key(2)).sign(&key(3)).finish(None).unwrap();
    assert_eq!(root.root.threshold, two());
    VerifiedRoot::anchor(root.bytes()).unwrap();
}

#[test]
fn a_threshold_that_cannot_be_reached_is_refused() {
    let three = builder().remove_key(TopRole::Root, &key(1).id()).remove_key(TopRole::Root, &key(2).id());
    let error = three.build().unwrap_err();
    assert_eq!(error.to_string(), "the role root needs 2 signatures and has 1 different keys");
    let twice = builder().add_key(TopRole::Targets, &key(4).public()).threshold(TopRole::Targets, two());
    assert!(twice.build().is_err());
}

#[test]
fn a_draft_is_signed_on_several_machines() {
    let draft = builder().build().unwrap().to_draft();
    let [mut here, there] = [1, 3].map(|number| {
        let draft = UnsignedRole::<Root>::from_draft(&draft).unwrap();
        draft.sign(&key(number))
    });
    assert_eq!(here.fingerprint(), there.fingerprint());
    let there = UnsignedRole::<Root>::from_draft(&there.to_draft()).unwrap();
    assert!(here.merge(there));
    assert_eq!(here.valid_signatures(&here.content().root.clone(), &here.content().keys.clone()), 2);
    assert_eq!(here.finish(None).unwrap().bytes(), signed_root().bytes());

    let other = RootBuilder::first(NOW, later().after(1)).build();
    assert!(other.is_err());
    let other = builder().add_key(TopRole::Root, &key(5).public()).build().unwrap();
    assert!(!here.merge(other));
    assert!(UnsignedRole::<Targets>::from_draft(&draft).is_err());
}

#[test]
fn a_new_root_is_signed_by_the_old_keys_and_the_new() {
    let first = signed_root();
    let next = || {
        let next = RootBuilder::after(&first, NOW, later()).unwrap();
        let next = next.remove_key(TopRole::Root, &key(1).id()).remove_key(TopRole::Root, &key(2).id());
        next.add_key(TopRole::Root, &key(5).public()).build().unwrap()
    };
    for keys in [[3, 5].as_slice(), &[1, 3], &[1, 2, 5]] {
        let signed = keys.iter().fold(next(), |next, &number| next.sign(&key(number)));
        assert!(signed.finish(Some(first.verified())).is_err(), "{keys:?}");
    }
    let second = next().sign(&key(1)).sign(&key(3)).sign(&key(5)).finish(Some(first.verified())).unwrap();
    assert_eq!(second.header.version.number(), 2);
    assert!(!second.keys.contains_key(&key(1).id()));
}

#[test]
fn a_release_is_made_of_signed_roles() {
    let root = signed_root();
    let header = || Header::new(MetadataVersion::FIRST, NOW, later());
    let targets = Targets {
        header: header(),
        targets: [("a".to_owned(), TargetFile::of(b"a"))].into(),
        delegations: None,
        extra: slipway_trust::json::Object::new(),
    };
    let targets = UnsignedRole::new(targets);
    assert!(targets.finish(root.verified()).is_err());
    assert!(targets.clone().sign(&key(1)).finish(root.verified()).is_err());
    let targets = targets.sign(&key(4)).finish(root.verified()).unwrap();
    let snapshot = UnsignedRole::snapshot(header(), [(RoleName::targets(), &targets)]);
    let snapshot = snapshot.sign(&key(4)).finish(root.verified()).unwrap();
    let timestamp = UnsignedRole::timestamp(header(), &snapshot).sign(&key(4)).finish(root.verified()).unwrap();

    // A client believes them.
    let root = root.verified();
    let timestamp = root.next_timestamp(timestamp.bytes(), None).unwrap().unwrap();
    let snapshot = root.next_snapshot(&timestamp, snapshot.bytes(), None).unwrap();
    let found = root.next_targets(&snapshot, targets.bytes()).unwrap();
    assert_eq!(found.targets["a"], TargetFile::of(b"a"));
    assert_eq!(found.header.issued, Some(NOW));
}

//! The way of a refresh, and that nothing of a document is lost.

use proptest::prelude::*;
use serde_json::json;
use slipway_trust::json::{Fields, Json, Limits};
use slipway_trust::tuf::schema::{Role, Root, Snapshot, Targets, Timestamp};
use slipway_trust::tuf::{TargetPath, VerifiedRoot};

use super::repo::*;

#[test]
fn a_refresh_asks_for_what_it_needs() {
    let (host, repo) = (Host::new(), Repo::new());
    host.refresh(&repo).unwrap();
    let all =
        ["metadata/2.root.json", "metadata/timestamp.json", "metadata/1.snapshot.json", "metadata/1.targets.json"];
    assert_eq!(repo.asked(), all);
    host.refresh(&repo).unwrap();
    assert_eq!(repo.asked(), all[..2]);
    assert_eq!(host.open(&repo).unwrap().timestamp().unwrap().header.version.number(), 1);
    assert_eq!(repo.asked(), [""; 0]);
}

#[test]
fn without_consistent_snapshots_names_are_plain() {
    let mut root = root_json(1);
    root["consistent_snapshot"] = json!(false);
    let host = Host::trusting(&signed(&root, &[&key(1)]));
    let repo = Repo::default();
    let mut targets = targets_json(1);
    targets["targets"]["a/b"] = target_json(b"b");
    repo.put("metadata/targets.json", signed(&targets, &[&key(2)]));
    repo.put("metadata/snapshot.json", signed(&snapshot_json(1, &[("targets", 1)]), &[&key(3)]));
    repo.put("metadata/timestamp.json", signed(&timestamp_json(1, 1), &[&key(4)]));
    repo.put("targets/a/b", b"b".to_vec());
    let mut repository = host.refresh(&repo).unwrap();
    let target = repository.find(&TargetPath::new("a/b").unwrap()).unwrap();
    let mut bytes = Vec::new();
    repository.download(&target, &mut bytes).unwrap();
    assert_eq!(bytes, b"b");
}

#[test]
fn unknown_fields_are_signed_kept_and_written_again() {
    let mut root = root_json(1);
    root["x-new"] = json!({"deep": [1, null, -3, true, "\u{7f}\u{e9}\"\\"]});
    root["roles"]["root"]["x-new"] = json!(1);
    root["roles"]["mirrors"] = json!({"keyids": [], "threshold": 1});
    let id = key(1).id().to_string();
    root["keys"][&id]["x-new"] = json!("key");
    root["keys"][&id]["keyval"]["x-new"] = json!("value");
    root["keys"]["future"] = json!({"keytype": "lattice", "scheme": "x", "keyval": {"public": "?"}});
    let bytes = signed(&root, &[&key(1)]);
    let verified = VerifiedRoot::anchor(&bytes).unwrap();
    assert_eq!(verified.bytes(), bytes);
    assert_same::<Root>(&root);

    // The unknown field is part of what is signed.
    let text = String::from_utf8(bytes).unwrap().replace("\"x-new\": 1", "\"x-new\": 2");
    assert!(VerifiedRoot::anchor(text.as_bytes()).is_err());

    let mut timestamp = timestamp_json(1, 1);
    timestamp["x-new"] = json!([]);
    timestamp["meta"]["snapshot.json"]["x-new"] = json!({});
    timestamp["x-slipway-issued"] = json!(TODAY);
    assert_same::<Timestamp>(&timestamp);

    let mut snapshot = snapshot_json(1, &[("targets", 1), ("web", 3)]);
    snapshot["x-new"] = json!("x");
    snapshot["meta"]["web.json"] =
        json!({"version": 3, "length": 7, "hashes": {"sha256": "00".repeat(32), "future": "zz"}, "x-new": 0});
    assert_same::<Snapshot>(&snapshot);

    let mut targets = targets_json(1);
    targets["x-new"] = json!("x");
    targets["targets"]["a"] =
        json!({"length": 0, "hashes": {"sha512": "00".repeat(64)}, "custom": {"a": 1}, "x-new": 1});
    let role = json!({"name": "w", "keyids": ["k"], "threshold": 1, "terminating": true, "paths": ["*"], "x-new": 1});
    targets["delegations"] = json!({"keys": {}, "roles": [role], "x-new": 1});
    assert_same::<Targets>(&targets);
    targets["delegations"] = json!({"keys": {}, "succinct_roles":
        {"keyids": [], "threshold": 1, "bit_length": 8, "name_prefix": "bin", "x-new": 1}});
    assert_same::<Targets>(&targets);
}

#[track_caller]
fn assert_same<T: Role>(value: &serde_json::Value) {
    let json = Json::parse(value.to_string().as_bytes(), Limits::METADATA).unwrap();
    let read = T::from_fields(Fields::of(json.clone(), "signed").unwrap()).unwrap();
    assert_eq!(read.to_json(), json);
}

#[test]
fn broken_documents_say_where() {
    let cases: [(&str, serde_json::Value, &str); 10] = [
        ("version", json!(0), "signed.version: is 0"),
        ("version", json!("1"), "signed.version: is a string, not a number"),
        ("version", json!(-1), "signed.version: is a number, not a number of 0 or more"),
        ("expires", json!("2027-11-22"), "signed.expires: is no moment like"),
        ("spec_version", json!("2.0"), "signed.spec_version: is \"2.0\""),
        ("_type", json!("targets"), "signed._type: is \"targets\", not \"timestamp\""),
        ("meta", json!([]), "signed.meta: is an array, not an object"),
        ("meta", json!({}), "signed.meta.snapshot.json: is missing"),
        (
            "meta",
            json!({"snapshot.json": {"version": 1, "hashes": {"sha256": "00"}}}),
            "hashes.sha256: is no digest of 32",
        ),
        (
            "meta",
            json!({"snapshot.json": {"version": 1, "length": -1}}),
            "length: is a number, not a number of 0 or more",
        ),
    ];
    for (field, value, words) in cases {
        let (host, repo) = (Host::new(), Repo::new());
        let mut timestamp = timestamp_json(1, 1);
        timestamp[field] = value;
        repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
        fails(host.refresh(&repo), words);
    }
}

#[test]
fn a_threshold_of_nought_is_refused() {
    let mut root = root_json(1);
    root["roles"]["timestamp"]["threshold"] = json!(0);
    let error = VerifiedRoot::anchor(&signed(&root, &[&key(1)])).unwrap_err();
    assert!(chain(&error).contains("signed.roles.timestamp.threshold: is 0"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_root_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = VerifiedRoot::anchor(&bytes);
    }

    /// A single changed byte is never a root that says anything else.
    #[test]
    fn no_changed_byte_goes_unnoticed(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let good = signed(&root_json(1), &[&key(1)]);
        let expected = VerifiedRoot::anchor(&good).unwrap();
        let mut bytes = good;
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(found) = VerifiedRoot::anchor(&bytes) {
            prop_assert_eq!(&*found, &*expected);
        }
    }
}

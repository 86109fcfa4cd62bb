//! No server makes a host read more than it should.

use serde_json::json;
use slipway_trust::tuf::{ClientLimits, TargetPath};

use super::repo::*;

#[test]
fn endless_metadata_is_cut_off() {
    for (url, limit) in [
        ("metadata/2.root.json", 512 << 10),
        ("metadata/timestamp.json", 16 << 10),
        ("metadata/1.snapshot.json", 2 << 20),
        ("metadata/1.targets.json", 5 << 20),
    ] {
        let (host, repo) = (Host::new(), Repo::new());
        repo.never_ends(url);
        fails(host.refresh(&repo), &format!("{url} has more than {limit} bytes"));
        let read = repo.bytes_read();
        assert!(read < limit + (16 << 10), "{read} of {url}");
    }
}

#[test]
fn a_listed_length_lowers_the_cap_and_never_raises_it() {
    let (host, repo) = (Host::new(), Repo::new());
    let mut timestamp = timestamp_json(1, 1);
    timestamp["meta"]["snapshot.json"]["length"] = json!(100);
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
    fails(host.refresh(&repo), "1.snapshot.json has more than 100 bytes");

    let mut timestamp = timestamp_json(2, 1);
    timestamp["meta"]["snapshot.json"]["length"] = json!(u64::MAX);
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
    repo.never_ends("metadata/1.snapshot.json");
    fails(host.refresh(&repo), "more than 2097152 bytes");
}

#[test]
fn a_listed_length_must_be_the_length() {
    let (host, repo) = (Host::new(), Repo::new());
    let mut timestamp = timestamp_json(1, 1);
    timestamp["meta"]["snapshot.json"]["length"] = json!(10_000);
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
    fails(host.refresh(&repo), "not 10000 as timestamp metadata says");
}

#[test]
fn endless_metadata_of_a_delegated_role_is_cut_off() {
    let (host, repo) = (Host::new(), Repo::new());
    let (keys, keyids) = keys_json(&[&key(5)]);
    let mut targets = targets_json(2);
    let role = json!({"name": "web", "keyids": keyids, "threshold": 1, "terminating": false, "paths": ["*"]});
    targets["delegations"] = json!({"keys": keys, "roles": [role]});
    repo.publish(2, &targets, &[("web", 1)]);
    repo.never_ends("metadata/1.web.json");
    fails(host.find(&repo, "x"), "1.web.json has more than 5242880 bytes");
}

/// A repository with the target `file`, of which metadata says that it is `told` and the server sends `sent`.
fn with_target(told: &[u8], sent: &[u8]) -> (Host, Repo) {
    let (host, repo) = (Host::new(), Repo::new());
    let mut targets = targets_json(2);
    targets["targets"]["file"] = target_json(told);
    repo.publish(2, &targets, &[]);
    let digest = targets["targets"]["file"]["hashes"]["sha256"].as_str().unwrap().to_owned();
    repo.put(&format!("targets/{digest}.file"), sent.to_vec());
    (host, repo)
}

fn download((host, repo): &(Host, Repo)) -> (Result<(), slipway_trust::tuf::TufError>, Vec<u8>) {
    let mut repository = host.refresh(repo).unwrap();
    let target = repository.find(&TargetPath::new("file").unwrap()).unwrap();
    let mut sink = Vec::new();
    let done = repository.download(&target, &mut sink);
    (done, sink)
}

#[test]
fn targets_have_their_length_and_digest() {
    let (done, bytes) = download(&with_target(b"content", b"content"));
    done.unwrap();
    assert_eq!(bytes, b"content");

    fails(download(&with_target(b"content", b"c0ntent")).0, "other digests");
    fails(download(&with_target(b"content", b"conten")).0, "has 6 bytes, not 7");
    let (done, bytes) = download(&with_target(b"content", b"content and more"));
    fails(done, "more than 7 bytes");
    assert!(bytes.len() <= 7);
}

#[test]
fn the_length_is_checked_apart_from_the_digest() {
    let set = |length: u64| {
        let set = with_target(b"content", b"content");
        let mut targets = targets_json(3);
        targets["targets"]["file"] = target_json(b"content");
        targets["targets"]["file"]["length"] = json!(length);
        set.1.publish(3, &targets, &[]);
        set
    };
    fails(download(&set(8)).0, "has 7 bytes, not 8");
    fails(download(&set(6)).0, "more than 6 bytes");
}

#[test]
fn an_endless_target_is_cut_off() {
    let set = with_target(b"content", b"");
    let url = format!("targets/{}.file", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"content")));
    set.1.never_ends(&url);
    set.1.bytes_read();
    let (done, bytes) = download(&set);
    fails(done, "more than 7 bytes");
    assert!(bytes.len() <= 7 && set.1.bytes_read() < 64 << 10);
}

#[test]
fn all_known_digests_must_hold_and_there_must_be_one() {
    let set = with_target(b"content", b"content");
    let mut targets = targets_json(3);
    targets["targets"]["file"] = target_json(b"content");
    targets["targets"]["file"]["hashes"]["sha512"] = json!("00".repeat(64));
    set.1.publish(3, &targets, &[]);
    fails(download(&set).0, "other digests");

    targets["version"] = json!(4);
    targets["targets"]["file"]["hashes"] = json!({"blake7": "00"});
    set.1.publish(4, &targets, &[]);
    fails(download(&set).0, "no digest that can be checked");
}

#[test]
fn roots_do_not_come_without_end() {
    let (host, repo) = (Host::new(), Repo::new());
    for version in 2..=6 {
        repo.put(&format!("metadata/{version}.root.json"), signed(&root_json(version), &[&key(1)]));
    }
    let limits = ClientLimits { root_rotations: 3, ..ClientLimits::default() };
    let refresh = || host.open_within(&repo, limits)?.refresh();
    fails(refresh(), "more than 3 new root versions");
    // What was accepted is kept, so that the next try goes on from there.
    assert_eq!(refresh().unwrap().root().header.version.number(), 6);
}

//! Expiry on machines whose clock is wrong.

use serde_json::json;
use slipway_trust::tuf::Clock;

use super::repo::*;

const NOUGHT: &str = "1970-01-01T00:00:00Z";

fn expiring(repo: &Repo, version: u64, expires: &str) {
    let mut timestamp = timestamp_json(version, 1);
    timestamp["expires"] = json!(expires);
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
}

#[test]
fn a_clock_in_1970_does_not_make_old_metadata_good() {
    let (mut host, repo) = (Host::new(), Repo::new());
    host.clock = Clock::new(at(NOUGHT), at(TODAY));
    assert!(host.clock.is_behind());
    expiring(&repo, 2, YESTERDAY);
    fails(host.refresh(&repo), "the machine's clock reads 1970-01-01 00:00:00 UTC, which is too early");
    assert_eq!(host.kept("timestamp"), None);
    // And such a host still updates.
    expiring(&repo, 3, NEXT_YEAR);
    host.refresh(&repo).unwrap();
}

#[test]
fn what_was_signed_later_tells_the_time() {
    let (mut host, repo) = (Host::new(), Repo::new());
    host.clock = Clock::new(at(NOUGHT), at(NOUGHT));
    let mut timestamp = timestamp_json(2, 1);
    timestamp["x-slipway-issued"] = json!(TODAY);
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
    let mut snapshot = snapshot_json(1, &[("targets", 1)]);
    snapshot["expires"] = json!(YESTERDAY);
    repo.put("metadata/1.snapshot.json", signed(&snapshot, &[&key(3)]));
    // The fresh timestamp shows that the snapshot is void.
    fails(host.refresh(&repo), "snapshot metadata is refused: version 1 expired at 2026-11-21");
    // It is remembered: the timestamp is trusted now, and tells the time at the next start too.
    expiring(&repo, 3, YESTERDAY);
    fails(host.refresh(&repo), "timestamp metadata is refused: version 3 expired");
}

#[test]
fn a_clock_that_jumps_back_changes_nothing() {
    let (mut host, repo) = (Host::new(), Repo::new());
    let mut timestamp = timestamp_json(2, 1);
    timestamp["x-slipway-issued"] = json!(TODAY);
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
    host.refresh(&repo).unwrap();
    host.clock = Clock::new(at("2020-01-01T00:00:00Z"), at(NOUGHT));
    let repository = host.refresh(&repo).unwrap();
    assert_eq!(repository.clock().now(), at(TODAY));
    drop(repository);
    expiring(&repo, 3, YESTERDAY);
    fails(host.refresh(&repo), "expired at 2026-11-21");
}

#[test]
fn a_clock_ahead_is_named() {
    let (mut host, repo) = (Host::new(), Repo::new());
    host.clock = Clock::new(at("2040-01-01T00:00:00Z"), at(TODAY));
    fails(
        host.refresh(&repo),
        "root metadata is refused: version 1 expired at 2027-11-22 12:00:00 UTC, and it is 2040",
    );
}

#[test]
fn metadata_that_claims_to_be_from_after_its_end_is_refused() {
    let (host, repo) = (Host::new(), Repo::new());
    let mut timestamp = timestamp_json(2, 1);
    timestamp["x-slipway-issued"] = json!("2999-01-01T00:00:00Z");
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
    fails(host.refresh(&repo), "x-slipway-issued: is later than the expiry");
}

#[test]
fn it_is_void_from_the_very_moment_of_its_expiry() {
    let (host, repo) = (Host::new(), Repo::new());
    expiring(&repo, 2, TODAY);
    fails(host.refresh(&repo), "expired");
}

#[test]
fn a_key_that_told_the_time_and_is_replaced_told_nothing() {
    let (host, repo) = (Host::new(), Repo::new());
    let mut timestamp = timestamp_json(2, 1);
    timestamp["x-slipway-issued"] = json!("2998-01-01T00:00:00Z");
    timestamp["expires"] = json!("2999-01-01T00:00:00Z");
    repo.put("metadata/timestamp.json", signed(&timestamp, &[&key(4)]));
    fails(host.refresh(&repo), "snapshot metadata is refused: version 1 expired");
    let mut root = root_json(2);
    let (extra, _) = keys_json(&[&key(9)]);
    root["keys"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    root["roles"]["timestamp"] = role_json(&[&key(9)], 1);
    repo.put("metadata/2.root.json", signed(&root, &[&key(1)]));
    repo.put("metadata/timestamp.json", signed(&timestamp_json(3, 1), &[&key(9)]));
    // In the very refresh that brings the root.
    assert_eq!(host.refresh(&repo).unwrap().clock().now(), at(TODAY));
}

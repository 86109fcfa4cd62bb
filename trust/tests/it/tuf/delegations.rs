//! Who may speak of which targets.

use serde_json::{Value, json};
use slipway_trust::tuf::TargetPath;
use slipway_trust::tuf::sign::SigningKey;

use super::repo::*;

/// Top-level targets, version 2, that delegate to these roles, all with key 5.
fn delegating(roles: &[(&str, Value)]) -> Value {
    let (keys, keyids) = keys_json(&[&key(5)]);
    let roles = roles.iter().map(|(name, scope)| {
        let mut role = json!({"name": name, "keyids": keyids, "threshold": 1, "terminating": false});
        role.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
        role
    });
    let mut targets = targets_json(2);
    targets["delegations"] = json!({"keys": keys, "roles": roles.collect::<Vec<_>>()});
    targets
}

fn with_target(path: &str) -> Value {
    let mut targets = targets_json(1);
    targets["targets"][path] = target_json(path.as_bytes());
    targets
}

fn put_role(repo: &Repo, name: &str, targets: &Value, key: &SigningKey) {
    repo.put(&format!("metadata/1.{name}.json"), signed(targets, &[key]));
}

#[test]
fn a_star_stays_within_a_part_of_the_path() {
    let (host, repo) = (Host::new(), Repo::new());
    repo.publish(2, &delegating(&[("web", json!({"paths": ["a/*"]}))]), &[("web", 1)]);
    let mut web = with_target("a/b");
    web["targets"]["a/b/c"] = target_json(b"c");
    web["targets"]["other"] = target_json(b"o");
    put_role(&repo, "web", &web, &key(5));
    assert_eq!(host.find(&repo, "a/b").unwrap().role().as_str(), "web");
    fails(host.find(&repo, "a/b/c"), "no target a/b/c");
    fails(host.find(&repo, "other"), "no target other");
}

#[test]
fn a_delegate_is_never_a_top_level_role() {
    for name in ["root", "targets", "snapshot", "timestamp"] {
        let (host, repo) = (Host::new(), Repo::new());
        repo.publish(2, &delegating(&[(name, json!({"paths": ["*"]}))]), &[]);
        fails(host.refresh(&repo), "which is a top-level role");
        assert_eq!(host.kept("targets"), None);
    }
}

#[test]
fn a_bad_delegate_stops_its_own_targets_and_no_others() {
    let scopes = [("bad", json!({"paths": ["bad/*"]})), ("good", json!({"paths": ["*/*"]}))];
    let mut expired = with_target("bad/x");
    expired["expires"] = json!(YESTERDAY);
    let wrong_type = snapshot_json(1, &[("targets", 1)]);
    for (bad, words) in [
        (Some(signed(&expired, &[&key(5)])), "bad metadata is refused: version 1 expired"),
        (Some(signed(&with_target("bad/x"), &[&key(6)])), "bad metadata is refused: it has 0 of the 1 signatures"),
        (Some(signed(&wrong_type, &[&key(5)])), "bad metadata is refused: signed._type"),
        (Some(b"{".to_vec()), "bad metadata is refused: not the JSON"),
        (None, "metadata/1.bad.json is not there"),
    ] {
        let (host, repo) = (Host::new(), Repo::new());
        let mut targets = delegating(&scopes);
        targets["targets"]["top"] = target_json(b"top");
        repo.publish(2, &targets, &[("bad", 1), ("good", 1)]);
        let mut good = with_target("good/x");
        good["targets"]["bad/x"] = target_json(b"another x");
        put_role(&repo, "good", &good, &key(5));
        if let Some(bad) = bad {
            repo.put("metadata/1.bad.json", bad);
        }
        let mut repository = host.refresh(&repo).unwrap();
        repository.find(&TargetPath::new("top").unwrap()).unwrap();
        repository.find(&TargetPath::new("good/x").unwrap()).unwrap();
        // Going on to `good` would let whoever breaks `bad` choose.
        fails(repository.find(&TargetPath::new("bad/x").unwrap()), words);
        assert_eq!(host.kept("bad"), None);
    }
}

#[test]
fn a_kept_delegate_that_expired_stops_no_others() {
    let (mut host, repo) = (Host::new(), Repo::new());
    let scopes = [("short", json!({"paths": ["short"]})), ("long", json!({"paths": ["long"]}))];
    repo.publish(2, &delegating(&scopes), &[("short", 1), ("long", 1)]);
    let mut short = with_target("short");
    short["expires"] = json!("2026-12-01T00:00:00Z");
    put_role(&repo, "short", &short, &key(5));
    put_role(&repo, "long", &with_target("long"), &key(5));
    host.find(&repo, "short").unwrap();
    host.clock = slipway_trust::tuf::Clock::new(at("2026-12-24T00:00:00Z"), at(TODAY));
    host.find(&repo, "long").unwrap();
    fails(host.find(&repo, "short"), "short metadata is refused: version 1 expired");
}

#[test]
fn hash_prefixes_divide() {
    let (host, repo) = (Host::new(), Repo::new());
    // printf a | sha256sum: ca97…; printf b | sha256sum: 3e23…
    let scopes =
        [("low", json!({"path_hash_prefixes": ["3e", "0"]})), ("high", json!({"path_hash_prefixes": ["ca97"]}))];
    repo.publish(2, &delegating(&scopes), &[("low", 1), ("high", 1)]);
    let mut both = with_target("a");
    both["targets"]["b"] = target_json(b"b");
    both["targets"]["c"] = target_json(b"c");
    put_role(&repo, "low", &both, &key(5));
    put_role(&repo, "high", &both, &key(5));
    assert_eq!(host.find(&repo, "a").unwrap().role().as_str(), "high");
    assert_eq!(host.find(&repo, "b").unwrap().role().as_str(), "low");
    fails(host.find(&repo, "c"), "no target c");
}

#[test]
fn hash_bins_divide() {
    let (host, repo) = (Host::new(), Repo::new());
    let (keys, keyids) = keys_json(&[&key(5)]);
    let mut targets = targets_json(2);
    targets["delegations"] = json!({
        "keys": keys,
        "succinct_roles": {"keyids": keyids, "threshold": 1, "bit_length": 5, "name_prefix": "bin"},
    });
    // As python-tuf 7.0 names them: SuccinctRoles([], 1, 5, "bin").get_role_for_target("a") is "bin-19", "b" is "bin-07".
    repo.publish(2, &targets, &[("bin-19", 1), ("bin-07", 1)]);
    let mut both = with_target("a");
    both["targets"]["b"] = target_json(b"b");
    put_role(&repo, "bin-19", &both, &key(5));
    put_role(&repo, "bin-07", &both, &key(5));
    assert_eq!(host.find(&repo, "a").unwrap().role().as_str(), "bin-19");
    assert_eq!(host.find(&repo, "b").unwrap().role().as_str(), "bin-07");
    fails(host.find(&repo, "c"), "the snapshot doesn't list it");
}

#[test]
fn cycles_end_and_so_do_long_chains() {
    let (host, repo) = (Host::new(), Repo::new());
    let names: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    let listed: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    repo.publish(2, &delegating(&[("r0", json!({"paths": ["*"]}))]), &listed);
    for (number, name) in names.iter().enumerate() {
        let next = format!("r{}", (number + 1) % 40);
        let mut targets = delegating(&[(&next, json!({"paths": ["*"]}))]);
        targets["version"] = json!(1);
        put_role(&repo, name, &targets, &key(5));
    }
    fails(host.find(&repo, "x"), "more than 32 delegated roles");

    let mut targets = delegating(&[("r0", json!({"paths": ["*"]}))]);
    targets["version"] = json!(1);
    put_role(&repo, "r3", &targets, &key(5));
    let host = Host::new();
    fails(host.find(&repo, "x"), "no target x");
}

#[test]
fn a_role_is_kept_as_long_as_the_snapshot_lists_it() {
    let (host, repo) = (Host::new(), Repo::new());
    repo.publish(2, &delegating(&[("web", json!({"paths": ["*"]}))]), &[("web", 1)]);
    put_role(&repo, "web", &with_target("a"), &key(5));
    host.find(&repo, "a").unwrap();
    assert!(host.kept("web").is_some());
    repo.asked();
    host.find(&repo, "a").unwrap();
    assert_eq!(repo.asked(), ["metadata/2.root.json", "metadata/timestamp.json"]);
}

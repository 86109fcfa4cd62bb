//! Nothing goes back, and nobody's word counts twice.

use serde_json::json;

use super::repo::*;

#[test]
fn one_key_under_two_names_counts_once() {
    let repo = Repo::new();
    let mut root = root_json(1);
    let double = key_json(&key(4));
    root["keys"]["another-name"] = double;
    root["roles"]["timestamp"] = json!({"keyids": [key(4).id().to_string(), "another-name"], "threshold": 2});
    let host = Host::trusting(&signed(&root, &[&key(1)]));
    let once = signed(&timestamp_json(1, 1), &[&key(4)]);
    let mut document: serde_json::Value = serde_json::from_slice(&once).unwrap();
    let mut second = document["signatures"][0].clone();
    second["keyid"] = json!("another-name");
    document["signatures"].as_array_mut().unwrap().push(second);
    repo.put("metadata/timestamp.json", document.to_string().into_bytes());
    fails(host.refresh(&repo), "timestamp metadata is refused: it has 1 of the 2 signatures");
}

#[test]
fn a_name_that_signs_twice_refuses_the_whole() {
    let (host, repo) = (Host::new(), Repo::new());
    let mut document: serde_json::Value = serde_json::from_slice(&signed(&timestamp_json(1, 1), &[&key(4)])).unwrap();
    let again = document["signatures"][0].clone();
    document["signatures"].as_array_mut().unwrap().push(again);
    repo.put("metadata/timestamp.json", document.to_string().into_bytes());
    fails(host.refresh(&repo), "signs twice");
}

#[test]
fn versions_do_not_go_back() {
    let (host, repo) = (Host::new(), Repo::new());
    repo.publish(5, &targets_json(5), &[]);
    host.refresh(&repo).unwrap();

    repo.put("metadata/timestamp.json", signed(&timestamp_json(4, 5), &[&key(4)]));
    fails(host.refresh(&repo), "it goes back to version 4 of timestamp, from 5");
    repo.put("metadata/timestamp.json", signed(&timestamp_json(6, 4), &[&key(4)]));
    fails(host.refresh(&repo), "it goes back to version 4 of snapshot, from 5");
    repo.put("metadata/timestamp.json", signed(&timestamp_json(6, 6), &[&key(4)]));
    repo.put("metadata/6.snapshot.json", signed(&snapshot_json(6, &[("targets", 4)]), &[&key(3)]));
    fails(host.refresh(&repo), "it goes back to version 4 of targets, from 5");
    assert!(String::from_utf8(host.kept("snapshot").unwrap()).unwrap().contains("\"version\": 5"));
}

#[test]
fn a_root_that_only_adds_a_key_keeps_the_guard_against_rollback() {
    let (host, repo) = (Host::new(), Repo::new());
    repo.publish(5, &targets_json(5), &[]);
    host.refresh(&repo).unwrap();

    let mut root = root_json(2);
    let (extra, _) = keys_json(&[&key(9)]);
    root["keys"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    root["roles"]["timestamp"] = role_json(&[&key(4), &key(9)], 1);
    repo.put("metadata/2.root.json", signed(&root, &[&key(1)]));
    repo.put("metadata/timestamp.json", signed(&timestamp_json(4, 5), &[&key(4)]));
    fails(host.refresh(&repo), "it goes back to version 4 of timestamp, from 5");
}

#[test]
fn a_root_that_replaces_the_key_lets_versions_start_again() {
    let (host, repo) = (Host::new(), Repo::new());
    repo.put("metadata/timestamp.json", signed(&timestamp_json(u64::MAX, 1), &[&key(4)]));
    host.refresh(&repo).unwrap();

    let mut root = root_json(2);
    let (extra, _) = keys_json(&[&key(9)]);
    root["keys"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    root["roles"]["timestamp"] = role_json(&[&key(9)], 1);
    repo.put("metadata/2.root.json", signed(&root, &[&key(1)]));
    // Even when the new timestamp isn't there yet, the stolen key's is gone, together with the new root's arrival.
    fails(host.refresh(&repo), "it has 0 of the 1 signatures");
    assert_eq!(host.kept("timestamp"), None);
    assert!(host.kept("snapshot").is_some());
    repo.put("metadata/timestamp.json", signed(&timestamp_json(2, 1), &[&key(9)]));
    host.refresh(&repo).unwrap();
}

#[test]
fn a_root_follows_only_its_predecessor_and_by_both_keys() {
    let new_key = || {
        let mut root = root_json(2);
        let (extra, _) = keys_json(&[&key(9)]);
        root["keys"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        root["roles"]["root"] = role_json(&[&key(9)], 1);
        root
    };
    for (root, words) in [
        (signed(&root_json(3), &[&key(1)]), "it is version 3, not 2"),
        (signed(&root_json(1), &[&key(1)]), "it is version 1, not 2"),
        (signed(&new_key(), &[&key(9)]), "0 of the 1 signatures"),
        (signed(&new_key(), &[&key(1)]), "0 of the 1 signatures"),
    ] {
        let (host, repo) = (Host::new(), Repo::new());
        let before = host.kept("root");
        repo.put("metadata/2.root.json", root);
        fails(host.refresh(&repo), words);
        assert_eq!(host.kept("root"), before);
    }
    let (host, repo) = (Host::new(), Repo::new());
    repo.put("metadata/2.root.json", signed(&new_key(), &[&key(1), &key(9)]));
    host.refresh(&repo).unwrap();
}

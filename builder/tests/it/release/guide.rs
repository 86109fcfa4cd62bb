//! `docs/publishing.md`, walked through with the program itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::site::{Site, files};

/// Keys that are made for the tests count then.
const TIME: &str = "2026-11-22T16:41:00Z";

fn json(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn the_guide_goes_as_it_is_written() {
    let site = Site::new();
    fs::remove_dir_all(site.path("keys")).unwrap();
    let made = site.slipway(&["keys", "init", "keys", "--development"]).output().unwrap();
    assert!(made.status.success());
    for version in 1..=3 {
        site.build(version);
    }
    let with = |arguments: &[&'static str]| [arguments, &["--repo", "repo", "--keys", "keys"]].concat();

    let told = site.done(&with(&["add", "web_1", "--channel", "stable"]));
    assert!(told.contains("web_1 is published in channel stable"), "{told}");
    let stages = ["add", "web_2", "--channel", "stable", "--stages", "5@0,50@1d,100@3d", "--min-from", "1"];
    let told = site.done(&with(&stages));
    assert!(told.contains("from 1 "), "{told}");
    let told = site.done(&["list", "--repo", "repo"]);
    assert!(told.contains("5 % of the hosts; for hosts with 1 or newer; patches from 1"), "{told}");
    site.done(&with(&["rollout", "web_2", "--pause"]));
    assert!(site.done(&["list", "--repo", "repo"]).contains("paused"));
    site.done(&with(&["rollout", "web_2", "--resume", "--immediate"]));
    assert!(site.done(&["list", "--repo", "repo"]).contains("everybody, at once"));
    site.done(&with(&["add", "web_3", "--channel", "stable", "--patch-from", "1", "--patch-from", "web_1"]));
    let told = site.done(&with(&["withdraw", "web_3", "--reason", "no network"]));
    assert!(told.contains("taken back in channel stable: hosts go to 2"), "{told}");
    let told = site.done(&["list", "--repo", "repo"]);
    assert!(told.contains("taken back: no network") && told.contains("hosts may go back to 2"), "{told}");
    assert_eq!(site.done(&with(&["refresh"])), "metadata/timestamp.json\n");
    assert!(site.done(&with(&["refresh", "--all"])).contains(".snapshot.json"));
    let told = site.done(&["verify", "repo", "--root", "keys/1.root.json"]);
    assert!(told.contains("1 channels, 3 releases") && told.contains("3 patches applied"), "{told}");
    site.done(&["export", "--repo", "repo", "--to", "stick"]);
    site.done(&["export", "--repo", "repo", "--to", "stick.tar"]);
    assert!(site.done(&["verify", "stick"]).contains("trusting the repository's own first root"));
    let told = site.done(&with(&["gc", "--keep", "1"]));
    // The first is a stepping stone to the second.
    assert!(!told.contains("no longer offered") && told.contains("freed"), "{told}");
    site.done(&["verify", "repo"]);
}

#[test]
fn results_are_json_when_asked_for() {
    let site = Site::new();
    let keys = ["--repo", "repo", "--keys", "keys", "--time", TIME, "--json", "--quiet"];
    let build = site.build(1);
    let added = json(&site.done(&[&["add", build.to_str().unwrap(), "--channel", "stable"][..], &keys].concat()));
    assert_eq!((added["release"].as_str(), added["channel"].as_str()), (Some("web_1"), Some("stable")));
    assert_eq!(added["files"].as_array().unwrap().last().unwrap(), "metadata/timestamp.json");
    let listed = json(&site.done(&["list", "--repo", "repo", "--json"]));
    assert_eq!(listed["channels"][0]["offers"][0]["share"], 100);
    let found = json(&site.done(&["verify", "repo", "--time", TIME, "--json", "--quiet"]));
    assert_eq!(found["parts"], 5);
}

#[test]
fn failures_have_their_status_and_leave_nothing() {
    let site = Site::new();
    let build = site.build(1);
    let build = build.to_str().unwrap();
    let add = |more: &[&str]| {
        let arguments = ["add", build, "--repo", "repo", "--channel", "stable", "--time", TIME, "--quiet"];
        site.release(&[&arguments[..], more].concat())
    };
    let (status, text) = add(&["--keys", "nowhere"]);
    assert!(status == Some(1) && text.contains("holds no root"), "{text}");
    let (status, text) = add(&["--keys", "keys", "--stages", "50@1d,20@2d"]);
    assert!(status == Some(7) && text.contains("don't rise"), "{text}");
    assert!(files(&site.path("repo")).is_empty());
    let (status, text) = add(&["--keys", "keys", "--stages", "x"]);
    assert!(status == Some(2) && text.contains("write PERCENT@TIME"), "{text}");
    assert_eq!(add(&["--keys", "keys"]).0, Some(0));
    let (status, text) = add(&["--keys", "keys"]);
    assert!(status == Some(7) && text.contains("offers web_1 already"), "{text}");
    assert_eq!(site.release(&["list", "--repo", "elsewhere"]).0, Some(1));
    let part = files(&site.path("repo")).into_keys().find(|name| name.starts_with("parts/")).unwrap();
    fs::write(site.path("repo").join(&part), "other").unwrap();
    let (status, text) = site.release(&["verify", "repo", "--time", TIME]);
    assert!(status == Some(8) && text.contains(&part), "{text}");
    let timestamp = site.path("repo/metadata/timestamp.json");
    fs::write(&timestamp, fs::read_to_string(&timestamp).unwrap().replace("\"version\": 1", "\"version\": 2")).unwrap();
    let (status, text) = site.release(&["verify", "repo", "--time", TIME]);
    assert!(status == Some(6) && text.contains("0 of the 1 signatures"), "{text}");
}

/// A service may run under a umask of 0077, and the web server as somebody else.
#[test]
fn whoever_serves_a_repository_may_read_it_whatever_the_umask() {
    fn check(folder: &Path, count: &mut u32) {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder), 0o755, "{}", folder.display());
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with(".slipway") {
                check(&path, count);
            } else if path.is_file() {
                assert_eq!(mode(&path), 0o644, "{}", path.display());
                *count += 1;
            }
        }
    }
    let site = Site::new();
    site.build(1);
    let run = |arguments: &[&str]| {
        let mut sh = Command::new("sh");
        sh.args(["-c", "umask 077; exec \"$0\" release \"$@\"", env!("CARGO_BIN_EXE_slipway")]).args(arguments);
        assert!(sh.current_dir(site.path("")).status().unwrap().success(), "{arguments:?}");
    };
    run(&["add", "web_1", "--channel", "stable", "--repo", "srv/web", "--keys", "keys", "--time", TIME]);
    run(&["export", "--repo", "srv/web", "--to", "stick/web"]);
    run(&["export", "--repo", "srv/web", "--to", "web.tar"]);
    for (folder, below) in [("srv", "srv/web"), ("stick", "stick/web")] {
        let mut count = 0;
        check(&site.path(folder), &mut count);
        assert!(count as usize == files(&site.path(below)).len() && count > 10, "{count}");
    }
    assert_eq!(fs::metadata(site.path("web.tar")).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn global_options_go_with_every_subcommand() {
    let site = Site::new();
    site.build(1);
    let add = ["add", "web_1", "--channel", "stable", "--repo", "repo", "--keys", "keys", "--time", TIME];
    site.done(&[&add[..], &["--out", "elsewhere"]].concat());
}

#[test]
fn nothing_is_made_where_there_is_no_repository() {
    let site = Site::new();
    let arguments: [&[&str]; 4] =
        [&["refresh"], &["gc"], &["rollout", "web_1", "--pause"], &["withdraw", "web_1", "--reason", "none"]];
    for arguments in arguments {
        let (status, text) = site.release(&[arguments, &["--repo", "nowhere", "--keys", "keys"]].concat());
        assert!(status == Some(1) && text.contains("nowhere holds no releases"), "{arguments:?}: {text}");
    }
    assert!(!site.path("nowhere").exists());
}

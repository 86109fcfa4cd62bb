//! Publication that is cut off, killed, copied halfway, or done by two at once.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use proptest::prelude::*;
use slipway_builder::progress::Silent;
use slipway_builder::release::{Repository, verify};

use super::site::{Host, NOW, Site, files, write_files};

type Files = BTreeMap<String, Vec<u8>>;

/// A repository with one version, and the files of the second in the order in which they came to be.
fn before_and_after() -> (Site, Files, Vec<(String, Vec<u8>)>) {
    let site = Site::new();
    site.add(1);
    let before = files(&site.path("repo"));
    let order = site.add(2).files;
    let after = files(&site.path("repo"));
    let new = order.into_iter().map(|name| (name.clone(), after[&name].clone())).collect();
    (site, before, new)
}

/// Nothing is lost: what came to be is all that differs, and each file was written once.
#[test]
fn nothing_that_is_published_is_overwritten() {
    let (site, before, new) = before_and_after();
    let mut expected = before.clone();
    for (name, bytes) in &new {
        let old = expected.insert(name.clone(), bytes.clone());
        assert!(old.is_none() || name == "metadata/timestamp.json", "{name} was overwritten");
    }
    assert!(expected == files(&site.path("repo")));
}

#[test]
fn at_every_moment_a_host_sees_the_old_release_or_the_new_one_whole() {
    let (site, before, new) = before_and_after();
    // One that saw the first version, and looks again and again while the second is published.
    let known = Host::new(&site.root());
    for count in 0..=new.len() {
        let folder = site.path("cut");
        let _ = fs::remove_dir_all(&folder);
        write_files(&folder, &before);
        write_files(&folder, new[..count].iter().map(|(name, bytes)| (name, bytes)));
        // What a writer that is killed leaves beside.
        fs::create_dir(folder.join(".slipway")).unwrap();
        fs::write(folder.join(".slipway/.tmpAbC123"), &new[0].1[..1000]).unwrap();
        let whole = count == new.len();
        let fresh = Host::new(&site.root());
        for host in [&known, &fresh] {
            assert_eq!(host.newest(&folder), if whole { "2" } else { "1" }, "{count} of {} files", new.len());
        }
        let found = verify(&Repository::at(&folder), &site.root(), NOW.after(100), &Silent).unwrap();
        assert_eq!((found.releases.len(), found.problems), (1 + usize::from(whole), Vec::new()));

        // Whoever goes on from there gets through.
        if !whole {
            let next = Site::new();
            write_files(&next.path("keys"), &files(&site.path("keys")));
            write_files(&next.path("repo"), &files(&folder));
            next.add(2);
            assert_eq!(next.is_whole(2).patches, 1);
            assert_eq!(fresh.newest(&next.path("repo")), "2");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A mirror that copies files in any order, the timestamp last.
    #[test]
    fn in_whatever_order_files_are_copied_the_timestamp_alone_counts(copied in prop::collection::vec(any::<bool>(), 64)) {
        thread_local! {
            static MADE: (Site, Files, Vec<(String, Vec<u8>)>) = before_and_after();
        }
        MADE.with(|(site, before, new)| {
            let folder = site.path("mirror");
            let _ = fs::remove_dir_all(&folder);
            write_files(&folder, before);
            let some = new.iter().zip(&copied).filter(|((name, _), copied)| **copied && name != "metadata/timestamp.json");
            write_files(&folder, some.map(|((name, bytes), _)| (name, bytes)));
            let host = Host::new(&site.root());
            assert_eq!(host.newest(&folder), "1");
            let found = verify(&Repository::at(&folder), &site.root(), NOW.after(100), &Silent).unwrap();
            assert_eq!((found.releases.len(), found.problems), (1, Vec::new()));
            write_files(&folder, new.iter().map(|(name, bytes)| (name, bytes)));
            assert_eq!(host.newest(&folder), "2");
        });
    }
}

/// The program itself, killed as soon as so many files more are there.
#[test]
fn a_publisher_that_is_killed_leaves_a_whole_repository() {
    let site = Site::new();
    site.add(1);
    let time = "2026-11-22T16:40:30Z";
    let (first, second) = (site.build(1), site.build(2));
    assert!(first.exists());
    let add = ["release", "add", second.to_str().unwrap(), "--repo", "repo", "--channel", "stable"];
    let add = [&add[..], &["--keys", "keys", "--time", time, "--quiet"]].concat();
    let start = files(&site.path("repo")).len();
    for more in 0.. {
        let mut slipway = site.slipway(&add).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = loop {
            if let Some(status) = slipway.try_wait().unwrap() {
                break Some(status);
            }
            if files(&site.path("repo")).len() >= start + more {
                slipway.kill().unwrap();
                slipway.wait().unwrap();
                break None;
            }
        };
        let found = site.verify();
        assert_eq!(found.problems, [""; 0]);
        if let Some(status) = status {
            // It was too fast, or it was done before: then the version is offered.
            assert!(status.success() || found.releases.len() == 2);
        }
        if found.releases.len() == 2 {
            break;
        }
    }
    assert_eq!(site.is_whole(2).patches, 1);
}

#[test]
fn of_two_publishers_at_once_one_waits() {
    let site = Site::new();
    site.add(1);
    let builds = [site.build(2), site.build(3)];
    let running: Vec<_> = builds
        .iter()
        .map(|build| {
            let add = ["release", "add", build.to_str().unwrap(), "--repo", "repo", "--channel", "stable"];
            let add = [&add[..], &["--keys", "keys", "--time", "2026-11-22T16:41:00Z"]].concat();
            site.slipway(&add).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for slipway in running {
        let output = slipway.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    site.is_whole(3);
    assert_eq!(Host::new(&site.root()).newest(&site.path("repo")), "3");

    // One that waits says so, and goes on when the other is done.
    let locked = site.repo().lock(|| ()).unwrap();
    let (told, hears) = std::sync::mpsc::channel();
    let repo = site.repo();
    std::thread::scope(|scope| {
        let second = scope.spawn(move || repo.lock(move || told.send(()).unwrap()).map(drop));
        hears.recv().unwrap();
        assert!(!second.is_finished());
        drop(locked);
        second.join().unwrap().unwrap();
    });
}

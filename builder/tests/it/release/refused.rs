//! Mistakes that cost nothing: they are found before anything is compressed.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use slipway_builder::keys::{KeyFolder, Passphrase, Protection};
use slipway_builder::progress::Silent;
use slipway_builder::release::{Addition, Keys, Publisher, ReleaseError, Terms, add};
use slipway_images::release::PATCHES_MAX;

use super::site::{DAY, NOW, Site, files, make_protected_keys};

#[track_caller]
fn refused(site: &Site, more: &[&str], told: &str) {
    let add = ["add", "web_1", "--channel", "stable", "--repo", "repo", "--time", "2026-11-22T16:41:00Z"];
    let (status, text) = site.release(&[&add[..], more].concat());
    assert!(status != Some(0) && text.contains(told), "{text}");
    assert!(!site.path("repo/parts").exists());
}

#[test]
fn a_wrong_passphrase_is_found_before_anything_is_made() {
    let site = Site::new();
    site.build(1);
    let passphrase = || Passphrase::known("the right one".to_owned());
    make_protected_keys(&site.path("protected"), NOW.after(300 * DAY), &Protection::Passphrase(passphrase()));
    fs::write(site.path("wrong"), "the wrong one\n").unwrap();
    let wrong = ["--keys", "protected", "--passphrase-file", "wrong"];
    refused(&site, &wrong, "can't be opened with this passphrase");

    // Nobody is asked twice for the right one.
    let (asked, folder) = (Cell::new(0), KeyFolder::at(&site.path("protected")));
    let ask = |_: &Path| {
        asked.set(asked.get() + 1);
        Ok(passphrase())
    };
    let keys = Keys { folder: &folder, ask: &ask };
    let publisher = Publisher::begin(site.repo().lock(|| ()).unwrap(), keys, Terms::at(NOW)).unwrap();
    add(publisher, &site.addition(1, "stable"), &Silent).unwrap();
    assert_eq!(asked.get(), 3);
}

#[test]
fn what_patches_start_from_is_looked_at_before_anything_is_made() {
    let site = Site::new();
    site.build(1);
    refused(&site, &["--keys", "keys", "--patch-from", "nowhere"], "nowhere/manifest.json could not be read");
    let other = site.build_of("db_1", 1);
    let other = ["--keys", "keys", "--patch-from", other.to_str().unwrap()];
    refused(&site, &other, "db_1 is another image than web_1");
}

#[test]
fn more_patches_than_a_release_can_have_are_refused_before_any_is_made() {
    let site = Site::new();
    let last = 2 + PATCHES_MAX as u64;
    let folders = (2..=last).map(|version| site.build(version)).collect();
    let addition = Addition { patch_from: folders, ..site.addition(1, "stable") };
    let refused = site.publish(NOW, |publisher| add(publisher, &addition, &Silent)).unwrap_err();
    assert!(matches!(refused, ReleaseError::TooManyPatches { count: 65, .. }), "{refused}");
    assert!(files(&site.path("repo")).is_empty());
}

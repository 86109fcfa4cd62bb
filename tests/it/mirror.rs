//! Archives that aren't what they should be. None of their packages gets as far as a lock.

use std::fs;
use std::path::Path;

use slipway_builder::lock::Lock;
use slipway_builder::recipe::Recipe;
use slipway_tests::archive::{Archive, PACKAGES, RELEASE, Signer};
use slipway_tests::image::minimal;
use slipway_tests::program::{Outcome, lock, slipway};
use slipway_tests::server::Served;
use slipway_tests::workplace::{cache_of_downloads, recipe_and_lock, scratch};

/// Locks `recipe`, which must end with 6, say `words` and leave no lock.
fn is_distrusted(cache: &Path, recipe: &Path, words: &[&str]) {
    let _ = Outcome::of(&mut lock(cache, recipe)).refused(6, words);
    assert!(!recipe.with_extension("lock").exists(), "there is a lock of it");
}

#[test]
fn an_archive_that_is_right_is_locked_as_the_distributions_is() {
    let place = scratch("archive");
    let recipe = Archive::with("").recipe(&place.join("recipes"), "");
    let cache = cache_of_downloads(&place.join("cache"));
    let _ = Outcome::of(&mut lock(cache.root(), &recipe)).succeeded();
    let locked = Lock::load(&Recipe::load(&recipe).unwrap()).unwrap();
    let (_, debian) = recipe_and_lock(&minimal().recipe);
    let named = |lock: &Lock| lock.packages.iter().map(|package| (package.name.clone(), package.sha256)).collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = (named(&locked), named(&debian));
    assert_eq!(ours, theirs);
    let text = fs::read_to_string(recipe.with_extension("lock")).unwrap();
    assert!(!text.contains("127.0.0.1"), "a host is named: {text}");
}

#[test]
fn an_index_with_a_flipped_bit_is_refused() {
    let place = scratch("index-flipped");
    let archive = Archive::with("");
    let recipe = archive.recipe(&place.join("recipes"), "");
    archive.server.flip_bit(RELEASE);
    is_distrusted(&place.join("cache"), &recipe, &["InRelease is not trusted"]);
}

#[test]
fn a_list_of_packages_with_a_flipped_bit_is_refused() {
    let place = scratch("list-flipped");
    let archive = Archive::with("");
    let recipe = archive.recipe(&place.join("recipes"), "");
    archive.server.flip_bit(PACKAGES);
    is_distrusted(&place.join("cache"), &recipe, &["binary-amd64/Packages", "SHA-256"]);
}

#[test]
fn an_index_signed_by_another_key_is_refused() {
    let place = scratch("other-key");
    let recipe = Archive::with("").recipe_with_key(&place.join("recipes"), "", &Signer::new().certificate());
    is_distrusted(&place.join("cache"), &recipe, &["InRelease is not trusted", "key"]);
}

#[test]
fn a_mirror_of_debian_that_another_key_signs_is_refused() {
    let place = scratch("false-debian");
    let archive = Archive::with("");
    let folder = place.join("recipes");
    let recipe = archive.recipe(&folder, "");
    // The shared recipe again, whose suites are Debian's.
    let text = fs::read_to_string(&minimal().recipe).unwrap();
    fs::write(&recipe, text).unwrap();
    let release = archive.server.served(RELEASE);
    archive.server.put("/debian/dists/trixie/InRelease", Served::Bytes(release));
    let mut command = lock(&place.join("cache"), &recipe);
    let _ = Outcome::of(command.env("SLIPWAY_MIRROR", archive.server.url("/debian")))
        .refused(6, &["trixie/InRelease is not trusted"]);
    assert!(!recipe.with_extension("lock").exists());
}

#[test]
fn a_signature_that_expired_is_refused() {
    let place = scratch("expired-signature");
    let archive = Archive::with("").signed_with(&["--default-sig-expire", "7d"]);
    let recipe = archive.recipe(&place.join("recipes"), "");
    is_distrusted(&place.join("cache"), &recipe, &["InRelease is not trusted", "expired on 2025-01-08"]);
}

#[test]
fn an_index_that_is_no_longer_valid_is_refused() {
    let place = scratch("expired-index");
    let archive = Archive::with("").with_fields("Valid-Until: Wed, 08 Jan 2025 00:00:00 UTC\n");
    let recipe = archive.recipe(&place.join("recipes"), "");
    is_distrusted(&place.join("cache"), &recipe, &["valid until 2025-01-08"]);
}

#[test]
fn a_mirror_that_is_not_there_is_unreachable() {
    let place = scratch("no-mirror");
    let recipe = Archive::with("").recipe(&place.join("recipes"), "");
    let text = fs::read_to_string(&recipe).unwrap();
    let (before, rest) = text.split_once("url = \"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    fs::write(&recipe, format!("{before}url = \"http://127.0.0.1:9\"{after}")).unwrap();
    let _ = Outcome::of(&mut lock(&place.join("cache"), &recipe)).refused(9, &["127.0.0.1:9"]);
    let none = Outcome::of(slipway().args(["--json", "build"]).arg(&recipe));
    let _ = none.refused(4, &["slipway lock"]);
}

//! With a full cache there is no need of a network.

use std::process::Command;

use slipway_tests::image::{assert_same_outputs, folder_of, minimal};
use slipway_tests::program::{Outcome, build};
use slipway_tests::user::is_root;
use slipway_tests::workplace::{cache_of_downloads, scratch};

/// Nothing listens there: whoever connects is refused at once.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn a_build_with_a_full_cache_asks_no_mirror() {
    let place = scratch("offline");
    let out = place.join("out");
    let built = Outcome::of(build(&out, &minimal().recipe).env("SLIPWAY_MIRROR", NOWHERE)).succeeded();
    assert_eq!(built.json()["unchanged"], false);
    assert!(!built.stderr.contains(r#""phase":"fetch""#), "{built}");
    assert_same_outputs(&minimal().folder, &folder_of(&built));
}

#[test]
fn a_build_needs_no_network_at_all() {
    let out = scratch("no-network").join("out");
    let command = build(&out, &minimal().recipe);
    let mut cut_off = Command::new("unshare");
    cut_off.args(if is_root() { ["--net"].as_slice() } else { &["--map-root-user", "--net"] });
    cut_off.arg(command.get_program()).args(command.get_args());
    let told = Outcome::of(&mut cut_off);
    if told.stderr.contains("unshare failed") {
        println!("SKIPPED: this machine lets nobody leave its network: {told}");
        return;
    }
    assert_same_outputs(&minimal().folder, &folder_of(&told.succeeded()));
}

#[test]
fn a_package_that_is_not_in_the_cache_and_cannot_be_fetched_is_named() {
    let place = scratch("offline-missing");
    let cache = cache_of_downloads(&place.join("cache"));
    let (_, lock) = slipway_tests::workplace::recipe_and_lock(&minimal().recipe);
    let missing = lock.packages.iter().find(|package| package.name == "bash").expect("every host has bash");
    cache.remove(&missing.sha256).unwrap();
    let out = place.join("out");
    let mut command = build(&out, &minimal().recipe);
    command.env("SLIPWAY_MIRROR", NOWHERE).env("SLIPWAY_CACHE", cache.root());
    let outcome = Outcome::of(&mut command);
    let _ = outcome.refused(9, &[&missing.path, "127.0.0.1:9"]);
    assert!(!out.join("minimal_1").exists(), "half an image");
}

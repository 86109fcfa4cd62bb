//! Images that a build won't make: it says why, ends with 7 or 10, and leaves nothing that looks like a build.

use std::fs;
use std::path::Path;
use std::process::Command;

use slipway_tests::archive::Archive;
use slipway_tests::image::minimal;
use slipway_tests::program::{Outcome, build, lock, oracle, slipway};
use slipway_tests::workplace::{cache_of_downloads, recipe_replacing, scratch};

/// Neither an image below `out`, nor a build in its store.
fn nothing_was_built(out: &Path) {
    assert!(!out.join("minimal_1").exists(), "an image is there");
    let log = Outcome::of(slipway().args(["--json", "--out"]).arg(out).arg("log"));
    assert!(!log.stdout.contains("minimal"), "the store lists a build: {log}");
}

/// Builds the shared recipe with `old` replaced by `new`, which must be refused with `words`.
fn is_refused(name: &str, old: &str, new: &str, words: &[&str]) {
    let place = scratch(name);
    let recipe = recipe_replacing(&place.join("recipes"), old, new);
    let out = place.join("out");
    let _ = Outcome::of(&mut build(&out, &recipe)).refused(7, words);
    nothing_was_built(&out);
}

#[test]
fn a_root_larger_than_its_slot_is_refused_before_it_is_written() {
    let words = ["the image doesn't fit", "`[disk]`", "root takes", "slot of 67108864 bytes"];
    is_refused("slot", "slot = \"512M\"", "slot = \"64M\"", &words);
    assert!(!scratch_out("slot").join("store").exists(), "the store was made for it");
}

fn scratch_out(name: &str) -> std::path::PathBuf {
    slipway_tests::program::workspace().join("out/e2e").join(name).join("out")
}

#[test]
fn a_library_that_is_missing_is_named_with_who_needs_it() {
    let old = "drop = [\"/usr/lib/pam.d";
    let new = "drop = [\"/usr/lib/x86_64-linux-gnu/libmount.so.1*\", \"/usr/lib/pam.d";
    is_refused("library", old, new, &["libmount.so.1", "/usr/bin/mount"]);
}

#[test]
fn a_unit_that_is_not_there_is_named() {
    let (old, new) = ("mask = [\"systemd-logind.service\"]", "enable = [\"systemd-netwrokd.service\"]");
    is_refused("unit", old, new, &["systemd-netwrokd.service", "systemd-networkd.service"]);
}

#[test]
fn a_script_that_nobody_read_is_refused_by_name() {
    let place = scratch("script");
    let recipes = place.join("recipes");
    let archive = Archive::with("");
    let recipe = archive.recipe(&recipes, "\n[packages]\ndebs = [\"odd_1_all.deb\"]\n");
    let tree = place.join("odd/DEBIAN");
    fs::create_dir_all(&tree).unwrap();
    let fields = "Package: odd\nVersion: 1\nArchitecture: all\nMaintainer: N <n@example.org>\nDescription: odd\n";
    fs::write(tree.join("control"), fields).unwrap();
    fs::write(tree.join("postinst"), "#!/bin/sh\nset -e\nmake-me-root --at-once\n").unwrap();
    fs::set_permissions(tree.join("postinst"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let _ =
        oracle("dpkg-deb", &[&"--root-owner-group", &"--build", &place.join("odd"), &recipes.join("odd_1_all.deb")]);
    let cache = cache_of_downloads(&place.join("cache"));
    let _ = Outcome::of(&mut lock(cache.root(), &recipe)).succeeded();
    let out = place.join("out");
    let built = Outcome::of(build(&out, &recipe).env("SLIPWAY_CACHE", cache.root()));
    let _ = built.refused(7, &["odd", "postinst", "make-me-root"]);
    nothing_was_built(&out);
}

#[test]
fn a_component_that_is_missing_is_named() {
    let place = scratch("component");
    let empty = place.join("empty");
    fs::create_dir(&empty).unwrap();
    let out = place.join("out");
    let mut command: Command = build(&out, &minimal().recipe);
    let _ = Outcome::of(command.env("SLIPWAY_COMPONENTS", &empty)).refused(10, &["slipway-agent", "--components"]);
    nothing_was_built(&out);
}

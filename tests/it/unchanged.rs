//! What didn't change is not done again, and what did is named.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use slipway_builder::build::REPRODUCIBLE;
use slipway_tests::image::minimal;
use slipway_tests::program::{Outcome, build, slipway};
use slipway_tests::workplace::{recipe_with, scratch};

/// Seconds that a build with nothing to do may take here. The budget is 0.3 s, which the benchmark holds it to; a test
/// shares its machine with others.
const QUICK: u64 = 3;

#[test]
fn a_second_build_of_the_same_says_so_and_touches_nothing() {
    let image = minimal();
    let stamps = || {
        REPRODUCIBLE.map(|name| {
            let meta = fs::metadata(image.path(name)).unwrap();
            (meta.ino(), meta.mtime(), meta.mtime_nsec())
        })
    };
    let before = stamps();
    let built = Outcome::of(&mut build(&image.out, &image.recipe)).succeeded().json();
    assert_eq!(built["unchanged"], true);
    assert!(built["milliseconds"].as_u64().unwrap() < QUICK * 1000, "{built}");
    assert_eq!(stamps(), before);
    let told = Outcome::of(slipway().arg("--out").arg(&image.out).arg("build").arg(&image.recipe)).succeeded();
    assert!(told.stdout.contains("up to date"), "{told}");
}

#[test]
fn an_output_that_was_touched_is_made_again() {
    let place = scratch("touched");
    let out = place.join("out");
    let image = minimal();
    let first = Outcome::of(&mut build(&out, &image.recipe)).succeeded();
    let folder = slipway_tests::image::folder_of(&first);
    fs::write(folder.join("manifest.json"), b"{}").unwrap();
    let second = Outcome::of(&mut build(&out, &image.recipe)).succeeded();
    assert_eq!(second.json()["unchanged"], false);
    slipway_tests::image::assert_same_outputs(&image.folder, &folder);
}

#[test]
fn one_changed_file_is_all_that_diff_names() {
    let place = scratch("changed");
    let out = place.join("out");
    let file = |text: &str| format!("\n[[file]]\npath = \"/etc/slipway-e2e\"\ncontent = \"{text}\"\n");
    let commits = ["first", "second"].map(|text| {
        let recipe = recipe_with(&place.join(text), &file(text));
        Outcome::of(&mut build(&out, &recipe)).succeeded().json()["commit"].as_str().unwrap().to_owned()
    });
    let diff = Outcome::of(slipway().args(["--json", "--out"]).arg(&out).arg("diff").args(&commits)).succeeded().json();
    assert_eq!(diff["packages"], Value::Array(Vec::new()));
    let names: Vec<_> = diff["files"].as_array().unwrap().iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["/etc/slipway-e2e"]);
}

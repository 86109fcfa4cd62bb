//! Two builds at once.

use std::process::Stdio;

use slipway_tests::image::{assert_same_outputs, folder_of, minimal};
use slipway_tests::program::{Outcome, build};
use slipway_tests::workplace::{cache_of_downloads, recipe_replacing, scratch};

/// Starts all at once, and waits for all.
fn at_once(commands: Vec<std::process::Command>) -> Vec<Outcome> {
    let start = |mut command: std::process::Command| {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        (format!("{command:?}"), command.spawn().unwrap())
    };
    let running: Vec<_> = commands.into_iter().map(start).collect();
    let end =
        |(line, child): (String, std::process::Child)| Outcome::from_output(line, child.wait_with_output().unwrap());
    // Their outputs are shorter than a pipe holds.
    running.into_iter().map(end).collect()
}

#[test]
fn two_builds_of_one_image_make_it_once() {
    let place = scratch("together");
    let (out, cache) = (place.join("out"), cache_of_downloads(&place.join("cache")));
    let command = || {
        let mut command = build(&out, &minimal().recipe);
        command.env("SLIPWAY_CACHE", cache.root());
        command
    };
    let built: Vec<_> = at_once(vec![command(), command()]).into_iter().map(Outcome::succeeded).collect();
    let mut unchanged: Vec<_> = built.iter().map(|built| built.json()["unchanged"].as_bool().unwrap()).collect();
    unchanged.sort_unstable();
    assert_eq!(unchanged, [false, true], "{}{}", built[0], built[1]);
    assert!(built.iter().any(|built| built.stderr.contains("another build of this image is running")));
    assert_same_outputs(&minimal().folder, &folder_of(&built[0]));
}

#[test]
fn two_builds_of_different_images_share_cache_and_store() {
    let place = scratch("side-by-side");
    let (out, cache) = (place.join("out"), cache_of_downloads(&place.join("cache")));
    let other = recipe_replacing(&place.join("recipes"), "id = \"minimal\"", "id = \"other\"");
    let command = |recipe| {
        let mut command = build(&out, recipe);
        command.env("SLIPWAY_CACHE", cache.root());
        command
    };
    let built = at_once(vec![command(&minimal().recipe), command(&other)]);
    for built in built {
        let _ = built.succeeded();
    }
    assert_same_outputs(&minimal().folder, &out.join("minimal_1"));
    let store = format!("--repo={}", out.join("store").display());
    let _ = slipway_tests::program::oracle("ostree", &[&"fsck", &store]);
    let refs = slipway_tests::program::oracle("ostree", &[&"refs", &store]).stdout;
    assert!(refs.contains("image/minimal/1") && refs.contains("image/other/1"), "{refs}");
}

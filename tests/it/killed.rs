//! Builds that are killed. Whoever looks finds the build before or the build after, whole; the next build takes no harm.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use slipway_builder::fetch::Cache;
use slipway_tests::image::{are_same_outputs, assert_same_outputs, folder_of, minimal};
use slipway_tests::program::{Outcome, build, oracle};
use slipway_tests::workplace::{cache_of_downloads, names_in, recipe_with, scratch};

/// Moments of one build, spread evenly over it.
const MOMENTS: u32 = 12;

#[test]
fn a_build_killed_at_any_moment_leaves_the_old_image_or_the_new_one() {
    let place = scratch("killed");
    let (out, cache) = (place.join("out"), cache_of_downloads(&place.join("cache")));
    let changed = recipe_with(&place.join("recipes"), "\n[[file]]\npath = \"/etc/motd\"\ncontent = \"changed\\n\"\n");
    let command = |recipe: &Path, out: &Path| {
        let mut command = build(out, recipe);
        command.env("SLIPWAY_CACHE", cache.root());
        command
    };
    // Both images, whole, and how long one takes with nothing unpacked.
    let start = Instant::now();
    let other = folder_of(&Outcome::of(&mut command(&changed, &place.join("whole"))).succeeded());
    let mut whole = start.elapsed();
    let images = [(&minimal().recipe, &minimal().folder), (&changed, &other)];
    assert!(!are_same_outputs(images[0].1, images[1].1), "the images don't differ");

    let _ = Outcome::of(&mut command(images[0].0, &out)).succeeded();
    let mut killed = 0;
    for moment in 0..MOMENTS {
        let [(_, before), (recipe, after)] = if moment % 2 == 0 { images } else { [images[1], images[0]] };
        forget_unpacked(&cache);
        let mut child = command(recipe, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        let end = whole.mul_f64((f64::from(moment) + 0.5) / f64::from(MOMENTS));
        let mut is_running = true;
        while is_running && start.elapsed() < end {
            thread::sleep(Duration::from_millis(5));
            is_running = child.try_wait().unwrap().is_none();
        }
        killed += u32::from(is_running);
        if !is_running {
            // The machine has become quicker since it was measured.
            whole = start.elapsed();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let found = out.join("minimal_1");
        assert!(
            are_same_outputs(&found, before) || are_same_outputs(&found, after),
            "killed in moment {moment} of {MOMENTS}: neither the old image nor the new one"
        );
        let next = Outcome::of(&mut command(recipe, &out)).succeeded();
        assert_same_outputs(after, &folder_of(&next));
        let left: Vec<_> = names_in(&out).into_iter().filter(|name| name.contains("partial")).collect();
        assert_eq!(left, [""; 0], "what the killed build left is still there");
    }
    println!("{killed} of {MOMENTS} builds were killed before their end, of {whole:?} each");
    assert!(killed >= MOMENTS / 4, "only {killed} were killed before their end");
    let _ = oracle("ostree", &[&"fsck", &format!("--repo={}", out.join("store").display())]);
}

/// What was unpacked goes, so that a build has all of its way to be killed on.
fn forget_unpacked(cache: &Cache) {
    for made in ["unpacked", "initrd"] {
        match fs::remove_dir_all(cache.root().join(made)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{made}: {error}"),
            _ => {}
        }
    }
}

/// A mirror that sends half of each package and then is killed with its reader: what came stays, and is gone on with.
#[test]
fn a_fetch_that_is_killed_is_gone_on_with() {
    let place = scratch("killed-fetch");
    let (_, lock) = slipway_tests::workplace::recipe_and_lock(&minimal().recipe);
    let server = slipway_tests::server::Server::of_packages(&lock, &Cache::of_user().unwrap());
    let cache = Cache::open(&place.join("cache")).unwrap();
    let command = || {
        let mut command = build(&place.join("out"), &minimal().recipe);
        command.env("SLIPWAY_CACHE", cache.root()).env("SLIPWAY_MIRROR", server.url("/debian"));
        command
    };
    let mut child = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while server.asked().len() < lock.packages.len() / 2 {
        assert!(Instant::now() < deadline, "it asks for nothing");
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.join("out/minimal_1").exists());
    let asked = server.asked().len();
    let built = Outcome::of(&mut command()).succeeded();
    assert_same_outputs(&minimal().folder, &folder_of(&built));
    assert!(server.asked().len() < asked + lock.packages.len(), "all was fetched again");
}

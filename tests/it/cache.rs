//! Packages that are damaged in the cache: found, named, dropped, and fetched again where that can be done.

use std::fs;
use std::path::PathBuf;

use slipway_builder::deb::UnpackedCache;
use slipway_builder::fetch::Cache;
use slipway_builder::lock::LockedPackage;
use slipway_tests::image::{assert_same_outputs, folder_of, minimal};
use slipway_tests::program::{Outcome, build};
use slipway_tests::server::Server;
use slipway_tests::workplace::{cache_of_downloads, cut_in_half, flip_bit, recipe_and_lock, scratch};

const NOWHERE: &str = "http://127.0.0.1:9/debian";

/// A cache of downloads, of which the one of bash can be spoilt.
struct Case {
    place: PathBuf,
    cache: Cache,
    bash: LockedPackage,
    server: Server,
}

impl Case {
    fn new(name: &str) -> Self {
        let place = scratch(name);
        let (_, lock) = recipe_and_lock(&minimal().recipe);
        let server = Server::of_packages(&lock, &Cache::of_user().unwrap());
        let bash = lock.packages.into_iter().find(|package| package.name == "bash").expect("every host has bash");
        Self { cache: cache_of_downloads(&place.join("cache")), place, bash, server }
    }

    fn blob(&self) -> PathBuf {
        self.cache.path_of(&self.bash.sha256)
    }

    fn build(&self, mirror: &str) -> Outcome {
        let mut command = build(&self.out(), &minimal().recipe);
        Outcome::of(command.env("SLIPWAY_CACHE", self.cache.root()).env("SLIPWAY_MIRROR", mirror))
    }

    fn out(&self) -> PathBuf {
        self.place.join("out")
    }

    /// The build finds the damage, fetches bash and nothing else, and gives what it would have given.
    fn is_mended(&self, note: &str) {
        let built = self.build(&self.server.url("/debian")).succeeded();
        assert!(built.stderr.contains(note), "`{note}` is not said: {built}");
        assert_eq!(self.server.asked(), [format!("/{}/{}", self.bash.repository, self.bash.path)]);
        assert!(self.cache.verify(&self.bash.sha256).unwrap());
        assert_same_outputs(&minimal().folder, &folder_of(&built));
    }
}

#[test]
fn a_package_with_a_flipped_bit_is_dropped_and_fetched_again() {
    let case = Case::new("flipped");
    flip_bit(&case.blob());
    case.is_mended(&format!("bash {} in the cache is damaged", case.bash.version));
}

#[test]
fn a_truncated_package_is_fetched_again() {
    let case = Case::new("truncated");
    cut_in_half(&case.blob());
    case.is_mended("");
}

#[test]
fn a_damaged_package_that_cannot_be_fetched_again_is_named_and_gone() {
    let case = Case::new("flipped-offline");
    flip_bit(&case.blob());
    let words = ["bash", "damaged", "dropped", "127.0.0.1:9"];
    let _ = case.build(NOWHERE).refused(9, &words);
    assert!(!case.blob().exists(), "it may be taken for good again");
    assert!(!case.out().join("minimal_1").exists());
}

#[test]
fn a_mirror_that_sends_another_package_is_not_believed() {
    let case = Case::new("flipped-mirror");
    case.cache.remove(&case.bash.sha256).unwrap();
    case.server.flip_bit(&format!("/{}/{}", case.bash.repository, case.bash.path));
    let _ = case.build(&case.server.url("/debian")).refused(6, &["bash", &case.bash.sha256.to_hex()]);
    assert!(!case.blob().exists());
    assert!(!case.out().join("minimal_1").exists());
}

#[test]
fn a_damaged_unpacked_copy_is_never_built_in() {
    let case = Case::new("unpacked");
    let _ = case.build(NOWHERE).succeeded();
    let copy = UnpackedCache::open(case.cache.root()).unwrap().path_of(case.bash.sha256);
    flip_bit(&copy);
    fs::remove_dir_all(case.out()).unwrap();
    let built = case.build(NOWHERE).succeeded();
    assert!(built.stderr.contains("is unpacked again"), "{built}");
    assert_same_outputs(&minimal().folder, &folder_of(&built));
    // While the copy is whole, the package isn't read; the copy is what goes into the image.
    flip_bit(&case.blob());
    fs::remove_dir_all(case.out()).unwrap();
    assert_same_outputs(&minimal().folder, &folder_of(&case.build(NOWHERE).succeeded()));
}

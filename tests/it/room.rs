//! Nowhere to write: disks that are full, limits, folders that belong to others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use slipway_tests::image::{assert_same_outputs, folder_of, minimal};
use slipway_tests::program::{Outcome, binaries, build};
use slipway_tests::user::{as_nobody, command, copy_programs, is_root};
use slipway_tests::workplace::{names_in, scratch};

/// Mounts an empty file system of `$0` bytes at `$1`, runs the rest there, and tells what is left.
const ON_SMALL_DISK: &str = r#"mount -t tmpfs -o size="$0" none "$1" || exit 77
out=$1; shift
"$@"; code=$?
echo "left: $(ls "$out" | tr '\n' ' ')"
exit $code"#;

/// A build with `out` on a file system of `size` bytes, in a mount namespace that goes with it.
fn on_small_disk(out: &Path, size: u64) -> Outcome {
    let mut command = Command::new("unshare");
    command.arg(if is_root() { "--mount" } else { "--map-root-user" }).arg("--mount");
    command.args(["sh", "-c", ON_SMALL_DISK]).arg(size.to_string()).arg(out);
    command.arg(binaries().join("slipway")).args(["--json", "--out"]).arg(out).arg("build").arg(&minimal().recipe);
    Outcome::of(&mut command)
}

/// Full in turn: before the store is made, in the store or the root, in the kernel image or the disk.
#[test]
fn a_disk_that_is_full_ends_the_build_with_a_word_and_without_an_image() {
    let out = scratch("full-disk");
    for size in [64 << 10, 30 << 20, 100 << 20, 150 << 20, 200 << 20] {
        let told = on_small_disk(&out, size);
        if told.code == Some(77) || told.stderr.contains("unshare failed") {
            println!("SKIPPED: this machine lets nobody mount a small file system: {told}");
            return;
        }
        assert!(!told.stdout.contains("minimal_1"), "half an image with {size} bytes: {told}");
        let _ = told.refused(1, &["No space left on device"]);
    }
}

/// The same by a limit on the size of files, which needs no right: it hits the root, after that the disk.
#[test]
fn a_limit_on_the_size_of_files_ends_the_build_in_the_same_way() {
    let place = scratch("file-limit");
    let out = place.join("out");
    for blocks in ["20000", "200000"] {
        // A program that ignores the signal gets an error instead, and children inherit that.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", blocks]);
        command.arg(binaries().join("slipway")).args(["--json", "--out"]).arg(&out).arg("build").arg(&minimal().recipe);
        let told = Outcome::of(&mut command).refused(1, &["can't"]);
        assert!(told.stderr.contains("File too large"), "{told}");
        let hidden = |name: &String| name.starts_with('.') || name == "store";
        assert!(names_in(&out).iter().all(hidden), "{:?}", names_in(&out));
    }
    let built = Outcome::of(&mut build(&out, &minimal().recipe)).succeeded();
    assert_same_outputs(&minimal().folder, &folder_of(&built));
}

#[test]
fn a_full_disk_under_the_cache_is_said() {
    let place = scratch("full-cache");
    let cache = place.join("cache");
    fs::create_dir(&cache).unwrap();
    let mut command = Command::new("unshare");
    command.arg(if is_root() { "--mount" } else { "--map-root-user" }).arg("--mount");
    command.args(["sh", "-c", ON_SMALL_DISK, "8m"]).arg(&cache).arg(binaries().join("slipway"));
    command.args(["--json", "--out"]).arg(place.join("out")).arg("build").arg(&minimal().recipe);
    let (_, lock) = slipway_tests::workplace::recipe_and_lock(&minimal().recipe);
    let user = slipway_builder::fetch::Cache::of_user().unwrap();
    let server = slipway_tests::server::Server::of_packages(&lock, &user);
    let told = Outcome::of(command.env("SLIPWAY_CACHE", &cache).env("SLIPWAY_MIRROR", server.url("/debian")));
    if told.code == Some(77) || told.stderr.contains("unshare failed") {
        println!("SKIPPED: this machine lets nobody mount a small file system: {told}");
        return;
    }
    let _ = told.refused(1, &["the disk with the cache", "is full"]);
    assert!(!place.join("out/minimal_1").exists());
}

#[test]
fn an_output_folder_that_belongs_to_another_is_named() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| place.path().join(name);
    copy_programs(&at("bin"));
    slipway_tests::workplace::copy_folder(minimal().recipe.parent().unwrap(), &at("recipes"));
    let recipe = at("recipes").join(minimal().recipe.file_name().unwrap());
    for folder in ["out", "cache"] {
        fs::create_dir(at(folder)).unwrap();
    }
    slipway_tests::user::give_to_nobody(&at("cache"));
    fs::set_permissions(at("out"), fs::Permissions::from_mode(0o555)).unwrap();
    let mut words = as_nobody();
    words.push(at("bin/slipway").display().to_string());
    let mut command = command(&words);
    command.args(["--json", "--out"]).arg(at("out")).arg("build").arg(&recipe).env("SLIPWAY_CACHE", at("cache"));
    let _ = Outcome::of(&mut command).refused(1, &[&at("out").display().to_string(), "Permission denied"]);
    assert_eq!(names_in(&at("out")), [""; 0]);
    // As the last part of a path that is still to be made, too.
    let mut command = slipway_tests::user::command(&words);
    command.args(["--json", "--out"]).arg(at("out/deeper")).arg("build").arg(&recipe);
    let told = Outcome::of(command.env("SLIPWAY_CACHE", at("cache")));
    let _ = told.refused(1, &["can't make the output folder", "Permission denied"]);
}

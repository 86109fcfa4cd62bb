//! The same recipe and lock give the same bytes, whoever builds, wherever, whenever and however.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use slipway_tests::image::{assert_same_outputs, folder_of, minimal};
use slipway_tests::program::{Outcome, oracle, workspace};
use slipway_tests::user::{as_nobody, copy_programs, give_to_nobody, is_nobodys, is_root};
use slipway_tests::workplace::{cache_of_downloads, open_to_all, recipe_with};

/// What is other in the second build: folders of recipe, cache, outputs and programs; an empty cache of unpacked packages
/// (the downloads are there); umask; time zone; locale (by name: it need not be installed); home; one core of the
/// machine's; the time of day, 400 days later (by a preloaded library; times of files remain the kernel's); ages of the
/// recipe's files; and the user, when the test runs as root.
#[test]
fn a_build_by_another_user_at_another_place_and_time_gives_the_same_bytes() {
    let first = minimal();
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let recipe = recipe_with(&at("other recipes"), "");
    for path in [&recipe, &recipe.with_extension("lock")] {
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    cache_of_downloads(&at("cache"));
    copy_programs(&at("bin"));
    fs::create_dir(at("out")).unwrap();
    let clock = at("bin/other_time.so");
    let source = workspace().join("tests/fixtures/other_time.c");
    let _ = oracle("cc", &[&"-shared", &"-fPIC", &"-O1", &"-o", &clock, &source]);
    let year = oracle_under(&clock, "date", "+%s");
    let now = oracle("date", &[&"+%s"]).stdout.trim().parse::<u64>().unwrap();
    assert!(year > now + 300 * 86400, "the preloaded clock doesn't work: {year} against {now}");

    if !is_root() {
        println!("not root: the second build runs as the same user");
    }
    open_to_all(place.path());
    give_to_nobody(&at("cache"));
    give_to_nobody(&at("out"));
    let mut command = Command::new("sh");
    command.arg("-c").arg("umask 077; exec \"$@\"").arg("sh");
    command.args(as_nobody()).args(["taskset", "-c", "0"]).arg(at("bin/slipway"));
    command.args(["--json", "--out"]).arg(at("out")).arg("build").arg(&recipe);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TZ", "Pacific/Kiritimati").env("LC_ALL", "tr_TR.UTF-8").env("HOME", "/nonexistent");
    command.env("SLIPWAY_CACHE", at("cache")).env("SLIPWAY_MIRROR", "http://127.0.0.1:9");
    command.env("LD_PRELOAD", &clock).current_dir("/");
    let built = Outcome::of(&mut command).succeeded();
    assert_eq!(built.json()["unchanged"], false, "{built}");
    let folder = folder_of(&built);
    let made = fs::metadata(folder.join("root.erofs")).unwrap();
    assert_eq!(made.permissions().mode() & 0o077, 0, "the umask was 077");
    assert!(is_nobodys(&folder.join("root.erofs")), "the user was another");
    assert_same_outputs(&first.folder, &folder);
}

fn oracle_under(clock: &Path, program: &str, argument: &str) -> u64 {
    let told = Outcome::of(Command::new(program).arg(argument).env("LD_PRELOAD", clock)).succeeded();
    told.stdout.trim().parse().unwrap()
}

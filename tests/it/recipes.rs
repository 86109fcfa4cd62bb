//! Recipes and locks that are wrong: what is said, and with which status.

use std::fs;

use slipway_tests::archive::Archive;
use slipway_tests::image::minimal;
use slipway_tests::program::{Outcome, build, lock, slipway};
use slipway_tests::workplace::{names_in, recipe_replacing, recipe_with, scratch};

/// Builds the shared recipe with `more` at its end, which must end with `code` and say `words`.
fn is_refused(name: &str, more: &str, code: i32, words: &[&str]) {
    let place = scratch(name);
    let recipe = recipe_with(&place.join("recipes"), more);
    let out = place.join("out");
    let _ = Outcome::of(&mut build(&out, &recipe)).refused(code, words);
    assert_eq!(names_in(&out), [""; 0], "something was written");
}

#[test]
fn a_recipe_that_is_no_toml_is_refused_at_its_line() {
    is_refused("broken-toml", "\n[kernel\n", 3, &["minimal.toml"]);
    let recipe = scratch("broken-toml-text").join("broken.toml");
    fs::write(&recipe, "[image]\nid = \"x\nversion = \"1\"\n").unwrap();
    let told = Outcome::of(slipway().arg("build").arg(&recipe));
    assert_eq!(told.code, Some(3), "{told}");
    assert!(told.stderr.contains("broken.toml:2:"), "{told}");
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    is_refused(
        "unknown-key",
        "\n[archive]\ncomponent = [\"main\"]\n",
        3,
        &["`component`", "did you mean `components`?"],
    );
    is_refused("unknown-section", "\n[kernal]\n", 3, &["`kernal`", "did you mean `kernel`?"]);
}

#[test]
fn an_esp_without_room_for_an_update_is_refused() {
    let place = scratch("small-esp");
    let recipe = recipe_replacing(&place.join("recipes"), "esp = \"256M\"", "esp = \"36M\"");
    let _ = Outcome::of(&mut build(&place.join("out"), &recipe)).refused(3, &["`disk.esp` is too small", "64M"]);
}

#[test]
fn without_a_lock_a_build_says_how_to_make_one() {
    let place = scratch("no-lock");
    let recipe = recipe_with(&place.join("recipes"), "");
    fs::remove_file(recipe.with_extension("lock")).unwrap();
    let out = place.join("out");
    let told = Outcome::of(&mut build(&out, &recipe));
    let _ = told.refused(4, &["there is no lock", &format!("slipway lock {}", recipe.display())]);
    assert_eq!(names_in(&out), [""; 0]);
}

#[test]
fn a_lock_of_another_recipe_is_refused_with_what_differs() {
    let more = "\n[packages]\nadd = [\"nftables\"]\n";
    is_refused("other-lock", more, 4, &["does not match the recipe", "it lacks `nftables`", "slipway lock"]);
}

#[test]
fn a_lock_that_cannot_be_read_is_refused() {
    let whole = fs::read_to_string(recipe_with(&scratch("lock-whole"), "").with_extension("lock")).unwrap();
    let of_the_future = whole.replacen("lock-version = 1\n", "lock-version = 99\n", 1);
    assert_ne!(of_the_future, whole);
    for (name, text, line) in [
        ("lock-no-toml", "lock-version = ", 1),
        ("lock-of-the-future", &of_the_future, 3),
        ("lock-cut", &whole[..whole.len() / 2], 0),
    ] {
        let place = scratch(name);
        let recipe = recipe_with(&place.join("recipes"), "");
        fs::write(recipe.with_extension("lock"), text).unwrap();
        let told = Outcome::of(&mut build(&place.join("out"), &recipe))
            .refused(4, &["minimal.lock", "is wrong", "restore the file"]);
        let line = if line == 0 { text.lines().count() } else { line };
        assert!(told.stderr.contains(&format!("\"line\":{line},")), "{told}");
    }
}

#[test]
fn an_unknown_package_is_named_with_one_that_is_nearly_called_so() {
    let place = scratch("unknown-package");
    let recipe = Archive::with("").recipe(&place.join("recipes"), "\n[packages]\nadd = [\"bsh\"]\n");
    let told = Outcome::of(&mut lock(&place.join("cache"), &recipe));
    let _ = told.refused(5, &["there is no package `bsh`", "`bash`"]);
    assert!(!recipe.with_extension("lock").exists());
}

#[test]
fn a_set_of_packages_that_cannot_be_is_explained() {
    let place = scratch("unsatisfiable");
    let archive = Archive::with(
        "Package: hostile\nVersion: 1\nArchitecture: amd64\nConflicts: bash\n\n\
         Package: wanting\nVersion: 1\nArchitecture: amd64\nDepends: libghost1 (>= 2)\n",
    );
    let told = |name: &str, add: &str| {
        let recipe = archive.recipe(&place.join(name), &format!("\n[packages]\nadd = [\"{add}\"]\n"));
        Outcome::of(&mut lock(&place.join("cache"), &recipe))
    };
    let _ = told("conflict", "hostile").refused(5, &["hostile", "conflicts with", "bash"]);
    let _ = told("nowhere", "wanting").refused(5, &["wanting", "libghost1 (>= 2)"]);
}

#[test]
fn a_recipe_is_not_touched_by_what_others_do_to_theirs() {
    // The tests above work on copies: the shared recipe still has its lock, and it matches.
    let _ = Outcome::of(slipway().args(["--json", "lock", "--check"]).arg(&minimal().recipe)).succeeded();
    let place = scratch("renamed");
    let recipe = recipe_replacing(&place.join("recipes"), "id = \"minimal\"", "id = \"other\"");
    let built = Outcome::of(&mut build(&place.join("out"), &recipe)).succeeded();
    assert!(slipway_tests::image::folder_of(&built).ends_with("other_1"), "what is not of packages needs no new lock");
}

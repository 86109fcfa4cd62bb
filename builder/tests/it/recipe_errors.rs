//! What a user is told about a recipe that is wrong, word for word.
//!
//! Each `tests/goldens/recipe/CASE.toml` that has a `CASE.txt` beside it is checked; the text is all that `slipway check`
//! says. `SLIPWAY_BLESS=1 cargo test` writes the texts anew: read the diff.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs};

const CASES: [&str; 15] = [
    "bad-in-base",
    "bad-migrations",
    "bad-values",
    "broken-toml",
    "contradictions",
    "cycle-a",
    "empty",
    "missing-extends",
    "missing-files",
    "no-such-recipe",
    "not-utf8",
    "nothing-to-remove",
    "twice",
    "unknown-keys",
    "wrong-types",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/recipe")
}

fn check(case: &str, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slipway"))
        .current_dir(folder())
        .env("LC_ALL", "C.UTF-8")
        .args(["check", &format!("{case}.toml")])
        .args(flags)
        .output()
        .unwrap()
}

#[test]
fn every_mistake_is_told_in_words_with_its_line() {
    let mut differing = Vec::new();
    for case in CASES {
        let output = check(case, &[]);
        assert_eq!(output.status.code(), Some(3), "{case}");
        assert!(output.stdout.is_empty(), "{case}");
        let told = String::from_utf8(output.stderr).unwrap();
        let golden = folder().join(format!("{case}.txt"));
        if env::var_os("SLIPWAY_BLESS").is_some() {
            fs::write(&golden, &told).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != told {
            differing.push(format!("== {case}\n{told}"));
        }
    }
    assert!(differing.is_empty(), "these are told otherwise now:\n{}", differing.join("\n"));
}

#[test]
fn every_golden_has_its_case() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(CASES.contains(&name), "{name}.txt is compared with nothing");
        }
    }
}

#[test]
fn a_program_can_read_the_mistakes_too() {
    let output = check("unknown-keys", &["--json"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["event"], "error");
    assert_eq!(error["exit_code"], 3);
    let first = &error["problems"][0];
    assert_eq!((&first["file"], &first["line"], &first["column"]), (&"unknown-keys.toml".into(), &2.into(), &1.into()));
    assert_eq!(first["message"], "unknown key `packges`");
    assert_eq!(first["help"], "did you mean `packages`?");
}

#[test]
fn a_terminal_without_unicode_gets_plain_letters() {
    let output = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .current_dir(folder())
        .env("LC_ALL", "C")
        .args(["check", "wrong-types.toml"])
        .output()
        .unwrap();
    assert!(output.stderr.is_ascii(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_password_in_clear_is_not_repeated() {
    for flags in [&[][..], &["--json"]] {
        let told = String::from_utf8(check("bad-values", flags).stderr).unwrap();
        assert!(
            told.contains("is no password hash") && !told.contains("letmein") && !told.contains("PRIVATE"),
            "{told}"
        );
    }
}

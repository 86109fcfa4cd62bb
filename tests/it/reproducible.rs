//! What a build gives. The same recipe, lock and programs give the same bytes: in another folder, under another umask, time zone and locale,
//! on one core, and with nothing unpacked before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const OUTPUTS: [&str; 6] = ["disk.raw", "root.erofs", "root.verity", "uki.efi", "manifest.json", "sbom.cdx.json"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds `recipes/minimal.toml` with output below `out`, `prefix` before the program's name and `environment` set.
fn build(out: &Path, prefix: &[&str], environment: &[(&str, &str)]) -> PathBuf {
    let program = workspace().join("target/release/slipway").canonicalize().unwrap();
    let recipe = workspace().join("recipes/minimal.toml");
    let mut words: Vec<&str> = prefix.to_vec();
    words.extend([program.to_str().unwrap(), "--out", out.to_str().unwrap(), "build", recipe.to_str().unwrap()]);
    let output = Command::new(words[0]).args(&words[1..]).envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    out.join("minimal_1")
}

#[test]
fn a_second_build_under_other_circumstances_gives_the_same_bytes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = build(folders[0].path(), &["sh", "-c", "umask 022; exec \"$@\"", "sh"], &[("TZ", "UTC")]);
    let second = build(
        &folders[1].path().join("deeper/out"),
        &["taskset", "-c", "0", "sh", "-c", "umask 077; exec \"$@\"", "sh"],
        &[("TZ", "Pacific/Kiritimati"), ("LC_ALL", "tr_TR.UTF-8"), ("RAYON_NUM_THREADS", "1")],
    );
    for name in OUTPUTS {
        assert!(fs::read(first.join(name)).unwrap() == fs::read(second.join(name)).unwrap(), "{name} differs");
    }
}

#[test]
fn a_build_with_nothing_changed_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), &["env"], &[]);
    let time = |path: &Path| fs::metadata(path.join("disk.raw")).unwrap().modified().unwrap();
    let before = time(&built);
    assert_eq!(time(&build(folder.path(), &["env"], &[])), before);
}

#[test]
fn what_is_built_passes_the_oracles() {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), &["env"], &[]);
    let file = |name: &str| built.join(name).to_str().unwrap().to_owned();
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(file("manifest.json")).unwrap()).unwrap();
    let root_hash = manifest["root_hash"].as_str().unwrap().to_owned();
    let store = format!("--repo={}", folder.path().join("store").display());
    for command in [
        vec!["fsck.erofs".to_owned(), file("root.erofs")],
        vec!["veritysetup".into(), "verify".into(), file("root.erofs"), file("root.verity"), root_hash],
        vec!["sfdisk".into(), "--verify".into(), file("disk.raw")],
        vec!["sbverify".into(), "--list".into(), file("uki.efi")],
        vec!["ostree".into(), "fsck".into(), store],
    ] {
        let output = Command::new(&command[0]).args(&command[1..]).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

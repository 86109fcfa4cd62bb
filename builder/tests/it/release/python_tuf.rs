//! An independent client: python-tuf downloads a release from our repository. `make setup` installs it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::site::Site;

#[test]
fn python_tuf_downloads_a_release() {
    // It goes by the clock of the machine.
    let site = Site::new();
    fs::remove_dir_all(site.path("keys")).unwrap();
    assert!(site.slipway(&["keys", "init", "keys", "--development"]).output().unwrap().status.success());
    for version in [1, 2] {
        let build = site.build(version);
        site.done(&["add", build.to_str().unwrap(), "--repo", "repo", "--keys", "keys", "--channel", "stable"]);
    }
    // A root that it has to follow.
    for arguments in [
        ["keys", "rotate", "keys", "--replace", "snapshot", "--unprotected"].as_slice(),
        &["keys", "sign", "keys/2.root.draft.json", "--key", "keys/root.pem"],
        &["release", "refresh", "--all", "--accept-replaced-keys", "--repo", "repo", "--keys", "keys"],
    ] {
        let output = site.slipway(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = workspace.join("target/oracles/python/bin/python");
    assert!(python.exists(), "python-tuf is not installed: `make setup`");
    let work = tempfile::tempdir().unwrap();
    let output = Command::new(python)
        .arg(workspace.join("builder/tests/it/release/python_tuf.py"))
        .args([&site.path("repo"), &site.path("keys/1.root.json"), work.path()])
        .env_remove("http_proxy")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found, json!({"offers": ["1", "2"], "parts": {"1": 5, "2": 7}}));
}

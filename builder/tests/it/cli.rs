//! The command line itself.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

fn slipway() -> Command {
    Command::new(env!("CARGO_BIN_EXE_slipway"))
}

#[test]
fn whoever_stops_reading_is_not_told_of_an_error() {
    let mut child = slipway().arg("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((status.code(), told.as_str()), (Some(0), ""));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = slipway().args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("slipway") && script.contains("schema"), "{shell}");
    }
}

#[test]
fn every_command_gets_its_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = slipway().arg("man").arg(folder.path().join("new")).output().unwrap();
    assert!(output.status.success());
    for page in ["slipway.1", "slipway-check.1", "slipway-schema.1"] {
        let text = fs::read_to_string(folder.path().join("new").join(page)).unwrap();
        assert!(text.contains(".TH slipway"), "{page}");
    }
}

#[test]
fn results_go_to_stdout_and_notes_to_stderr_unless_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let output = slipway().arg("man").arg(folder.path()).output().unwrap();
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    let output = slipway().args(["--quiet", "man"]).arg(folder.path()).output().unwrap();
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    let output = slipway().args(["--json", "man"]).arg(folder.path()).output().unwrap();
    let note: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(note["event"], "note");
}

#[test]
fn a_wrong_command_line_has_a_status_of_its_own() {
    assert_eq!(slipway().arg("biuld").output().unwrap().status.code(), Some(2));
}

#[test]
fn an_error_is_told_once_with_its_causes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = slipway().arg("man").arg(file.path().join("x")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("error: manual pages cannot be written to"), "{told}");
    assert_eq!(told.matches("os error").count(), 1, "{told}");
}

//! A repository of releases, published as a person would.
//!
//! To compress a whole root takes longer than a host's update. So what the same builds, published in the same order, came to is kept
//! for the scenarios that follow, and for the next run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use slipway_images::digest::Digest;

use super::edition::{Build, keys, place};
use crate::program::{Outcome, slipway};
use crate::workplace::scratch;

/// Hosts believe a timestamp for two weeks; what is older is published anew.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);

/// A repository.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    /// What was published so far, by content.
    steps: String,
}

impl Repository {
    /// An empty one, in the folder of the scenario `name`.
    pub fn new(name: &str) -> Self {
        let root = fs::read_to_string(keys().join("1.root.json")).unwrap();
        Self { folder: scratch(&format!("scenarios/{name}")).join("releases"), steps: root }
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Publishes a build for everybody, with a patch from each of `from`.
    pub fn publish(&mut self, build: &Build, from: &[&Build]) {
        for build in [&[build], from].concat() {
            self.steps.push_str(&fs::read_to_string(build.path("manifest.json")).unwrap());
        }
        self.steps.push('\n');
        let kept = kept(&self.steps);
        if kept.is_dir() {
            let _ = fs::remove_dir_all(&self.folder);
            return copy(&kept, &self.folder);
        }
        let mut command = self.release(&["add"]);
        command.arg(&build.folder).args(["--channel", "stable", "--patch-from", "0"]);
        for from in from {
            command.arg("--patch-from").arg(&from.folder);
        }
        let _ = Outcome::of(&mut command).succeeded();
        copy(&self.folder, &kept);
    }

    /// Takes a version back.
    pub fn withdraw(&mut self, build: &Build, reason: &str, more: &[&str]) {
        let words = [&["withdraw", &build.label, "--reason", reason], more].concat();
        self.steps.extend(words.iter().copied());
        self.steps.push('\n');
        let _ = Outcome::of(&mut self.release(&words)).succeeded();
    }

    fn release(&self, words: &[&str]) -> Command {
        let mut command = slipway();
        command.args(["--json", "release"]).args(words).arg("--repo").arg(&self.folder).arg("--keys").arg(keys());
        command
    }
}

/// Where a repository is kept that these steps lead to.
fn kept(steps: &str) -> PathBuf {
    let all = place().join("published");
    fs::create_dir_all(&all).unwrap();
    for entry in fs::read_dir(&all).unwrap() {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().modified().unwrap().elapsed().unwrap_or_default() > KEPT_FOR {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    all.join(&Digest::of(steps.as_bytes()).to_string()[..16])
}

/// By hard links: no file of a repository is ever written to again.
fn copy(from: &Path, to: &Path) {
    let half = to.with_extension("half");
    let _ = fs::remove_dir_all(&half);
    let _ = Outcome::of(Command::new("cp").arg("-rl").arg(from).arg(&half)).succeeded();
    fs::rename(&half, to).unwrap();
}

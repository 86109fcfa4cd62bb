//! How far the migrations of this host are: what lasts of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_images::digest::Digest;
use slipway_images::migration::MigrationName;
use slipway_images::version::Version;

use crate::two_copies::Document;

/// What the journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// The version whose state `/var` holds, but for the steps that were begun from there. Nothing on a host that never migrated.
    pub at: Option<Version>,
    /// Steps that were begun and can be undone, the oldest first.
    pub steps: Vec<Step>,
    /// What a later version of this program wrote.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

impl Document for Journal {
    const NAME: &'static str = "journal";
    const MAGIC: &'static str = "slipway-migrations-1";
}

/// A migration that was begun. It holds all that undoing it takes, since the image it is from may not be there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which migration.
    pub name: MigrationName,
    /// The first version whose state is so.
    pub since: Version,
    /// The version whose state there was before.
    pub from: Version,
    /// The version that ran when it was begun: only that one goes on with it.
    pub by: Version,
    /// How far it is.
    pub progress: Progress,
    /// The version that was committed with it. From then on the state is the services', and only a program can undo it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Version>,
    /// What undoes it.
    pub way: Way,
    /// Units that must not start while it is half done.
    pub before: Vec<String>,
    /// What the program that undoes it may take.
    pub within: Duration,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// What undoes it is being put by. Nothing was changed yet.
    Saving,
    /// The state is being changed.
    Forward,
    /// The state is changed.
    Done,
    /// The change is being undone.
    Back,
}

/// What undoes a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A program, of which a copy is kept.
    Program {
        /// The copy's SHA-256.
        sha256: Digest,
    },
    /// Copies of files and folders.
    Copies(Vec<Original>),
}

/// A file or folder as it was before a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Its absolute path.
    pub path: String,
    /// Whether it was there at all.
    pub was_there: bool,
}

impl Journal {
    /// The step of this name.
    pub fn step(&self, name: &MigrationName) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == *name)
    }

    /// Whether a step is half done.
    pub fn is_unfinished(&self) -> bool {
        self.steps.iter().any(|step| step.progress != Progress::Done)
    }

    /// Adds a step as the last one; one of the same name, which was cut off, goes.
    pub fn begin(&mut self, step: Step) {
        self.steps.retain(|other| other.name != step.name);
        self.steps.push(step);
    }

    /// Notes how far a step is.
    pub fn note(&mut self, name: &MigrationName, progress: Progress) {
        for step in self.steps.iter_mut().filter(|step| step.name == *name) {
            step.progress = progress;
        }
    }

    /// Notes that a step was undone.
    pub fn undone(&mut self, name: &MigrationName) {
        if let Some(step) = self.step(name) {
            self.at = Some(step.from.clone());
        }
        self.steps.retain(|step| step.name != *name);
    }

    /// Notes that `version` was found good. Copies would take the state back to before its services ran: they go. Programs stay, for
    /// an operator who goes back, until the version after this one is found good: then nothing is left that they could go back to.
    pub fn commit(&mut self, version: &Version) {
        self.steps.retain(|step| {
            let is_program = matches!(step.way, Way::Program { .. });
            is_program && step.committed.as_ref().is_none_or(|committed| committed >= version)
        });
        for step in &mut self.steps {
            step.committed.get_or_insert_with(|| version.clone());
        }
    }
}

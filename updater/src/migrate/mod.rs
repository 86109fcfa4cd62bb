//! Migrations of the state partition: what lasts is made that of the version that runs, forward or back, before services start.
//!
//! [`machine`] decides, without input or output; [`Migrations`] carries out. The way back is put by before anything is changed,
//! so that the version before can undo a step that a newer one began, whatever became of that: a panic, a hang, a power cut.
//! `docs/adr/` has the reasons, `docs/migrations.md` is what users read.
//!
//! Expected in the folder on the state partition is anything: it is not authenticated. The journal has a checksum and is
//! [kept twice](crate::two_copies); where it is lost, or says nothing while something is put by, nothing is moved or deleted. A
//! kept program runs only if its digest is the journal's. Names of migrations can't lead out of the folder.

mod journal;
mod keep;
pub mod machine;
mod run;

use std::io;
use std::path::{Path, PathBuf};

use slipway_images::migration::{ImageMigrations, MIGRATIONS_PATH, MigrationName};
use slipway_images::version::Version;

pub use self::journal::{Journal, Original, Progress, Step, Way};
pub use self::run::{Migrations, Outcome};
use crate::disk::survey::Survey;
use crate::host::below;
use crate::process::ProcessError;
use crate::two_copies::CopiesError;

/// Why state was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The image's declaration makes no sense.
    #[error("the image's migrations {path} make no sense")]
    Declaration {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] CopiesError),
    /// The journal says nothing, and something is put by.
    #[error("the journal of migrations is missing, and copies or programs are there that it must have known")]
    JournalMissing,
    /// A file.
    #[error("can't {what} {path}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is to be copied is a link.
    #[error("{0} is a symbolic link, and what it leads to would not be copied")]
    Link(String),
    /// What is to be copied is not on the state partition.
    #[error("{0} is on another file system, from which a copy can't be put back at once")]
    Elsewhere(PathBuf),
    /// Copies don't fit.
    #[error("copies need {} MB on /var, and {} MB are free", needed.div_ceil(1_000_000), free / 1_000_000)]
    NoRoom {
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// Copying went wrong.
    #[error("can't copy {path}: cp {why}")]
    Copy {
        /// What was to be copied.
        path: PathBuf,
        /// How `cp` ended.
        why: String,
    },
    /// A program could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A program ended badly.
    #[error("migration {name}: `{command}` {why}")]
    Program {
        /// Which migration.
        name: MigrationName,
        /// The program and its words.
        command: String,
        /// How it ended.
        why: String,
    },
    /// A kept program is not what was kept.
    #[error("migration {0}: the kept program is not the one that the journal has the digest of")]
    ProgramDiffers(MigrationName),
    /// A copy is not there.
    #[error("migration {name}: the copy of {path} is gone")]
    CopyGone {
        /// Which migration.
        name: MigrationName,
        /// What it was a copy of.
        path: String,
    },
    /// A step that nobody has declared or begun.
    #[error("migration {0} is not known")]
    Unknown(MigrationName),
    /// It can't be done now.
    #[error("refused: {0}")]
    Refused(#[from] machine::Refused),
}

/// What runs, as far as migrations go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The version.
    pub running: Version,
    /// Whether it is on trial.
    pub on_trial: bool,
    /// The version in the other slot.
    pub other: Option<Version>,
}

impl Boot {
    /// By what is on the disk.
    pub fn of(survey: &Survey) -> Self {
        use slipway_images::names::{BootEntryName, BootTries};
        let tries = survey.running().entry.as_ref().map(BootEntryName::tries);
        Self {
            running: survey.running_label.version().clone(),
            on_trial: matches!(tries, Some(BootTries::Counted { .. })),
            other: survey.other().label.as_ref().map(|label| label.version().clone()),
        }
    }
}

/// Reads the migrations of the image that runs below `root`.
pub fn load(root: &Path) -> Result<ImageMigrations, MigrateError> {
    let path = below(root, MIGRATIONS_PATH);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|source| MigrateError::Declaration { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ImageMigrations::default()),
        Err(source) => Err(MigrateError::File { what: "read", path, source }),
    }
}

#[cfg(test)]
mod tests;

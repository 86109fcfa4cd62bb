//! Carries out what [`machine`](super::machine) decides about migrations.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use slipway_images::migration::{ImageMigrations, Migration, MigrationName, Reverse};

use super::journal::{Journal, Original, Progress, Step, Way};
use super::keep::Keep;
use super::machine::{Effect, Event, Situation, State, step};
use super::{Boot, MigrateError, load};
use crate::agent::chain;
use crate::process;
use crate::two_copies::{CopyFiles, Document as _, TwoCopies};

/// Bytes of a program's output that are kept.
const OUTPUT: usize = 64 << 10;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// The state is that of what runs.
    Settled {
        /// Why something that is no longer needed could not be removed.
        left_over: Option<String>,
    },
    /// What runs must be left, for this reason. The version before it puts the state back.
    Leave {
        /// The reason.
        why: String,
    },
    /// What runs can't have its state, and stays, for this reason.
    Held {
        /// The reason.
        why: String,
        /// Units that must not start.
        units: Vec<String>,
    },
}

/// The migrations of a host.
#[derive(Debug)]
pub struct Migrations {
    pub(super) keep: Keep,
    boot: Boot,
    carried: ImageMigrations,
    journal: Result<TwoCopies<CopyFiles, Journal>, MigrateError>,
    state: State,
}

impl Migrations {
    /// Those of the host whose root is at `root`, on which `boot` runs.
    pub fn open(root: &Path, boot: Boot) -> Result<Self, MigrateError> {
        let keep = Keep::new(root);
        let journal = match TwoCopies::load(CopyFiles::new(keep.folder(), Journal::NAME)) {
            Ok(journal) if *journal.contents() == Journal::default() && keep.holds_anything()? => {
                Err(MigrateError::JournalMissing)
            }
            Ok(journal) => Ok(journal),
            Err((_, error)) => Err(error.into()),
        };
        Ok(Self { keep, boot, carried: load(root)?, journal, state: State::Unknown })
    }

    /// What the journal says, or why it can't be read.
    pub fn journal(&self) -> Result<&Journal, &MigrateError> {
        self.journal.as_ref().map(TwoCopies::contents)
    }

    /// Whose state there is, and what can be undone, in lines for people; nothing on a host that never migrated.
    pub fn explain(&self) -> String {
        let journal = match self.journal() {
            Ok(journal) => journal,
            Err(error) => return format!("  state   {}: nothing is migrated, undone or removed\n", chain(error)),
        };
        let Some(at) = &journal.at else { return String::new() };
        let mut text = format!("  state   that of version {at}\n");
        for step in &journal.steps {
            let words = match (step.progress, &step.committed) {
                (Progress::Done, None) => "is done, and undone if what runs is left".to_owned(),
                (Progress::Done, Some(version)) => format!("can be undone until a version after {version} is kept"),
                (Progress::Back, _) => "is being undone".to_owned(),
                (Progress::Saving | Progress::Forward, _) => "is half done".to_owned(),
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "          migration {} {words}", step.name);
        }
        text
    }

    /// What [`settle`](Self::settle) would do.
    pub fn pending(&self) -> Vec<Effect> {
        step(State::Unknown, &Event::Start(self.situation())).1
    }

    /// Whether the state is that of what runs, with nothing half done.
    pub fn are_settled(&self) -> bool {
        matches!(step(State::Unknown, &Event::Committed(self.situation())).0, State::Tidying | State::Settled)
    }

    /// Makes the state that of what runs, before any service starts.
    pub fn settle(&mut self) -> Result<Outcome, MigrateError> {
        let event = Event::Start(self.situation());
        self.handle(event)
    }

    /// What runs was found good: what is only there to go back goes.
    pub fn commit(&mut self) -> Result<Outcome, MigrateError> {
        let event = Event::Committed(self.situation());
        self.handle(event)
    }

    /// Units that must not start while something is half done.
    pub fn waiting_units(&self) -> Vec<String> {
        let unfinished = self.journal.as_ref().map(|journal| journal.contents().steps.as_slice()).unwrap_or_default();
        let begun = unfinished.iter().filter(|step| step.progress != Progress::Done).flat_map(|step| &step.before);
        let carried = self.carried.migrations.iter().flat_map(|migration| &migration.before);
        let mut units: Vec<String> = begun.chain(carried).cloned().collect();
        units.sort();
        units.dedup();
        units
    }

    pub(super) fn situation(&self) -> Situation {
        let Boot { running, on_trial, other } = self.boot.clone();
        let journal = self.journal.as_ref().ok().map(|journal| journal.contents().clone());
        Situation { running, on_trial, other, carried: self.carried.clone(), journal }
    }

    fn handle(&mut self, mut event: Event) -> Result<Outcome, MigrateError> {
        let mut failure = self.journal.as_ref().err().map(|error| chain(error));
        loop {
            let (next, effects) = step(self.state, &event);
            self.state = next;
            event = Event::Done;
            let rests = effects.is_empty();
            for effect in effects {
                let why = || failure.clone().unwrap_or_default();
                match effect {
                    Effect::Leave => return Ok(Outcome::Leave { why: why() }),
                    Effect::Hold => return Ok(Outcome::Held { why: why(), units: self.waiting_units() }),
                    Effect::Refuse(refused) => return Err(refused.into()),
                    effect => {
                        if let Err(error) = self.perform(&effect) {
                            failure = Some(format!("can't {effect}: {}", chain(&error)));
                            event = Event::Failed;
                            break;
                        }
                    }
                }
            }
            if rests && self.state == State::Settled {
                return Ok(Outcome::Settled { left_over: failure });
            }
        }
    }

    pub(super) fn perform(&mut self, effect: &Effect) -> Result<(), MigrateError> {
        match effect {
            Effect::NoteAt(version) => self.note(|journal| journal.at = Some(version.clone())),
            Effect::Begin(name) => {
                let step = self.begun(name)?;
                self.note(|journal| journal.begin(step))
            }
            Effect::CheckRoom(name) => self.keep.check_room(self.originals(name)?),
            Effect::KeepProgram(name) => match (&self.declared(name)?.reverse, &self.step(name)?.way) {
                (Reverse::Down(program), Way::Program { sha256 }) => self.keep.keep_program(name, program, *sha256),
                _ => Err(MigrateError::Unknown(name.clone())),
            },
            Effect::CopyAside(name, index) => {
                let within = self.declared(name)?.within;
                self.keep.copy_aside(name, *index, self.original(name, *index)?, within)
            }
            Effect::Sync => self.keep.sync(),
            Effect::Note(name, progress) => self.note(|journal| journal.note(name, *progress)),
            Effect::Up(name) => self.up(name),
            Effect::Down(name) => self.down(name),
            Effect::PutAway(name, index) => self.keep.put_away(name, *index, self.original(name, *index)?),
            Effect::PutBack(name, index) => self.keep.put_back(name, *index, self.original(name, *index)?),
            Effect::NoteUndone(name) => self.note(|journal| journal.undone(name)),
            Effect::NoteCommitted => {
                let running = self.boot.running.clone();
                self.note(|journal| journal.commit(&running))
            }
            Effect::Sweep => self.keep.sweep(self.known()?),
            // These are for whoever took the step.
            Effect::Leave | Effect::Hold | Effect::Refuse(_) => Ok(()),
        }
    }

    fn up(&self, name: &MigrationName) -> Result<(), MigrateError> {
        let (migration, step) = (self.declared(name)?, self.step(name)?);
        let Some(program) = &migration.up else { return Ok(()) };
        let words = ["up", step.from.as_str(), step.by.as_str()];
        run(name, &self.keep.on_host(program), program, words, migration.within)
    }

    fn down(&self, name: &MigrationName) -> Result<(), MigrateError> {
        let step = self.step(name)?;
        let Way::Program { sha256 } = step.way else { return Err(MigrateError::Unknown(name.clone())) };
        let kept = self.keep.kept_program(name, sha256)?;
        let words = ["down", step.by.as_str(), step.from.as_str()];
        run(name, &kept, &kept.to_string_lossy(), words, step.within)
    }

    fn begun(&self, name: &MigrationName) -> Result<Step, MigrateError> {
        let migration = self.declared(name)?;
        let way = match &migration.reverse {
            Reverse::Down(program) => Way::Program { sha256: self.keep.digest(program)? },
            Reverse::CopyAside(paths) => {
                Way::Copies(paths.iter().map(|path| self.keep.original(path)).collect::<Result<_, _>>()?)
            }
        };
        Ok(Step {
            name: name.clone(),
            since: migration.since.clone(),
            from: self.known()?.at.clone().unwrap_or_else(|| self.boot.running.clone()),
            by: self.boot.running.clone(),
            progress: Progress::Saving,
            committed: None,
            way,
            before: migration.before.clone(),
            within: migration.within,
        })
    }

    fn declared(&self, name: &MigrationName) -> Result<&Migration, MigrateError> {
        let found = self.carried.migrations.iter().find(|migration| migration.name == *name);
        found.ok_or_else(|| MigrateError::Unknown(name.clone()))
    }

    fn step(&self, name: &MigrationName) -> Result<&Step, MigrateError> {
        self.known()?.step(name).ok_or_else(|| MigrateError::Unknown(name.clone()))
    }

    fn originals(&self, name: &MigrationName) -> Result<&[Original], MigrateError> {
        match &self.step(name)?.way {
            Way::Copies(originals) => Ok(originals),
            Way::Program { .. } => Err(MigrateError::Unknown(name.clone())),
        }
    }

    fn original(&self, name: &MigrationName, index: usize) -> Result<&Original, MigrateError> {
        self.originals(name)?.get(index).ok_or_else(|| MigrateError::Unknown(name.clone()))
    }

    fn known(&self) -> Result<&Journal, MigrateError> {
        self.journal.as_ref().map(TwoCopies::contents).map_err(|_| super::machine::Refused::Lost.into())
    }

    fn note(&mut self, change: impl FnOnce(&mut Journal)) -> Result<(), MigrateError> {
        match &mut self.journal {
            Ok(journal) => Ok(journal.change(change)?),
            Err(_) => Err(super::machine::Refused::Lost.into()),
        }
    }
}

/// Runs a program, and takes any end but a good one for a failure. `shown` is what it is called in the failure.
fn run(
    name: &MigrationName,
    path: &Path,
    shown: &str,
    [direction, from, to]: [&str; 3],
    within: Duration,
) -> Result<(), MigrateError> {
    let program = path.to_string_lossy();
    let finished = process::run(&[&*program, direction, from, to], within, OUTPUT)?;
    if finished.succeeded() {
        return Ok(());
    }
    let command = format!("{shown} {direction} {from} {to}");
    Err(MigrateError::Program { name: name.clone(), command, why: finished.failure() })
}

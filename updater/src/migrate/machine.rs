//! The decisions about migrations, all of them, without any input or output: [`step`] takes a state and an event and gives the next
//! state and what is to be done, in order. The diagram is in `docs/state-machine.md`.
//!
//! Nothing here is remembered over a restart. The first event is always [`Event::Start`], with what runs, what it carries and
//! what the journal says; a power cut between any two effects leads back there, under the same version or another one.

use std::fmt;

use serde::Serialize;
use slipway_images::migration::{ImageMigrations, Migration, MigrationName, Reverse};
use slipway_images::version::Version;

use super::journal::{Journal, Progress, Step, Way};

/// Where the host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// Nothing was looked at yet.
    Unknown,
    /// The state is being made that of what runs.
    Working {
        /// Whether what runs is on trial.
        on_trial: bool,
    },
    /// The state is that of what runs, and what is no longer needed goes.
    Tidying,
    /// The state is that of what runs, and nothing is left to do.
    Settled,
    /// What runs can't have its state: it is left for the version before it, which undoes the rest.
    Leaving,
    /// What runs can't have its state, and stays. Its services must not start.
    Held,
}

/// What is there at a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The version that runs.
    pub running: Version,
    /// Whether it is on trial.
    pub on_trial: bool,
    /// The version in the other slot: the one that ran before a trial.
    pub other: Option<Version>,
    /// What the image carries.
    pub carried: ImageMigrations,
    /// What the journal says; nothing if it is lost.
    pub journal: Option<Journal>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent looked, before any service started.
    Start(Situation),
    /// What runs was found good.
    Committed(Situation),
    /// All effects of the last step were carried out.
    Done,
    /// One of them failed, and those after it were not begun.
    Failed,
}

/// Something to do. What is done to files can be begun again when it was cut off, at any point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Note whose state it is.
    NoteAt(Version),
    /// Note that a migration is begun, and what undoes it.
    Begin(MigrationName),
    /// Make sure that there is room for its copies.
    CheckRoom(MigrationName),
    /// Keep a copy of the program that undoes it.
    KeepProgram(MigrationName),
    /// Copy a file or folder, by its place in the migration.
    CopyAside(MigrationName, usize),
    /// See to it that all of it is on the disk.
    Sync,
    /// Note how far a step is.
    Note(MigrationName, Progress),
    /// Run the program that migrates.
    Up(MigrationName),
    /// Run the kept program that undoes it.
    Down(MigrationName),
    /// Move a file or folder out of the way of its copy.
    PutAway(MigrationName, usize),
    /// Move a copy to where it was made.
    PutBack(MigrationName, usize),
    /// Note that a step was undone.
    NoteUndone(MigrationName),
    /// Note that what runs was found good.
    NoteCommitted,
    /// Remove copies and programs that the journal doesn't know.
    Sweep,
    /// Leave what runs.
    Leave,
    /// Keep the services from starting that need the state.
    Hold,
    /// Say that it can't be done.
    Refuse(Refused),
}

/// Why an event is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The journal is lost.
    #[error("the journal of migrations is lost")]
    Lost,
    /// A step is half done, or the state is that of another version.
    #[error("the state is not yet that of what runs")]
    Unfinished,
    /// What runs is about to be left.
    #[error("what runs is about to be left")]
    Leaving,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoteAt(version) => write!(f, "note that the state is that of {version}"),
            Self::Begin(name) => write!(f, "begin migration {name}"),
            Self::CheckRoom(name) => write!(f, "look for room for the copies of {name}"),
            Self::KeepProgram(name) => write!(f, "keep the program that undoes {name}"),
            Self::CopyAside(name, _) => write!(f, "copy aside for {name}"),
            Self::Sync => f.write_str("write all of it to the disk"),
            Self::Note(name, Progress::Back) => write!(f, "begin to undo {name}"),
            Self::Note(name, _) => write!(f, "note how far {name} is"),
            Self::Up(name) => write!(f, "migrate {name}"),
            Self::Down(name) => write!(f, "undo {name}"),
            Self::PutAway(name, _) => write!(f, "move aside what {name} made"),
            Self::PutBack(name, _) => write!(f, "put back a copy of {name}"),
            Self::NoteUndone(name) => write!(f, "note that {name} is undone"),
            Self::NoteCommitted => f.write_str("note that what runs was found good"),
            Self::Sweep => f.write_str("remove what is no longer needed"),
            Self::Leave => f.write_str("leave what runs"),
            Self::Hold => f.write_str("keep services from starting"),
            Self::Refuse(_) => f.write_str("refuse"),
        }
    }
}

/// What is left to do once what runs was found good.
const TIDY: [Effect; 2] = [Effect::NoteCommitted, Effect::Sweep];

/// What follows from an event.
pub fn step(state: State, event: &Event) -> (State, Vec<Effect>) {
    let stay = (state, Vec::new());
    match (state, event) {
        (State::Leaving, Event::Start(_) | Event::Committed(_)) => (state, vec![Effect::Refuse(Refused::Leaving)]),
        (_, Event::Start(found)) => start(found),
        (_, Event::Committed(found)) => committed(state, found),

        (State::Working { on_trial: true }, Event::Done) => (State::Tidying, vec![Effect::Sweep]),
        // A commit that was cut off is finished.
        (State::Working { on_trial: false }, Event::Done) => (State::Tidying, TIDY.to_vec()),
        (State::Working { on_trial: true }, Event::Failed) => (State::Leaving, vec![Effect::Leave]),
        (State::Working { on_trial: false }, Event::Failed) => (State::Held, vec![Effect::Hold]),

        // What is left over does no harm, and the next start finds it again.
        (State::Tidying, Event::Done | Event::Failed) => (State::Settled, Vec::new()),

        (State::Unknown | State::Settled | State::Leaving | State::Held, Event::Done | Event::Failed) => stay,
    }
}

/// Makes the state that of what runs.
fn start(found: &Situation) -> (State, Vec<Effect>) {
    let known = found.journal.as_ref().filter(|journal| journal.at.is_some() || journal.steps.is_empty());
    let Some(journal) = known else {
        let (next, effect) = if found.on_trial { (State::Leaving, Effect::Leave) } else { (State::Held, Effect::Hold) };
        return (next, vec![effect]);
    };
    let Some(at) = journal.at.clone().or_else(|| found.origin()) else { return (State::Settled, Vec::new()) };
    let mut plan = Plan { at, effects: Vec::new() };
    if journal.at.is_none() {
        plan.effects.push(Effect::NoteAt(plan.at.clone()));
    }
    let stays = journal.steps.iter().position(|step| step.must_go(found)).unwrap_or(journal.steps.len());
    for step in journal.steps[stays..].iter().rev() {
        plan.back(step);
    }
    for migration in &found.carried.migrations {
        match journal.steps[..stays].iter().find(|step| step.name == migration.name) {
            Some(step) if step.progress == Progress::Forward => plan.change(migration),
            None if migration.since > plan.at && migration.since <= found.running => plan.forward(migration),
            Some(_) | None => {}
        }
    }
    if plan.at != found.running {
        plan.effects.push(Effect::NoteAt(found.running.clone()));
    }
    (State::Working { on_trial: found.on_trial }, plan.effects)
}

/// What runs was found good: copies go, programs stay for an operator who goes back.
fn committed(state: State, found: &Situation) -> (State, Vec<Effect>) {
    let refuse = |why| (state, vec![Effect::Refuse(why)]);
    match &found.journal {
        None => refuse(Refused::Lost),
        Some(journal) if journal.at.is_none() && journal.steps.is_empty() && found.carried.migrations.is_empty() => {
            (State::Settled, Vec::new())
        }
        Some(journal) if journal.is_unfinished() || journal.at.as_ref() != Some(&found.running) => {
            refuse(Refused::Unfinished)
        }
        Some(_) => (State::Tidying, TIDY.to_vec()),
    }
}

impl Situation {
    /// Whose state there is on a host without a journal: that of the version before a trial, else that of what runs. Nothing if it
    /// doesn't matter.
    fn origin(&self) -> Option<Version> {
        if self.carried.migrations.is_empty() {
            return None;
        }
        // With nothing in the other slot, this is a new host.
        let before = self.other.as_ref().filter(|_| self.on_trial);
        Some(before.unwrap_or(&self.running).clone())
    }

    fn carries(&self, name: &MigrationName) -> bool {
        self.carried.migrations.iter().any(|migration| migration.name == *name)
    }
}

impl Step {
    /// Whether a step has no place under what runs. Those after it go with it.
    fn must_go(&self, found: &Situation) -> bool {
        match self.progress {
            // One of which nothing was changed is begun anew, as if it had not been.
            Progress::Back | Progress::Saving => true,
            // Only who has begun it goes on with it: another version's program may expect something else.
            Progress::Forward => self.by != found.running || !found.carries(&self.name),
            Progress::Done => self.since > found.running,
        }
    }
}

/// What is to be done, and whose state there is meanwhile, but for the steps that are done.
struct Plan {
    at: Version,
    effects: Vec<Effect>,
}

impl Plan {
    fn forward(&mut self, migration: &Migration) {
        let name = &migration.name;
        self.effects.push(Effect::Begin(name.clone()));
        match &migration.reverse {
            Reverse::Down(_) => self.effects.push(Effect::KeepProgram(name.clone())),
            Reverse::CopyAside(paths) => {
                self.effects.push(Effect::CheckRoom(name.clone()));
                self.effects.extend((0..paths.len()).map(|index| Effect::CopyAside(name.clone(), index)));
            }
        }
        // What undoes it must be on the disk before anything is changed.
        self.effects.extend([Effect::Sync, Effect::Note(name.clone(), Progress::Forward)]);
        self.change(migration);
    }

    fn change(&mut self, migration: &Migration) {
        let name = &migration.name;
        if migration.up.is_some() {
            self.effects.extend([Effect::Up(name.clone()), Effect::Sync]);
        }
        self.effects.push(Effect::Note(name.clone(), Progress::Done));
    }

    fn back(&mut self, step: &Step) {
        let name = &step.name;
        // Nothing was changed as long as the way back was being prepared.
        if step.progress != Progress::Saving {
            if step.progress != Progress::Back {
                self.effects.push(Effect::Note(name.clone(), Progress::Back));
            }
            match &step.way {
                Way::Program { .. } => self.effects.push(Effect::Down(name.clone())),
                Way::Copies(originals) => {
                    for index in 0..originals.len() {
                        self.effects
                            .extend([Effect::PutAway(name.clone(), index), Effect::PutBack(name.clone(), index)]);
                    }
                }
            }
            self.effects.push(Effect::Sync);
        }
        self.effects.push(Effect::NoteUndone(name.clone()));
        self.at = step.from.clone();
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

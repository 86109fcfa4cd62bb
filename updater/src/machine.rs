//! The decisions of the agent, all of them, without any input or output: [`step`] takes a state and an event and gives the
//! next state and what is to be done, in order. The diagram is in `docs/state-machine.md`.
//!
//! Nothing here is remembered over a restart. The first event is always [`Event::Start`], with what was found on disk and
//! in the ledger; a power cut between any two effects leads back there.

use std::fmt;

use serde::Serialize;

/// Where the host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// Nothing was looked at yet, or what was done went wrong half-way.
    Unknown,
    /// What runs is committed, and nothing is under way.
    Idle {
        /// Whether the other slot holds a version to go back to.
        fallback: bool,
    },
    /// What runs has not been found good yet.
    Trial {
        /// Whether the other slot holds a version to go back to.
        fallback: bool,
    },
    /// The other slot is being filled.
    Staging,
    /// The other slot holds a version that the next boot tries.
    Armed,
    /// What runs was found good, and that is being written down.
    Committing {
        /// Whether the other slot holds a version to go back to.
        fallback: bool,
    },
    /// The machine is about to restart.
    Leaving,
    /// Only an operator can help.
    Stuck {
        /// Why.
        why: Stuck,
    },
}

/// Why only an operator can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stuck {
    /// What runs has no boot entry: nobody knows how it was started, and what the next boot starts.
    NoEntry,
    /// What runs is bad, and there is nothing to go back to, or nothing that the boot loader starts. A restart would change nothing;
    /// another version may.
    NoFallback,
    /// Neither copy of the ledger can be read: what failed here, and the floor, are not known.
    NoLedger,
}

/// What runs, by its boot entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Running {
    /// It was found good.
    Good,
    /// It is on trial: its entry has a counter.
    OnTrial,
    /// It has no entry.
    NoEntry,
}

/// What the other slot is good for, by its boot entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Other {
    /// Nothing boots it.
    Closed,
    /// It was found good once.
    Fallback,
    /// It has tries left.
    Armed,
    /// It has used up its tries.
    Spent,
}

/// What disk and ledger say at a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent finding, and all combinations can occur")]
pub struct Situation {
    /// What runs.
    pub running: Running,
    /// The other slot.
    pub other: Other,
    /// The partition tables differ, or one is damaged.
    pub tables_need_repair: bool,
    /// The ESP has lost clusters or is marked as not cleanly left.
    pub esp_needs_mending: bool,
    /// There are boot entries that lead nowhere.
    pub leftovers: bool,
    /// The ledger says that what runs failed.
    pub running_failed: bool,
    /// The ledger knows that what is in the other slot failed.
    pub other_failed: bool,
    /// The other slot is armed, the boot loader would have it before what runs, and yet this boot, which came after, is of what runs.
    pub passed_over: bool,
    /// The other slot is armed, and its kernel image is not what was written.
    pub armed_damaged: bool,
    /// The other slot is armed, and the ledger doesn't say since which boot.
    pub wait_unnoted: bool,
    /// What runs was left in an earlier boot, and has no tries left: the boot loader could not start anything else.
    pub left_before: bool,
    /// The floor is below what runs.
    pub floor_is_lower: bool,
    /// Neither copy of the ledger can be read.
    pub ledger_lost: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The agent looked at disk and ledger.
    Start(Situation),
    /// A release was admitted.
    Admitted,
    /// All effects of the last step were carried out.
    Done,
    /// One of them failed, and those after it were not begun.
    Failed,
    /// All health checks held through the soak time.
    Healthy,
    /// A health check failed.
    Unhealthy,
    /// An operator wants to go back.
    Rollback,
    /// What runs was withdrawn, and the version that waits is to replace it.
    Withdrawn,
    /// The version that waits was withdrawn before it was tried.
    Recalled,
    /// The machine may restart now.
    Restart,
}

/// Which of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one that runs.
    Running,
    /// The one that doesn't.
    Other,
}

/// Why a version failed, as far as the machine knows. The words are for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A health check.
    Health,
    /// It was tried as often as it may be, and never came so far as to be found good.
    TriesUsedUp,
    /// The boot loader never tried it.
    PassedOver,
    /// An operator.
    Operator,
    /// Its publisher took it back.
    Withdrawn,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Make both partition tables valid and equal.
    RepairTables,
    /// Free lost clusters of the ESP, and clear its mark.
    MendEsp,
    /// Remove boot entries that lead nowhere.
    RemoveLeftovers,
    /// Note in the ledger what is going to be installed.
    NoteStaging,
    /// Make sure that nothing boots the other slot.
    OpenSlot,
    /// Write the hash tree of the other slot.
    WriteTree,
    /// Write the blocks of the other slot.
    WriteBlocks,
    /// Read the other slot back, whole.
    VerifySlot,
    /// Name the other slot in both partition tables.
    LabelSlot,
    /// Add the boot entry of the other slot, with its tries.
    ArmSlot,
    /// Note in the ledger that the next boot tries it.
    NoteArmed,
    /// Note in the ledger that the other slot's kernel image was damaged while it waited.
    NoteDamage,
    /// Note in the ledger since which boot the other slot waits for the next one.
    NoteWait,
    /// Note in the ledger that installing went wrong, and when to try again.
    NoteTrouble,
    /// Check that what is in the other slot would boot.
    VerifyFallback,
    /// Write down that a version failed.
    RecordFailure(Which, Cause),
    /// Write down that what runs failed, and go on if that can't be.
    TryToRecordFailure(Cause),
    /// Take all tries from the entry of what runs.
    MarkRunningBad,
    /// Take the counter from the entry of what runs.
    Bless,
    /// Raise the floor to what runs.
    RaiseFloor,
    /// Restart the machine.
    Restart,
    /// Say that it can't be done.
    Refuse(Refused),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RepairTables => "repair the partition table",
            Self::MendEsp => "mend the ESP",
            Self::RemoveLeftovers => "remove boot entries that lead nowhere",
            Self::NoteStaging => "note what is installed",
            Self::OpenSlot => "take away the other slot's boot entry",
            Self::WriteTree => "write the hash tree",
            Self::WriteBlocks => "write the blocks",
            Self::VerifySlot => "read the slot back",
            Self::LabelSlot => "name the slot in the partition tables",
            Self::ArmSlot => "add the boot entry",
            Self::NoteArmed => "note that the next boot tries it",
            Self::NoteDamage => "note that the kernel image of what waits is damaged",
            Self::NoteWait => "note since which boot it waits",
            Self::NoteTrouble => "note what went wrong",
            Self::VerifyFallback => "check the version to go back to",
            Self::RecordFailure(Which::Running, _) | Self::TryToRecordFailure(_) => "note that what runs failed",
            Self::RecordFailure(Which::Other, _) => "note that what is in the other slot failed",
            Self::MarkRunningBad => "take the tries from what runs",
            Self::Bless => "find what runs good for good",
            Self::RaiseFloor => "raise the floor to what runs",
            Self::Restart => "restart the machine",
            Self::Refuse(_) => "refuse",
        })
    }
}

/// Why an event is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// Nothing was looked at yet.
    #[error("the disk was not looked at since the last failure")]
    NotStarted,
    /// What runs is on trial.
    #[error("what runs is still on trial")]
    OnTrial,
    /// Something else is under way.
    #[error("an update is under way")]
    Busy,
    /// The machine is about to restart.
    #[error("the machine is about to restart")]
    Leaving,
    /// There is nothing to go back to.
    #[error("there is no version to go back to")]
    NoFallback,
    /// There is nothing to restart for.
    #[error("no new version waits for a restart")]
    NothingArmed,
    /// Only an operator can help.
    #[error("nothing can be done before an operator has looked at this host; see `explain`")]
    Stuck,
}

/// The order of an installation. Nothing refers to the slot from its first effect on disk to the last.
const INSTALL: [Effect; 8] = [
    Effect::NoteStaging,
    Effect::OpenSlot,
    Effect::WriteTree,
    Effect::WriteBlocks,
    Effect::VerifySlot,
    Effect::LabelSlot,
    Effect::ArmSlot,
    Effect::NoteArmed,
];

/// The order of a commit. The floor rises only once the boot loader starts this version for good.
const COMMIT: [Effect; 2] = [Effect::Bless, Effect::RaiseFloor];

/// What follows from an event.
#[expect(
    clippy::match_same_arms,
    reason = "a block for each state, as in the diagram, is easier to check than merged arms"
)]
pub fn step(state: State, event: Event) -> (State, Vec<Effect>) {
    use State::{Armed, Committing, Idle, Leaving, Staging, Stuck as StuckIn, Trial, Unknown};
    let refuse = |why| (state, vec![Effect::Refuse(why)]);
    let stay = (state, Vec::new());
    match (state, event) {
        (Leaving, Event::Start(_)) => refuse(Refused::Leaving),
        (_, Event::Start(situation)) => start(situation),

        (Unknown, Event::Done | Event::Failed) => stay,
        (Unknown, _) => refuse(Refused::NotStarted),

        (Idle { .. } | Armed, Event::Admitted) => (Staging, INSTALL.to_vec()),
        (Idle { fallback: true }, Event::Rollback) => {
            (Leaving, [&[Effect::VerifyFallback][..], &leave(Cause::Operator)].concat())
        }
        (Idle { fallback: false }, Event::Rollback) => refuse(Refused::NoFallback),
        (Idle { .. }, Event::Restart | Event::Withdrawn | Event::Recalled) => refuse(Refused::NothingArmed),
        // A committed version that becomes unwell is for people to look at: going back would hide what happens.
        (Idle { .. }, Event::Done | Event::Healthy | Event::Unhealthy) => stay,
        (Idle { .. }, Event::Failed) => (Unknown, Vec::new()),

        (Trial { fallback }, Event::Healthy) => (Committing { fallback }, COMMIT.to_vec()),
        (Trial { fallback: true }, Event::Unhealthy) => (Leaving, leave_trial(Cause::Health).to_vec()),
        (Trial { fallback: true }, Event::Rollback) => (Leaving, leave_trial(Cause::Operator).to_vec()),
        (Trial { fallback: false }, Event::Unhealthy) => {
            (StuckIn { why: Stuck::NoFallback }, vec![Effect::RecordFailure(Which::Running, Cause::Health)])
        }
        (Trial { fallback: false }, Event::Rollback) => refuse(Refused::NoFallback),
        (Trial { .. }, Event::Admitted | Event::Restart | Event::Withdrawn | Event::Recalled) => {
            refuse(Refused::OnTrial)
        }
        (Trial { .. }, Event::Done) => stay,
        (Trial { .. }, Event::Failed) => (Unknown, Vec::new()),

        (Staging, Event::Done) => (Armed, Vec::new()),
        (Staging, Event::Failed) => (Unknown, vec![Effect::NoteTrouble]),
        (Staging, Event::Healthy | Event::Unhealthy) => stay,
        (Staging, Event::Admitted | Event::Rollback | Event::Restart | Event::Withdrawn | Event::Recalled) => {
            refuse(Refused::Busy)
        }

        (Armed, Event::Restart) => (Leaving, vec![Effect::Restart]),
        // The boot loader prefers the newer version, which may be the one that was withdrawn.
        (Armed, Event::Withdrawn) => (Leaving, leave(Cause::Withdrawn).to_vec()),
        // Going back before anything has changed: the new version is not tried.
        (Armed, Event::Rollback) => {
            (Idle { fallback: false }, vec![Effect::RecordFailure(Which::Other, Cause::Operator), Effect::OpenSlot])
        }
        (Armed, Event::Recalled) => {
            (Idle { fallback: false }, vec![Effect::RecordFailure(Which::Other, Cause::Withdrawn), Effect::OpenSlot])
        }
        (Armed, Event::Done | Event::Healthy | Event::Unhealthy) => stay,
        (Armed, Event::Failed) => (Unknown, Vec::new()),

        (Committing { fallback }, Event::Done) => (Idle { fallback }, Vec::new()),
        (Committing { .. }, Event::Failed) => (Unknown, Vec::new()),
        (Committing { .. }, Event::Healthy) => stay,
        (
            Committing { .. },
            Event::Unhealthy | Event::Admitted | Event::Rollback | Event::Restart | Event::Withdrawn | Event::Recalled,
        ) => refuse(Refused::Busy),

        (Leaving, Event::Failed) => (Unknown, Vec::new()),
        (Leaving, Event::Done | Event::Healthy | Event::Unhealthy) => stay,
        (Leaving, Event::Admitted | Event::Rollback | Event::Restart | Event::Withdrawn | Event::Recalled) => {
            refuse(Refused::Leaving)
        }

        // Nothing is lost that way, and it may help.
        (StuckIn { why: Stuck::NoFallback }, Event::Admitted) => (Staging, INSTALL.to_vec()),
        (StuckIn { .. }, Event::Done | Event::Failed | Event::Healthy | Event::Unhealthy) => stay,
        (StuckIn { .. }, Event::Admitted | Event::Rollback | Event::Restart | Event::Withdrawn | Event::Recalled) => {
            refuse(Refused::Stuck)
        }
    }
}

/// The order of leaving what runs. The reason is written down first: were the entry marked first, a power cut would leave
/// a version that is gone and nobody knows why.
fn leave(cause: Cause) -> [Effect; 3] {
    [Effect::RecordFailure(Which::Running, cause), Effect::MarkRunningBad, Effect::Restart]
}

/// The order of leaving a version on trial. Its doing may be that nothing can be written down: a full `/var`, or one that is read-only
/// now. The version that runs after it notes that it failed, as soon as it can, and installs nothing before.
fn leave_trial(cause: Cause) -> [Effect; 3] {
    [Effect::TryToRecordFailure(cause), Effect::MarkRunningBad, Effect::Restart]
}

/// Derives the state from what is there, and finishes what a power cut has interrupted.
fn start(mut found: Situation) -> (State, Vec<Effect>) {
    let mut effects = Vec::new();
    let when = |effects: &mut Vec<Effect>, wanted: bool, effect| effects.extend(wanted.then_some(effect));
    when(&mut effects, found.tables_need_repair, Effect::RepairTables);
    // Without the running system's own entry nothing else on the ESP can be told from what is needed.
    if found.running == Running::NoEntry {
        return (State::Stuck { why: Stuck::NoEntry }, effects);
    }
    when(&mut effects, found.leftovers, Effect::RemoveLeftovers);
    when(&mut effects, found.esp_needs_mending, Effect::MendEsp);
    if found.ledger_lost {
        return (State::Stuck { why: Stuck::NoLedger }, effects);
    }
    if found.other == Other::Armed && (found.armed_damaged || found.passed_over) {
        // What the disk did is not the version's fault: it is installed again. What the boot loader did, it would do at each restart.
        let note = if found.armed_damaged {
            Effect::NoteDamage
        } else {
            Effect::RecordFailure(Which::Other, Cause::PassedOver)
        };
        effects.extend([note, Effect::OpenSlot]);
        found.other = Other::Closed;
    }
    when(&mut effects, found.other == Other::Armed && found.wait_unnoted, Effect::NoteWait);
    let fallback = found.other == Other::Fallback;
    if found.running_failed {
        // Left once, and here again: it would be so after each restart.
        if fallback && !found.left_before || found.other == Other::Armed {
            effects.extend([Effect::MarkRunningBad, Effect::Restart]);
            return (State::Leaving, effects);
        }
        if found.running == Running::OnTrial {
            return (State::Stuck { why: Stuck::NoFallback }, effects);
        }
    }
    let unrecorded = found.other == Other::Spent && !found.other_failed;
    when(&mut effects, unrecorded, Effect::RecordFailure(Which::Other, Cause::TriesUsedUp));
    match found.running {
        Running::OnTrial => (State::Trial { fallback: fallback && !found.left_before }, effects),
        Running::Good | Running::NoEntry => {
            when_good(found, &mut effects);
            if found.other == Other::Armed { (State::Armed, effects) } else { (State::Idle { fallback }, effects) }
        }
    }
}

/// A commit that was cut off after the blessing is finished; a version that failed can't raise the floor.
fn when_good(found: Situation, effects: &mut Vec<Effect>) {
    if found.floor_is_lower && !found.running_failed {
        effects.push(Effect::RaiseFloor);
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

//! Carries out what [`machine`](crate::machine) decides: effect by effect, on the disk and in the ledger.

mod notes;

use serde::Serialize;
use slipway_images::names::{BootEntryName, BootTries, PartitionLabel, TriesLeft};
use slipway_images::verity::RootHash;

use crate::disk::device::BlockDevice;
use crate::disk::survey::{Survey, SurveyError, TableState};
use crate::disk::{Disk, DiskError};
use crate::journal::News;
use crate::ledger::{BootId, Happening, Ledger, LedgerContents, LedgerError, LedgerStore, UnixSeconds};
use crate::machine::{Effect, Event, Other, Refused, Running, Situation, State, Which, step};
use crate::release::{AdmittedRelease, Refusal, ReleaseSource, Target, Terms, VerifiedRelease, admit};
use crate::restart::Wait;
use crate::stage::{
    ArmedSlot, LabelledSlot, OpenSlot, Origin, SlotWithTree, StageError, StagedSlot, WrittenSlot, verify_other,
    was_left,
};

/// What the ledger says of a version whose kernel image was damaged while it waited.
const DAMAGED: &str = "its kernel image on the ESP is no longer what was written";

/// What the agent is told by its surroundings.
pub trait Surroundings {
    /// The time of the host's clock.
    fn now(&self) -> UnixSeconds;
    /// The running boot, if it can be told from others.
    fn boot(&self) -> Option<BootId>;
    /// The last lines that a boot of the version with this root hash logged: the running boot, or the last one before it. Never
    /// those of another version.
    fn log_tail(&self, of: Which, root_hash: RootHash) -> Vec<String>;
    /// Tells who may be interested. By default, nobody is.
    fn tell(&self, _: &News) {}
    /// What went wrong and keeps nobody from going on. By default, nobody hears of it.
    fn warn(&self, _: &str) {}
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It can't be said what is on the disk.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Filling the slot.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The release is not for this host, or not now.
    #[error("refused: {0}")]
    Release(#[from] Refusal),
    /// The host is in no state for it.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    /// An effect was to be carried out whose step before it is missing.
    #[error("can't {0}: the step before it is missing")]
    OutOfOrder(Effect),
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All is done.
    Done,
    /// All is done, and the machine must restart now.
    Restart,
}

/// The agent on one disk.
#[derive(Debug)]
pub struct Agent<D, S, W> {
    disk: Disk<D>,
    ledger: Result<Ledger<S>, LedgerError>,
    surroundings: W,
    state: State,
    origin: Option<Origin>,
    patch_failure: Option<String>,
}

/// How closely disk and ledger are looked at.
#[derive(PartialEq, Eq)]
enum Look {
    /// As often as somebody likes: no kernel image is read.
    Quick,
    /// Before something is done.
    Whole,
}

/// What an installation is at.
enum Job {
    None,
    Admitted(AdmittedRelease),
    Open(OpenSlot),
    Tree(SlotWithTree),
    Written(WrittenSlot),
    Staged(StagedSlot),
    Labelled(LabelledSlot),
    Armed(ArmedSlot),
}

/// An installation: what, from where, and how far it is.
struct Install<'a> {
    target: Target,
    source: &'a mut dyn ReleaseSource,
    job: Job,
}

impl<D: BlockDevice, S: LedgerStore, W: Surroundings> Agent<D, S, W> {
    /// Looks at disk and ledger, finishes what a power cut has interrupted, and knows where the host stands. The outcome
    /// may be that the machine must restart.
    pub fn start(disk: Disk<D>, store: S, surroundings: W) -> Result<(Self, Outcome), AgentError> {
        let ledger = Ledger::load(store).map_err(|(_, error)| error);
        let mut agent = Self { disk, ledger, surroundings, state: State::Unknown, origin: None, patch_failure: None };
        let outcome = agent.look_again()?;
        Ok((agent, outcome))
    }

    /// Looks at disk and ledger and touches nothing: where the host stands, and what [`start`](Self::start) would do, but for damage to a
    /// kernel image, which is not read for that.
    pub fn examine(disk: Disk<D>, store: S, surroundings: W) -> Result<(Self, Vec<Effect>), AgentError> {
        let ledger = Ledger::load(store).map_err(|(_, error)| error);
        let mut agent = Self { disk, ledger, surroundings, state: State::Unknown, origin: None, patch_failure: None };
        let (state, effects) = step(State::Unknown, Event::Start(agent.situation(&Look::Quick)?));
        agent.state = state;
        Ok((agent, effects))
    }

    /// Where the host stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What is on the disk now.
    pub fn survey(&self) -> Result<Survey, SurveyError> {
        self.disk.survey()
    }

    /// What the ledger says, or why it can't be read.
    pub fn ledger(&self) -> Result<&LedgerContents, &LedgerError> {
        self.ledger.as_ref().map(Ledger::contents)
    }

    /// The time of the host's clock.
    pub fn now(&self) -> UnixSeconds {
        self.surroundings.now()
    }

    /// The disk.
    pub fn disk(&self) -> &Disk<D> {
        &self.disk
    }

    /// Where the blocks of the last installation came from.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Why the last installation could not use a patch, if it tried one and couldn't.
    pub fn patch_failure(&self) -> Option<&str> {
        self.patch_failure.as_deref()
    }

    /// Whether a release would be installed.
    pub fn admit(&self, release: &VerifiedRelease) -> Result<AdmittedRelease, AgentError> {
        self.admit_on(release, &Terms::default())
    }

    /// Whether a release would be installed on these terms.
    pub fn admit_on(&self, release: &VerifiedRelease, terms: &Terms<'_>) -> Result<AdmittedRelease, AgentError> {
        let ledger = match &self.ledger {
            Ok(ledger) => ledger.contents(),
            Err(_) => return Err(Refused::Stuck.into()),
        };
        Ok(admit(release, &self.survey()?, ledger, self.surroundings.now(), terms)?)
    }

    /// Installs a release into the slot that doesn't run, so that the next boot tries it.
    pub fn install(
        &mut self,
        release: AdmittedRelease,
        source: &mut dyn ReleaseSource,
    ) -> Result<ArmedSlot, AgentError> {
        let target = release.target().clone();
        let mut install = Install { target, source, job: Job::Admitted(release) };
        let done = self.handle(Event::Admitted, Some(&mut install), "");
        if done.is_err() && self.state == State::Unknown {
            // What went wrong is told; where that leaves the host is looked up.
            // The first error is the one to tell; without a look, everything else is refused.
            let _ = self.look_again();
        }
        match (done, install.job) {
            (Ok(_), Job::Armed(slot)) => Ok(slot),
            (Ok(_), _) => Err(AgentError::OutOfOrder(Effect::ArmSlot)),
            (Err(error), _) => Err(error),
        }
    }

    /// The health checks held.
    pub fn healthy(&mut self) -> Result<Outcome, AgentError> {
        self.handle(Event::Healthy, None, "")
    }

    /// A health check failed.
    pub fn unhealthy(&mut self, what: &str) -> Result<Outcome, AgentError> {
        self.handle(Event::Unhealthy, None, what)
    }

    /// An operator wants to go back, for a reason.
    pub fn roll_back(&mut self, why: &str) -> Result<Outcome, AgentError> {
        self.handle(Event::Rollback, None, why)
    }

    /// The machine may restart into a version that waits.
    pub fn restart(&mut self) -> Result<Outcome, AgentError> {
        self.handle(Event::Restart, None, "")
    }

    /// What runs was withdrawn, for a reason, and another version waits: the boot loader must not start what runs again,
    /// even if the other one is older.
    pub fn leave_withdrawn(&mut self, why: &str) -> Result<Outcome, AgentError> {
        self.handle(Event::Withdrawn, None, why)
    }

    /// The version that waits was withdrawn, for a reason, before it was tried: it isn't.
    pub fn recall(&mut self, why: &str) -> Result<Outcome, AgentError> {
        self.handle(Event::Recalled, None, why)
    }

    /// An operator lets a version that failed be tried again. Says whether there was one.
    pub fn allow(&mut self, label: &PartitionLabel) -> Result<bool, AgentError> {
        if self.ledger.is_err() {
            return Err(Refused::Stuck.into());
        }
        let survey = self.survey()?;
        let other = survey.other();
        let is_kept = survey.running().entry.as_ref().is_some_and(|entry| entry.tries() == BootTries::Good);
        // Its entry would say at the next start that it used up its tries. Next to a version on trial it is better than nothing.
        if is_kept
            && other.label.as_ref() == Some(label)
            && other.entry.as_ref().is_some_and(|entry| is_spent(entry.tries()))
        {
            self.disk.remove_other_entry()?;
        }
        let now = self.surroundings.now();
        let mut allowed = false;
        self.change(|contents| allowed = contents.allow(&label.to_string(), now))?;
        Ok(allowed)
    }

    /// The restart into the version that waits, or the installation of this one, has to wait.
    pub fn tell_wait(&self, version: &str, wait: &Wait) {
        let slot = self.slot_of(version);
        self.surroundings.tell(&News::of_wait(version.to_owned(), slot, wait));
    }

    /// Derives the state from disk and ledger.
    fn look_again(&mut self) -> Result<Outcome, AgentError> {
        let situation = self.situation(&Look::Whole)?;
        self.handle(Event::Start(situation), None, "")
    }

    fn situation(&self, look: &Look) -> Result<Situation, AgentError> {
        let survey = self.survey()?;
        let ledger = self.ledger.as_ref().ok().map(Ledger::contents);
        let failed = |hash: Option<RootHash>| {
            hash.is_some_and(|hash| ledger.is_some_and(|ledger| ledger.failure(hash).is_some()))
        };
        let running = match survey.running().entry.as_ref().map(BootEntryName::tries) {
            None => Running::NoEntry,
            Some(BootTries::Good) => Running::Good,
            Some(BootTries::Counted { .. }) => Running::OnTrial,
        };
        let other = match survey.other().entry.as_ref().map(BootEntryName::tries) {
            None => Other::Closed,
            Some(BootTries::Good) => Other::Fallback,
            Some(tries) if is_spent(tries) => Other::Spent,
            Some(BootTries::Counted { .. }) => Other::Armed,
        };
        let waiting = ledger.and_then(|ledger| ledger.waiting.as_ref());
        let waiting = waiting.filter(|waiting| Some(waiting.root_hash) == survey.other().root_hash());
        let boot = self.surroundings.boot();
        let due = waiting.zip(boot.as_ref()).is_some_and(|(waiting, boot)| waiting.since != *boot);
        let kernel = waiting.and_then(|waiting| waiting.kernel);
        let kernel = kernel.filter(|_| other == Other::Armed && *look == Look::Whole);
        let floor = ledger.and_then(|ledger| ledger.floor.as_ref());
        Ok(Situation {
            running,
            other,
            tables_need_repair: survey.tables != TableState::Same,
            esp_needs_mending: survey.esp_needs_mending,
            leftovers: !survey.leftovers.is_empty(),
            running_failed: failed(survey.running().root_hash()),
            other_failed: failed(survey.other().root_hash()),
            passed_over: due && survey.other_comes_first(),
            armed_damaged: kernel.is_some_and(|kernel| !self.disk.other_kernel_is(kernel, &survey)),
            wait_unnoted: waiting.is_none() && boot.is_some(),
            left_before: survey.running().entry.as_ref().is_some_and(|entry| was_left(entry.tries())),
            floor_is_lower: floor.is_none_or(|floor| floor < survey.running_label.version()),
            ledger_lost: self.ledger.is_err(),
        })
    }

    /// Takes one step and carries out its effects in order, up to the first that fails.
    fn handle(
        &mut self,
        event: Event,
        mut install: Option<&mut Install<'_>>,
        words: &str,
    ) -> Result<Outcome, AgentError> {
        let (next, effects) = step(self.state, event);
        self.state = next;
        let mut outcome = Outcome::Done;
        for effect in effects {
            match effect {
                Effect::Restart => outcome = Outcome::Restart,
                // Nothing was begun: the state is as it was.
                Effect::Refuse(why) => return Err(why.into()),
                _ => {
                    if let Err(error) = self.perform(effect, install.as_deref_mut(), words) {
                        let (next, after) = step(self.state, Event::Failed);
                        self.state = next;
                        let said = chain(&error);
                        for effect in after {
                            // The first error is the one to tell; that it can't be noted adds nothing.
                            let _ = self.perform(effect, install.as_deref_mut(), &said);
                        }
                        return Err(error);
                    }
                }
            }
        }
        (self.state, _) = step(self.state, Event::Done);
        Ok(outcome)
    }

    fn perform(&mut self, effect: Effect, install: Option<&mut Install<'_>>, words: &str) -> Result<(), AgentError> {
        match effect {
            Effect::RepairTables => Ok(self.disk.repair_tables()?),
            Effect::MendEsp => Ok(self.disk.mend_esp()?),
            Effect::RemoveLeftovers => Ok(self.disk.remove_leftovers()?),
            Effect::VerifyFallback => self.verify_fallback(),
            Effect::RecordFailure(which, cause) => self.record_failure(which, cause, words),
            Effect::TryToRecordFailure(cause) => {
                if let Err(error) = self.record_failure(Which::Running, cause, words) {
                    self.surroundings.warn(&format!("can't note why this version is left: {words}: {}", chain(&error)));
                }
                Ok(())
            }
            Effect::MarkRunningBad => {
                let entry = BootEntryName::on_trial(self.survey()?.running_label, TriesLeft(0));
                Ok(self.disk.rename_running_entry(&entry)?)
            }
            Effect::Bless => {
                let entry = BootEntryName::good(self.survey()?.running_label);
                Ok(self.disk.rename_running_entry(&entry)?)
            }
            Effect::RaiseFloor => self.raise_floor(),
            Effect::NoteDamage => {
                let (now, label) = (self.surroundings.now(), self.survey()?.other().label.clone());
                let label = label.map(|label| label.to_string()).unwrap_or_default();
                self.change(|contents| contents.note(now, Happening::InstallFailed, &label, DAMAGED))
            }
            Effect::NoteWait => {
                let root_hash = self.survey()?.other().root_hash();
                let waiting = root_hash.and_then(|root_hash| self.waiting(root_hash, None));
                self.change(|contents| contents.waiting = waiting)
            }
            Effect::OpenSlot if install.is_none() => Ok(self.disk.remove_other_entry()?),
            Effect::NoteStaging | Effect::NoteArmed | Effect::NoteTrouble => {
                let install = install.ok_or(AgentError::OutOfOrder(effect))?;
                self.note(effect, &install.target, words)
            }
            Effect::OpenSlot
            | Effect::WriteTree
            | Effect::WriteBlocks
            | Effect::VerifySlot
            | Effect::LabelSlot
            | Effect::ArmSlot => self.advance(effect, install.ok_or(AgentError::OutOfOrder(effect))?),
            // Both are for whoever took the step.
            Effect::Restart | Effect::Refuse(_) => Ok(()),
        }
    }

    /// The next step of an installation: takes what the one before it left.
    fn advance(&mut self, effect: Effect, install: &mut Install<'_>) -> Result<(), AgentError> {
        let disk = &mut self.disk;
        install.job = match (effect, std::mem::replace(&mut install.job, Job::None)) {
            (Effect::OpenSlot, Job::Admitted(release)) => Job::Open(release.open(disk)?),
            (Effect::WriteTree, Job::Open(slot)) => Job::Tree(slot.write_tree(disk, install.source)?),
            (Effect::WriteBlocks, Job::Tree(slot)) => {
                let written = slot.write_blocks(disk, install.source)?;
                self.origin = Some(written.origin());
                self.patch_failure = written.patch_failure().map(str::to_owned);
                Job::Written(written)
            }
            (Effect::VerifySlot, Job::Written(slot)) => Job::Staged(slot.verify(disk)?),
            (Effect::LabelSlot, Job::Staged(slot)) => Job::Labelled(slot.label(disk)?),
            (Effect::ArmSlot, Job::Labelled(slot)) => {
                let armed = slot.arm(disk, install.source)?;
                // That of the root is told first: it costs more.
                self.patch_failure = self.patch_failure.take().or_else(|| armed.patch_failure.clone());
                Job::Armed(armed)
            }
            _ => return Err(AgentError::OutOfOrder(effect)),
        };
        Ok(())
    }

    /// Before the running version is given up, the one to go back to must be whole.
    fn verify_fallback(&self) -> Result<(), AgentError> {
        let hash = self.survey()?.other().root_hash().ok_or(Refused::NoFallback)?;
        Ok(verify_other(&self.disk, &hash)?)
    }
}

fn is_spent(tries: BootTries) -> bool {
    matches!(tries, BootTries::Counted { left: TriesLeft(0), .. })
}

/// An error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // A transparent error is its cause, and has its words.
        if !text.ends_with(&cause.to_string()) {
            text.push_str(": ");
            text.push_str(&cause.to_string());
        }
        next = cause.source();
    }
    text
}

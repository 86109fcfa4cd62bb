//! Where a host stands, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;
use slipway_images::disk::Slot;
use slipway_images::names::{BootEntryName, BootTries, TriesLeft};
use slipway_images::verity::RootHash;

use crate::agent::{Agent, Surroundings, chain};
use crate::disk::device::BlockDevice;
use crate::disk::survey::{SlotFound, SurveyError, TableState};
use crate::ledger::{LedgerContents, LedgerStore};
use crate::machine::{Effect, State, Stuck};

/// A slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotView {
    /// `a` or `b`
    pub slot: Slot,
    /// The image in it.
    pub label: Option<String>,
    /// What authenticates it.
    pub root_hash: Option<RootHash>,
    /// Its boot entry.
    pub entry: Option<String>,
    /// What its boot entry makes of it.
    pub standing: Standing,
}

/// What the boot loader does with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing boots it.
    Closed,
    /// It was found good.
    Good,
    /// It is tried so many times more.
    OnTrial {
        /// Tries left.
        tries: u32,
    },
    /// It has used up its tries, or was marked bad.
    Bad,
}

/// Where a host stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The state of the machine.
    pub state: State,
    /// What the agent does when it is started next.
    pub pending: Vec<String>,
    /// What runs.
    pub running: SlotView,
    /// The other slot.
    pub other: SlotView,
    /// The partition tables.
    pub tables: TableState,
    /// What the ledger says; nothing if it can't be read.
    pub ledger: Option<LedgerContents>,
    /// Why it can't be read.
    pub ledger_error: Option<String>,
}

impl View {
    /// The view of an agent, which would do `pending` next.
    pub fn of<D: BlockDevice, S: LedgerStore, W: Surroundings>(
        agent: &Agent<D, S, W>,
        pending: &[Effect],
    ) -> Result<Self, SurveyError> {
        let survey = agent.survey()?;
        let (ledger, ledger_error) = match agent.ledger() {
            Ok(ledger) => (Some(ledger.clone()), None),
            Err(error) => (None, Some(chain(error))),
        };
        Ok(Self {
            state: agent.state(),
            pending: pending.iter().map(ToString::to_string).collect(),
            running: SlotView::of(survey.running()),
            other: SlotView::of(survey.other()),
            tables: survey.tables,
            ledger,
            ledger_error,
        })
    }

    /// What is going on, in one sentence.
    pub fn summary(&self) -> String {
        let running = self.running.label.as_deref().unwrap_or("what runs");
        let other = self.other.label.as_deref().unwrap_or("the other slot");
        match self.state {
            State::Idle { fallback: true } => format!("{running} runs for good; {other} is there to go back to"),
            State::Idle { fallback: false } => format!("{running} runs for good; there is nothing to go back to"),
            State::Trial { fallback: true } => {
                format!("{running} is on trial: it is kept if its health checks hold, else {other} runs again")
            }
            State::Trial { fallback: false } => format!("{running} is on trial, and there is nothing to go back to"),
            State::Armed => format!("{running} runs; the next boot tries {other}"),
            State::Leaving => format!("{running} failed; the next boot starts {other}"),
            State::Stuck { why: Stuck::NoEntry } => {
                format!("{running} runs and has no boot entry: what the next boot starts is not known")
            }
            State::Stuck { why: Stuck::NoFallback } => {
                format!(
                    "{running} failed, and there is nothing to go back to: it runs on until another version can be installed"
                )
            }
            State::Stuck { why: Stuck::NoLedger } => {
                "the ledger can't be read: what failed here is not known, and nothing is installed".to_owned()
            }
            State::Unknown | State::Staging | State::Committing { .. } => "something is under way".to_owned(),
        }
    }

    /// All that explains why the host is where it is.
    pub fn explain(&self) -> String {
        let mut text = format!("{}.\n", self.summary());
        // Writing to a string does not fail, here and below.
        let mut line = |words: String| {
            let _ = writeln!(text, "{words}");
        };
        for (what, slot) in [("runs", &self.running), ("other", &self.other)] {
            let label = slot.label.as_deref().unwrap_or("no image");
            line(format!("  {what:<8}slot {}: {label}, {}", slot.slot, slot.standing.words()));
        }
        if self.tables != TableState::Same {
            line("  disk    the copies of the partition table are not both good and equal".to_owned());
        }
        if let Some(error) = &self.ledger_error {
            line(format!("  ledger  {error}"));
        }
        if let Some(ledger) = &self.ledger {
            if let Some(floor) = &ledger.floor {
                line(format!("  floor   {floor}: nothing older is installed"));
            }
            for failure in &ledger.failures {
                line(format!("  failed  {}: {}", failure.label, failure.reason));
                line(format!("          not tried again until `slipway-agent allow {}`", failure.label));
                for logged in failure.log.iter().rev().take(5).rev() {
                    line(format!("          | {logged}"));
                }
            }
            for trouble in &ledger.troubles {
                let (label, attempts, reason) = (&trouble.label, trouble.attempts, &trouble.reason);
                line(format!("  waits   {label}: could not be installed ({attempts} times): {reason}"));
                line(format!("          not tried again before {}", trouble.not_before));
            }
            if let Some(resume) = &ledger.resume {
                line(format!("  begun   installing {} into slot {}", resume.label, resume.slot));
            }
        }
        if !self.pending.is_empty() {
            line(format!("  next    {}", self.pending.join(", ")));
        }
        text
    }
}

impl SlotView {
    fn of(slot: &SlotFound) -> Self {
        Self {
            slot: slot.name,
            label: slot.label.as_ref().map(ToString::to_string),
            root_hash: slot.root_hash(),
            entry: slot.entry.as_ref().map(ToString::to_string),
            standing: match slot.entry.as_ref().map(BootEntryName::tries) {
                None => Standing::Closed,
                Some(BootTries::Good) => Standing::Good,
                Some(BootTries::Counted { left: TriesLeft(0), .. }) => Standing::Bad,
                Some(BootTries::Counted { left, .. }) => Standing::OnTrial { tries: left.0 },
            },
        }
    }
}

impl Standing {
    fn words(self) -> String {
        match self {
            Self::Closed => "which nothing boots".to_owned(),
            Self::Good => "found good".to_owned(),
            Self::OnTrial { tries: 1 } => "on trial, 1 try left".to_owned(),
            Self::OnTrial { tries } => format!("on trial, {tries} tries left"),
            Self::Bad => "no tries left".to_owned(),
        }
    }
}

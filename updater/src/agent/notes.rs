//! What the agent writes down.

use slipway_images::digest::Digest;
use slipway_images::disk::Slot;
use slipway_images::verity::RootHash;

use super::{Agent, AgentError, Surroundings};
use crate::disk::device::BlockDevice;
use crate::disk::survey::SlotFound;
use crate::journal::News;
use crate::ledger::{Failure, FailureReason, Happening, LedgerContents, LedgerStore, Resume, Waiting};
use crate::machine::{Cause, Effect, Refused, Which};
use crate::release::Target;

impl<D: BlockDevice, S: LedgerStore, W: Surroundings> Agent<D, S, W> {
    pub(super) fn record_failure(&mut self, which: Which, cause: Cause, words: &str) -> Result<(), AgentError> {
        let survey = self.survey()?;
        let slot = match which {
            Which::Running => survey.running(),
            Which::Other => survey.other(),
        };
        let (Some(root_hash), Some(label)) = (slot.root_hash(), &slot.label) else { return Ok(()) };
        let reason = match cause {
            Cause::Health => FailureReason::Health(words.to_owned()),
            Cause::TriesUsedUp => FailureReason::TriesUsedUp,
            Cause::PassedOver => FailureReason::PassedOver,
            Cause::Operator => FailureReason::Operator(words.to_owned()),
            Cause::Withdrawn => FailureReason::Withdrawn(words.to_owned()),
        };
        let (at, log) = (self.surroundings.now(), self.surroundings.log_tail(which, root_hash));
        let failure = Failure { root_hash, label: label.to_string(), reason, at, log };
        self.change(|contents| contents.record_failure(failure))
    }

    pub(super) fn raise_floor(&mut self) -> Result<(), AgentError> {
        let survey = self.survey()?;
        let now = self.surroundings.now();
        let label = survey.running_label;
        self.change(|contents| {
            if contents.floor.as_ref().is_none_or(|floor| floor < label.version()) {
                contents.floor = Some(label.version().clone());
            }
            contents.note(now, Happening::Committed, &label.to_string(), "");
            contents.resume = None;
        })
    }

    pub(super) fn note(&mut self, effect: Effect, target: &Target, words: &str) -> Result<(), AgentError> {
        let (now, slot) = (self.surroundings.now(), self.survey()?.other().name);
        let (root_hash, label) = (target.root_hash, target.label.to_string());
        let waiting = self.waiting(root_hash, Some(target.kernel));
        self.change(|contents| match effect {
            Effect::NoteStaging => {
                contents.waiting = None;
                // One that goes on where a power cut ended it is the same one.
                if contents.resume.as_ref().is_none_or(|resume| resume.root_hash != root_hash) {
                    contents.note(now, Happening::InstallBegun, &label, "");
                    contents.resume = Some(Resume { root_hash, label, slot, since: now });
                }
            }
            Effect::NoteArmed => {
                contents.note(now, Happening::Armed, &label, "");
                contents.resume = None;
                contents.waiting = waiting;
                contents.troubles.retain(|trouble| trouble.root_hash != root_hash);
            }
            _ => contents.record_trouble(root_hash, &target.label, words, now),
        })
    }

    /// That this version waits from now on. `None` if nobody could tell later whether another boot came.
    pub(super) fn waiting(&self, root_hash: RootHash, kernel: Option<Digest>) -> Option<Waiting> {
        self.surroundings.boot().map(|since| Waiting { root_hash, since, kernel })
    }

    /// Changes the ledger, and tells what that has added to its history.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut LedgerContents)) -> Result<(), AgentError> {
        let Ok(ledger) = &mut self.ledger else { return Err(Refused::Stuck.into()) };
        let before = ledger.contents().history.last().cloned();
        ledger.change(change)?;
        let record = ledger.contents().history.last().filter(|record| Some(*record) != before.as_ref()).cloned();
        if let Some(record) = record {
            self.surroundings.tell(&News::of_record(&record, self.slot_of(&record.label)));
        }
        Ok(())
    }

    /// The slot that this version is in, if it is in one.
    pub(super) fn slot_of(&self, version: &str) -> Option<Slot> {
        let survey = self.survey().ok()?;
        let is_in = |slot: &SlotFound| slot.label.as_ref().is_some_and(|label| label.to_string() == version);
        [survey.running(), survey.other()].into_iter().find(|slot| is_in(slot)).map(|slot| slot.name)
    }
}

//! What follows from a look at the repository: a version is installed, the host restarts, or both wait.

use slipway_images::release::ReleaseDocument;
use thiserror::Error;

use super::{CatalogError, Check, Installed, LastCheck, UpdateError, Updater};
use crate::agent::{Agent, AgentError, Outcome, Surroundings, chain};
use crate::disk::device::BlockDevice;
use crate::ledger::LedgerStore;
use crate::machine::State;
use crate::restart::{NotNow, Permit, Restarts, Urgency, Wait};

/// Why it didn't come to its end.
#[derive(Debug, Error)]
pub enum PassError {
    /// The update.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The restart.
    #[error(transparent)]
    NotNow(NotNow),
}

/// What came of it.
#[derive(Debug)]
pub struct Passed {
    /// What was installed, if anything was.
    pub installed: Option<Installed>,
    /// What is to come.
    pub then: Then,
}

/// What is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// The restart, or the installation, waits.
    Waits(Wait),
    /// The machine must restart now.
    Restart(Permit),
}

/// Asks the repository, and keeps what came of it for `explain`.
pub fn look<D: BlockDevice, S: LedgerStore, W: Surroundings>(
    updater: &Updater,
    agent: &Agent<D, S, W>,
) -> Result<Check, UpdateError> {
    let checked = updater.check(agent);
    if matches!(checked, Err(UpdateError::Catalog(CatalogError::InUse))) {
        // What came of the other look is kept.
        return checked;
    }
    let before = LastCheck::load(&updater.root);
    let mut last = match &checked {
        Ok(check) => LastCheck::of(agent.now(), check),
        Err(error) => LastCheck {
            // What the channel said of the version that waits, it said.
            armed: before.as_ref().and_then(|before| before.armed),
            ..LastCheck::failed(agent.now(), chain(error))
        },
    };
    last.waits = before.and_then(|before| before.waits);
    // What `explain` can't tell later is told now all the same.
    let _ = last.keep(&updater.root);
    checked
}

/// The release that was chosen. Before it is asked for, a version that was withdrawn while it waits is taken out: any restart would start it,
/// so that isn't held up by windows, nor by what is chosen instead.
pub fn prepare<D: BlockDevice, S: LedgerStore, W: Surroundings>(
    updater: &Updater,
    agent: &mut Agent<D, S, W>,
    check: &mut Check,
) -> Result<Option<ReleaseDocument>, UpdateError> {
    if let Some(withdrawal) = check.armed().and_then(|offer| offer.withdrawn.as_ref()) {
        agent.recall(&withdrawal.reason)?;
    }
    let release = updater.release(check);
    if let Err(error) = &release {
        note_failure(updater, error);
    }
    release
}

/// Installs the release that [was chosen](prepare), if there is one, and lets the host restart into what is installed. Both may have to wait.
pub fn proceed<D: BlockDevice, S: LedgerStore, W: Surroundings>(
    updater: &Updater,
    agent: &mut Agent<D, S, W>,
    restarts: &Restarts<'_>,
    check: &Check,
    release: Option<&ReleaseDocument>,
) -> Result<Passed, PassError> {
    let passed = go_on(updater, agent, restarts, check, release);
    match &passed {
        Ok(passed) => note_wait(updater, agent, check, passed),
        Err(error) => note_failure(updater, error),
    }
    passed
}

fn go_on<D: BlockDevice, S: LedgerStore, W: Surroundings>(
    updater: &Updater,
    agent: &mut Agent<D, S, W>,
    restarts: &Restarts<'_>,
    check: &Check,
    release: Option<&ReleaseDocument>,
) -> Result<Passed, PassError> {
    let chosen = check.chosen().map(Urgency::from).unwrap_or_default();
    let mut installed = None;
    let mut urgency = check.armed().map(Urgency::from).unwrap_or_default();
    if let Some(release) = release {
        if let Err(wait) = restarts.may_stage(chosen) {
            return Ok(Passed { installed, then: Then::Waits(wait) });
        }
        installed = Some(updater.install(agent, check, release)?);
        urgency = chosen;
    }
    if agent.state() != State::Armed {
        return Ok(Passed { installed, then: Then::Nothing });
    }
    let permit = match restarts.permit(urgency) {
        Ok(permit) => permit,
        Err(NotNow::Waits(wait)) => return Ok(Passed { installed, then: Then::Waits(wait) }),
        Err(error) => return Err(PassError::NotNow(error)),
    };
    // A newer one is preferred by the boot loader, and what runs is better to go back to than nothing.
    let survey = agent.survey().map_err(AgentError::from)?;
    let other = survey.other().label.as_ref().map(|label| label.version().clone());
    let is_older = other.is_some_and(|version| version < *survey.running_label.version());
    let outcome = match &check.choice().running_withdrawn {
        Some(reason) if is_older => agent.leave_withdrawn(reason)?,
        _ => agent.restart()?,
    };
    let then = if outcome == Outcome::Restart { Then::Restart(permit) } else { Then::Nothing };
    Ok(Passed { installed, then })
}

/// What went wrong with the version that was chosen is kept with the choice. What the ledger says of it is for the next attempt.
fn note_failure(updater: &Updater, error: &dyn std::error::Error) {
    if let Some(last) = LastCheck::load(&updater.root) {
        let summary = format!("{}, and that went wrong: {}", last.summary, chain(error));
        // It is for people to read, here and below: what is decided next time is not decided by it.
        let _ = LastCheck { summary, ..last }.keep(&updater.root);
    }
}

/// What is waited for is kept, and told when it is something else than the last time.
fn note_wait<D: BlockDevice, S: LedgerStore, W: Surroundings>(
    updater: &Updater,
    agent: &Agent<D, S, W>,
    check: &Check,
    passed: &Passed,
) {
    let Some(mut last) = LastCheck::load(&updater.root) else { return };
    let waits = match &passed.then {
        Then::Waits(wait) => Some(wait.clone()),
        Then::Nothing | Then::Restart(_) => None,
    };
    let word = |wait: &Option<Wait>| wait.as_ref().map(Wait::word);
    if let Some(wait) = waits.as_ref().filter(|_| word(&waits) != word(&last.waits)) {
        let version = match agent.state() {
            State::Armed => agent.survey().ok().and_then(|survey| survey.other().label.clone()),
            _ => check.chosen().and_then(|offer| check.channel.label(&offer.version).ok()),
        };
        agent.tell_wait(&version.map(|label| label.to_string()).unwrap_or_default(), wait);
    }
    last.waits = waits;
    if passed.installed.is_some() {
        last.armed = check.chosen().map(Urgency::from);
    }
    let _ = last.keep(&updater.root);
}

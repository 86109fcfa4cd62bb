//! What a restart of this host waits for, without asking anybody: for `explain`, `status` and metrics.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use slipway_images::calendar::Moment;
use thiserror::Error;

use super::Restarts;
use super::gate::{Clock, Wait};
use super::lock_note::LockNote;
use super::schedule::ZoneError;
use crate::ledger::UnixSeconds;
use crate::machine::State;
use crate::net::Client;
use crate::update::{LastCheck, Settings, SettingsError};

/// Why it isn't known what a restart waits for.
#[derive(Debug, Error)]
pub enum OutlookError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The zones of the windows.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// What a restart waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// What the version that is installed waits for; nothing if there is none, or it waits for no more than the next pass.
    pub waits: Option<Wait>,
    /// The windows, as they were written.
    pub windows: Vec<String>,
    /// Whether one is open, if there are any. None is by a clock that nobody has set.
    pub window_open: Option<bool>,
    /// When the one that is open closes, or the next one opens; nothing if that doesn't happen.
    pub window_changes: Option<Moment>,
    /// What is remembered of locks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockNote>,
}

impl Outlook {
    /// The outlook of the host whose root is at `root`, which stands there. `last` has what the channel said of the version that
    /// is installed. A host that isn't told of any channel has nothing to wait for.
    pub fn of_host(
        root: &Path,
        state: Option<State>,
        last: Option<&LastCheck>,
        now: UnixSeconds,
    ) -> Result<Self, OutlookError> {
        let note = Some(LockNote::load(root)).filter(|note| *note != LockNote::default());
        let settings = match Settings::load(root) {
            Ok(settings) => settings,
            Err(SettingsError::NoChannel) => return Ok(Self { lock: note, ..Self::default() }),
            Err(error) => return Err(error.into()),
        };
        let client = Client::default();
        let restarts = Restarts::of_host(root, &settings, &client, now, false)?;
        let urgency = last.and_then(|last| last.armed).unwrap_or_default();
        let waits = (state == Some(State::Armed)).then(|| restarts.foresee(urgency)).flatten();
        let (window_open, window_changes) = match &restarts.clock {
            _ if restarts.schedule.is_empty() => (None, None),
            Clock::NotSet { .. } => (Some(false), None),
            Clock::Set(now) if restarts.schedule.is_open(*now) => (Some(true), restarts.schedule.next_closed(*now)),
            Clock::Set(now) => (Some(false), restarts.schedule.next_open(*now).map(|(at, _)| at)),
        };
        let windows = settings.windows.iter().map(ToString::to_string).collect();
        Ok(Self { waits, windows, window_open, window_changes, lock: note })
    }

    /// In lines like those of [`View::explain`](crate::view::View::explain).
    pub fn explain(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let mut line = |name: &str, words: String| {
            let _ = writeln!(text, "  {name:<8}{words}");
        };
        if let Some(wait) = &self.waits {
            line("restart", wait.to_string());
        }
        for (index, window) in self.windows.iter().enumerate() {
            line(if index == 0 { "windows" } else { "" }, window.clone());
        }
        match (self.window_open, self.window_changes) {
            (Some(true), Some(at)) => line("", format!("open until {at}")),
            (Some(true), None) => line("", "open".to_owned()),
            (Some(false), Some(at)) => line("", format!("closed until {at}")),
            (Some(false), None) => line("", "closed: the clock is not set, or no window ever opens".to_owned()),
            (None, _) => {}
        }
        for claim in self.lock.iter().flat_map(|lock| &lock.claims) {
            let has = if claim.certain { "held" } else { "perhaps held" };
            line("lock", format!("{has} since {}: {}", claim.since, claim.place));
            if let Some(delay) = &claim.delay {
                line("", format!("could not be given back ({} times): {}", delay.attempts, delay.words));
            }
        }
        if self.lock.as_ref().is_some_and(|lock| lock.is_lost) {
            line("lock", "what is remembered of it can't be read: it is given back with the next pass".to_owned());
        }
        text
    }
}

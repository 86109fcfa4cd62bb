//! When the host restarts into a version that waits for it: windows, the fleet's lock, and what the version's publisher says.

mod fleet_lock;
mod gate;
mod lock_keeper;
mod lock_note;
mod outlook;
mod schedule;
mod wake;

use std::io;
use std::path::Path;
use std::time::Duration;

use slipway_images::calendar::Moment;
use slipway_trust::time::UnixTime;
use thiserror::Error;

pub use self::fleet_lock::{LockId, LockManager, LockPlace, LockRefusal, PATIENCE, WORDS_MAX};
pub use self::gate::{Clock, Gate, Urgency, Wait};
pub use self::lock_keeper::{LockError, LockKeeper, Permit};
pub use self::lock_note::{Claim, Delay, LOCK_NOTE_PATH, LockNote};
pub use self::outlook::{Outlook, OutlookError};
pub use self::schedule::{Schedule, ZoneError};
pub use self::wake::Wake;
use crate::checks;
use crate::ledger::UnixSeconds;
use crate::machine::State;
use crate::net::Client;
use crate::update::Settings;

/// How long it may take to find out whether the clock was set.
const CLOCK_LIMIT: Duration = Duration::from_secs(10);
/// A claim is given back after so long even if it can't be said where the host stands, in seconds: a day.
const LONGEST_UNKNOWN: u64 = 24 * 3600;

/// Why there is no restart.
#[derive(Debug, Error)]
pub enum NotNow {
    /// It waits for something.
    #[error("the restart {0}")]
    Waits(Wait),
    /// That the lock is claimed can't be written down.
    #[error("can't write down that the lock is claimed")]
    Note(#[source] io::Error),
}

/// The restarts of a host.
#[derive(Debug)]
pub struct Restarts<'a> {
    root: &'a Path,
    settings: &'a Settings,
    client: &'a Client,
    schedule: Schedule,
    clock: Clock,
    now: UnixSeconds,
    by_hand: bool,
}

impl<'a> Restarts<'a> {
    /// The restarts of the host whose root is at `root`, and whose clock shows `now`. `by_hand`: an operator is waiting.
    pub fn of_host(
        root: &'a Path,
        settings: &'a Settings,
        client: &'a Client,
        now: UnixSeconds,
        by_hand: bool,
    ) -> Result<Self, ZoneError> {
        let schedule = Schedule::load(root, &settings.windows)?;
        // Who asks neither windows nor a lock manager for their time needs no clock.
        let needs_clock = !schedule.is_empty() || settings.fleet_lock.is_some();
        let clock = if needs_clock { read_clock(root, now) } else { Clock::Set(Moment::from_seconds(now.0)) };
        Ok(Self { root, settings, client, schedule, clock, now, by_hand })
    }

    /// Whether a version may be installed.
    pub fn may_stage(&self, urgency: Urgency) -> Result<(), Wait> {
        self.gate().stage(self.settings.stage, urgency)
    }

    /// Lets the host restart into a version that waits, or says why not. The lock is taken then.
    pub fn permit(&self, urgency: Urgency) -> Result<Permit, NotNow> {
        self.gate().restart(urgency).map_err(NotNow::Waits)?;
        let Some(lock) = &self.settings.fleet_lock else { return Ok(Permit::NotNeeded) };
        let mut keeper = LockKeeper::new(self.root, self.client, self.now);
        let clock_is_set = matches!(self.clock, Clock::Set(_));
        keeper.take(lock, self.by_hand, clock_is_set).map_err(|error| match error {
            LockError::Note(error) => NotNow::Note(error),
            LockError::Delayed(delay) => NotNow::Waits(Wait::Lock(delay)),
        })
    }

    /// What a restart would wait for, without asking anybody.
    pub fn foresee(&self, urgency: Urgency) -> Option<Wait> {
        if let Err(wait) = self.gate().restart(urgency) {
            return Some(wait);
        }
        self.settings.fleet_lock.as_ref()?;
        LockNote::load(self.root).delay.map(Wait::Lock)
    }

    fn gate(&self) -> Gate<'_> {
        let (schedule, clock) = (&self.schedule, &self.clock);
        Gate { restarts: self.settings.restart, by_hand: self.by_hand, schedule, clock }
    }
}

/// Gives back the locks of a host that isn't about to restart, unless a version is on trial: then the lock is kept until
/// it has been found good, or the host is back. `state`: where the host stands, nothing if that can't be said. Says whether
/// it has none any more.
pub fn release_locks(
    root: &Path,
    client: &Client,
    now: UnixSeconds,
    state: Option<State>,
    settings: Option<&Settings>,
) -> io::Result<bool> {
    let mut keeper = LockKeeper::new(root, client, now);
    let oldest = keeper.note().claims.iter().map(|claim| claim.since.0).min();
    if !ends_claims(state, oldest.map(|since| now.0.saturating_sub(since))) {
        return Ok(false);
    }
    if state != Some(State::Armed) {
        keeper.forget_delay()?;
    }
    keeper.release(settings.and_then(|settings| settings.fleet_lock.as_ref()))
}

/// Whether a host that isn't about to restart has no use for a lock. `age`: seconds since its oldest claim.
fn ends_claims(state: Option<State>, age: Option<u64>) -> bool {
    match state {
        Some(State::Idle { .. } | State::Armed | State::Stuck { .. }) => true,
        Some(State::Trial { .. } | State::Committing { .. } | State::Leaving) => false,
        Some(State::Unknown | State::Staging) | None => age.is_some_and(|age| age > LONGEST_UNKNOWN),
    }
}

/// The clock of the host whose root is at `root`.
fn read_clock(root: &Path, now: UnixSeconds) -> Clock {
    let built = crate::update::built(root);
    if UnixTime::from_secs(now.0) < built {
        return Clock::NotSet { why: format!("it shows {now}, and this image was made at {built}") };
    }
    match checks::clock_is_set(root, CLOCK_LIMIT) {
        Ok(_) => Clock::Set(Moment::from_seconds(now.0)),
        Err(why) => Clock::NotSet { why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Stuck;

    #[test]
    fn only_a_trial_keeps_a_lock_and_what_is_not_known_does_for_a_day() {
        for state in [
            State::Idle { fallback: true },
            State::Idle { fallback: false },
            State::Armed,
            State::Stuck { why: Stuck::NoFallback },
            State::Stuck { why: Stuck::NoEntry },
            State::Stuck { why: Stuck::NoLedger },
        ] {
            assert!(ends_claims(Some(state), Some(0)), "{state:?}");
        }
        for state in [State::Trial { fallback: true }, State::Committing { fallback: true }, State::Leaving] {
            assert!(!ends_claims(Some(state), Some(u64::MAX)), "{state:?}");
        }
        for (age, ends) in [(None, false), (Some(LONGEST_UNKNOWN), false), (Some(LONGEST_UNKNOWN + 1), true)] {
            assert_eq!(ends_claims(None, age), ends);
        }
    }
}

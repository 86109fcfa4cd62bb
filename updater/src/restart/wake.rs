//! The next look at things before the timer's: when a window opens, when a lock manager may be asked again.
//!
//! A transient timer of systemd does it, so that nothing waits in memory. Its name has its time in it: asking for the same twice
//! makes one. Where it can't be made, the timer of the image comes a little later.

use std::time::Duration;

use slipway_images::calendar::Moment;

use super::gate::Wait;
use super::lock_note::{Delay, LockNote};
use crate::process;

/// What starts a pass.
const SERVICE: &str = "slipway-update.service";
/// How long systemd may take to answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Hosts don't all come at the moment when their window opens. The shortest is twice as long.
const SPREAD_OF_WINDOWS: Duration = Duration::from_mins(5);
const SPREAD_OF_RETRIES: Duration = Duration::from_secs(30);
/// After so many attempts to give a lock back, the timer of the image is soon enough.
const EAGER_RELEASES: u32 = 20;

/// A wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Not before.
    pub at: Moment,
    /// And within so long after.
    pub spread: Duration,
}

impl Wake {
    /// The next wake-up of a host that waits for something, or has a lock to give back, if it is known when.
    pub fn of(wait: Option<&Wait>, note: &LockNote) -> Option<Self> {
        let retry = |delay: &Delay| Self { at: Moment::from_seconds(delay.not_before.0), spread: SPREAD_OF_RETRIES };
        let waits = wait.and_then(|wait| match wait {
            Wait::Window { from } => from.map(|at| Self { at, spread: SPREAD_OF_WINDOWS }),
            Wait::Lock(delay) => Some(retry(delay)),
            Wait::Somebody | Wait::Paused | Wait::Clock { .. } => None,
        });
        let releases = note.claims.iter().filter_map(|claim| claim.delay.as_ref());
        let releases = releases.filter(|delay| delay.attempts < EAGER_RELEASES).map(retry);
        waits.into_iter().chain(releases).min_by_key(|wake| wake.at)
    }

    /// Has systemd start a pass then.
    pub fn arrange(&self) -> Result<(), String> {
        let argv = self.command();
        let finished = process::run(&argv, LIMIT, 4096).map_err(|error| error.to_string())?;
        let failure = finished.failure();
        // That there is one already is as good.
        let is_there = failure.contains("already");
        if finished.succeeded() || is_there { Ok(()) } else { Err(format!("systemd-run {failure}")) }
    }

    fn command(&self) -> Vec<String> {
        let (at, spread) = (self.at, self.spread.as_secs());
        let unit = format!("--unit=slipway-wake-{}", at.seconds());
        let calendar = format!("--on-calendar={at}");
        let spread = format!("--timer-property=RandomizedDelaySec={spread}s");
        let fixed = ["systemd-run", "--quiet", "--collect"].map(str::to_owned);
        let accuracy = "--timer-property=AccuracySec=1s".to_owned();
        let start = ["systemctl", "start", "--no-block", SERVICE].map(str::to_owned);
        fixed.into_iter().chain([unit, calendar, spread, accuracy]).chain(start).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::UnixSeconds;
    use crate::restart::{Claim, LockPlace};

    fn delay(attempts: u32, not_before: u64) -> Delay {
        let (since, words) = (UnixSeconds(0), "no".to_owned());
        Delay { attempts, since, away_since: None, words, not_before: UnixSeconds(not_before) }
    }

    #[test]
    fn the_first_thing_to_happen_wakes() {
        let window = Wait::Window { from: Some(Moment::from_seconds(7200)) };
        let mut note = LockNote::default();
        assert_eq!(Wake::of(None, &note), None);
        assert_eq!(Wake::of(Some(&Wait::Paused), &note), None);
        assert_eq!(Wake::of(Some(&Wait::Window { from: None }), &note), None);
        let at = |wait: Option<&Wait>, note: &LockNote| Wake::of(wait, note).map(|wake| wake.at.seconds());
        assert_eq!(at(Some(&window), &note), Some(7200));
        assert_eq!(at(Some(&Wait::Lock(delay(1, 77))), &note), Some(77));
        let place = LockPlace { url: "http://l/".to_owned(), group: slipway_images::update::LockGroup::default() };
        note.claims.push(Claim { place, since: UnixSeconds(1), certain: true, delay: Some(delay(1, 7199)) });
        assert_eq!(at(Some(&window), &note), Some(7199));
        assert_eq!(at(None, &note), Some(7199));
        note.claims[0].delay = Some(delay(EAGER_RELEASES, 7199));
        assert_eq!(at(None, &note), None);
    }

    #[test]
    fn systemd_understands_the_time() {
        let wake = Wake { at: Moment::from_seconds(1_795_365_605), spread: Duration::from_mins(7) };
        let command = wake.command();
        assert!(command.contains(&"--on-calendar=2026-11-22 16:40:05 UTC".to_owned()), "{command:?}");
        assert!(command.contains(&"--timer-property=RandomizedDelaySec=420s".to_owned()), "{command:?}");
        assert!(command.contains(&"--unit=slipway-wake-1795365605".to_owned()), "{command:?}");
    }
}

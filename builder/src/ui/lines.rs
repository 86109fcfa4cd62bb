//! Plain lines, for logs and pipes: one when a phase begins, one when it ends, one now and then between.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use slipway_builder::progress::{Event, Phase};

use super::format::{bytes, duration};
use super::{counts_bytes, label};

/// How long a phase runs before it says again that it does.
const SILENCE: Duration = Duration::from_secs(10);

/// What runs.
pub struct Lines {
    running: Mutex<BTreeMap<Phase, Running>>,
}

struct Running {
    started: Instant,
    spoke: Instant,
    done: u64,
    total: Option<u64>,
}

impl Lines {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self { running: Mutex::default() }
    }

    /// Prints the line that `event` calls for, if any.
    pub fn event(&self, event: &Event<'_>) {
        if let Some(line) = self.line(event, Instant::now()) {
            // A pipe that was closed is no reason to stop a build.
            writeln!(io::stderr().lock(), "{line}").ok();
        }
    }

    fn line(&self, event: &Event<'_>, now: Instant) -> Option<String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match *event {
            Event::Start(phase, total) => {
                running.insert(phase, Running { started: now, spoke: now, done: 0, total });
                let size = total.map(|total| format!(": {}", amount(phase, total))).unwrap_or_default();
                Some(format!("{}{size}", label(phase)))
            }
            Event::Advance(phase, more) => {
                let state = running.get_mut(&phase)?;
                state.done = state.done.saturating_add(more);
                (now.duration_since(state.spoke) >= SILENCE).then(|| {
                    state.spoke = now;
                    state.line(phase, now)
                })
            }
            Event::Done(phase, outcome) => {
                let taken = running.remove(&phase).map_or(Duration::ZERO, |state| now.duration_since(state.started));
                Some(format!("{}: {outcome} ({})", label(phase), duration(taken)))
            }
            Event::Note(text) => Some(text.to_owned()),
        }
    }
}

impl Running {
    fn line(&self, phase: Phase, now: Instant) -> String {
        let elapsed = now.duration_since(self.started);
        let mut line = format!("{}: {}", label(phase), amount(phase, self.done));
        if let Some(total) = self.total {
            let to_do = u128::from(total.saturating_sub(self.done));
            let left = elapsed.as_millis().saturating_mul(to_do) / u128::from(self.done.max(1));
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX));
            // Writing to a String cannot fail.
            write!(line, " of {}, about {} left", amount(phase, total), duration(left)).ok();
        }
        line
    }
}

fn amount(phase: Phase, amount: u64) -> String {
    if counts_bytes(phase) { bytes(amount) } else { format!("{amount} steps") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_phase_speaks_every_ten_seconds_and_no_oftener() {
        let lines = Lines::new();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let line = |event, seconds| lines.line(&event, at(seconds));
        assert_eq!(
            line(Event::Start(Phase::Fetch, Some(100_000_000)), 0).as_deref(),
            Some("Fetching packages: 100 MB")
        );
        assert_eq!(line(Event::Advance(Phase::Fetch, 10_000_000), 4), None);
        assert_eq!(
            line(Event::Advance(Phase::Fetch, 10_000_000), 11).as_deref(),
            Some("Fetching packages: 20.0 MB of 100 MB, about 44 s left")
        );
        assert_eq!(line(Event::Advance(Phase::Fetch, 10_000_000), 12), None);
        assert_eq!(
            line(Event::Done(Phase::Fetch, "111 packages"), 15).as_deref(),
            Some("Fetching packages: 111 packages (15 s)")
        );
        assert_eq!(line(Event::Advance(Phase::Fetch, 1), 40), None, "a phase that ended is silent");
    }
}

//! Progress bars on a terminal.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use slipway_builder::progress::{Event, Phase};

use super::format::duration;
use super::{columns, counts_bytes, label};

const BYTES: &str = "{msg:26} {wide_bar:.cyan/dim} {decimal_bytes:>9} of {decimal_total_bytes:9} \
                     {decimal_bytes_per_sec:>11} {eta:>4} left";
const STEPS: &str = "{msg:26} {wide_bar:.cyan/dim} {pos:>6} of {len:6}";
const BYTES_UNKNOWN: &str = "{msg:26} {spinner:.cyan} {decimal_bytes} {decimal_bytes_per_sec}";
const STEPS_UNKNOWN: &str = "{msg:26} {spinner:.cyan} {elapsed}";
/// On a terminal that has no room for [`BYTES`] or [`STEPS`]: a line that wraps leaves its rest on the screen.
const NARROW: &str = "{msg:26} {wide_bar:.cyan/dim} {percent:>3} %";
/// Columns that [`BYTES`] needs with a bar that is worth its name.
const NARROW_BELOW: usize = 84;

/// A bar per running phase; a line stays on the screen for each that ended.
pub struct Bars {
    screen: MultiProgress,
    running: Mutex<BTreeMap<Phase, ProgressBar>>,
}

impl Bars {
    /// No bar yet.
    pub fn new() -> Self {
        Self { screen: MultiProgress::new(), running: Mutex::default() }
    }

    /// Shows what happened.
    pub fn event(&self, event: &Event<'_>) {
        match *event {
            Event::Start(phase, total) => {
                let bar = self.screen.add(total.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
                bar.set_style(style(phase, total.is_some(), columns()));
                bar.set_message(label(phase));
                bar.enable_steady_tick(Duration::from_millis(120));
                if let Some(old) = self.running().insert(phase, bar) {
                    old.finish_and_clear();
                }
            }
            Event::Advance(phase, amount) => {
                if let Some(bar) = self.running().get(&phase) {
                    bar.inc(amount);
                }
            }
            Event::Done(phase, outcome) => {
                if let Some(bar) = self.running().remove(&phase) {
                    let taken = duration(bar.elapsed());
                    bar.finish_and_clear();
                    self.line(&format!("{:26} {outcome} ({taken})", label(phase)));
                }
            }
            Event::Note(text) => self.line(text),
        }
    }

    /// Runs `write` with the bars off the screen.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.screen.suspend(write)
    }

    /// Takes what still runs off the screen.
    pub fn finish(&self) {
        for bar in std::mem::take(&mut *self.running()).into_values() {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        // A terminal that went away is no reason to stop a build.
        self.screen.println(text).ok();
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Phase, ProgressBar>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style(phase: Phase, total_known: bool, columns: usize) -> ProgressStyle {
    let template = match (counts_bytes(phase), total_known) {
        (_, true) if columns < NARROW_BELOW => NARROW,
        (true, true) => BYTES,
        (false, true) => STEPS,
        (true, false) => BYTES_UNKNOWN,
        (false, false) => STEPS_UNKNOWN,
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_template_is_understood() {
        for template in [BYTES, STEPS, BYTES_UNKNOWN, STEPS_UNKNOWN, NARROW] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}

//! Whether the host may restart into a version that waits for it, and if not, what it waits for. Pure: nothing is read or
//! asked here.
//!
//! Only a restart into a version to be tried passes here. Going back is never held up: what runs then is bad, and no window
//! makes it better.

use serde::{Deserialize, Serialize};
use slipway_images::calendar::Moment;
use slipway_images::release::Offer;
use slipway_images::update::StageWhen;
use thiserror::Error;

use super::lock_note::Delay;
use super::schedule::Schedule;

/// The host's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Something has set it.
    Set(Moment),
    /// It may show any time.
    NotSet {
        /// Why it is thought so.
        why: String,
    },
}

/// What a restart, or an installation, waits for.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "for")]
pub enum Wait {
    /// The settings leave restarts to somebody else.
    #[error("is left to somebody else: `restart` is off")]
    Somebody,
    /// The rollout of the version that is installed was paused.
    #[error("waits: the rollout of the version that is installed was paused")]
    Paused,
    /// No window is open as long as the time isn't known.
    #[error("waits for a window, and none opens before the clock is set: {why}")]
    Clock {
        /// Why it isn't known.
        why: String,
    },
    /// No window is open.
    #[error("waits for its window{}", .from.map_or_else(|| ", which never opens".to_owned(), |from| format!(" from {from} on")))]
    Window {
        /// When the next one opens; never, if there is nothing.
        from: Option<Moment>,
    },
    /// The lock manager doesn't agree.
    #[error("waits for the fleet's lock since {}: {}", .0.since, .0.words)]
    Lock(Delay),
}

impl Wait {
    /// What is waited for, in a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Somebody => "somebody",
            Self::Paused => "rollout",
            Self::Clock { .. } => "clock",
            Self::Window { .. } => "window",
            Self::Lock(_) => "lock",
        }
    }

    /// All words, for [`word`](Self::word).
    pub const WORDS: [&str; 5] = ["somebody", "rollout", "clock", "window", "lock"];
}

/// What the channel says of the version in question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Urgency {
    /// It waits for no window.
    pub immediate: bool,
    /// Who hasn't begun to run it, shall not.
    pub paused: bool,
}

impl From<&Offer> for Urgency {
    fn from(offer: &Offer) -> Self {
        Self { immediate: offer.rollout.immediate, paused: offer.rollout.paused }
    }
}

/// All that counts but the lock.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Whether the agent may restart the host at all.
    pub restarts: bool,
    /// An operator asks for it now.
    pub by_hand: bool,
    /// The windows.
    pub schedule: &'a Schedule,
    /// The clock.
    pub clock: &'a Clock,
}

impl Gate<'_> {
    /// Whether the host may restart into a version, but for the lock.
    pub fn restart(&self, urgency: Urgency) -> Result<(), Wait> {
        match urgency {
            _ if !self.restarts => Err(Wait::Somebody),
            _ if self.by_hand => Ok(()),
            Urgency { paused: true, .. } => Err(Wait::Paused),
            Urgency { immediate: true, .. } => Ok(()),
            _ => self.window(),
        }
    }

    /// Whether a version may be installed.
    pub fn stage(&self, when: StageWhen, urgency: Urgency) -> Result<(), Wait> {
        if when == StageWhen::AnyTime || self.by_hand || urgency.immediate { Ok(()) } else { self.window() }
    }

    fn window(&self) -> Result<(), Wait> {
        if self.schedule.is_empty() {
            return Ok(());
        }
        match self.clock {
            Clock::NotSet { why } => Err(Wait::Clock { why: why.clone() }),
            Clock::Set(now) if self.schedule.is_open(*now) => Ok(()),
            Clock::Set(now) => Err(Wait::Window { from: self.schedule.next_open(*now).map(|(from, _)| from) }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    const PLAIN: Urgency = Urgency { immediate: false, paused: false };
    const IMMEDIATE: Urgency = Urgency { immediate: true, paused: false };
    const PAUSED: Urgency = Urgency { immediate: true, paused: true };

    fn schedule(windows: &[&str]) -> Schedule {
        let windows: Vec<_> = windows.iter().map(|text| text.parse().unwrap()).collect();
        Schedule::load(Path::new("/"), &windows).unwrap()
    }

    fn at(text: &str) -> Clock {
        Clock::Set(text.parse().unwrap())
    }

    #[test]
    fn a_window_holds_back_unless_an_operator_or_the_publisher_says_now() {
        let schedule = schedule(&["02:00-04:00 Europe/Berlin"]);
        let (closed, open) = (at("2026-11-27T12:00:00Z"), at("2026-11-27T01:30:00Z"));
        let gate = Gate { restarts: true, by_hand: false, schedule: &schedule, clock: &closed };
        let wait = gate.restart(PLAIN).unwrap_err();
        assert_eq!(wait.to_string(), "waits for its window from 2026-11-28 01:00:00 UTC on");
        assert_eq!(gate.restart(IMMEDIATE), Ok(()));
        assert_eq!(gate.restart(PAUSED), Err(Wait::Paused));
        assert_eq!(Gate { clock: &open, ..gate }.restart(PLAIN), Ok(()));
        assert_eq!(Gate { by_hand: true, ..gate }.restart(PAUSED), Ok(()));
        for urgency in [PLAIN, IMMEDIATE, PAUSED] {
            let gate = Gate { restarts: false, by_hand: true, clock: &open, ..gate };
            assert_eq!(gate.restart(urgency), Err(Wait::Somebody));
        }
    }

    #[test]
    fn no_window_opens_by_a_clock_that_nobody_has_set() {
        let windows = schedule(&["00:00-24:00"]);
        let clock = Clock::NotSet { why: "it shows 1970".to_owned() };
        let gate = Gate { restarts: true, by_hand: false, schedule: &windows, clock: &clock };
        let wait = gate.restart(PLAIN).unwrap_err();
        assert_eq!(wait.to_string(), "waits for a window, and none opens before the clock is set: it shows 1970");
        assert_eq!(gate.restart(IMMEDIATE), Ok(()));
        let always = Schedule::default();
        assert_eq!(Gate { schedule: &always, ..gate }.restart(PLAIN), Ok(()));
    }

    #[test]
    fn an_installation_waits_for_a_window_only_where_the_settings_say_so() {
        let windows = schedule(&["02:00-04:00"]);
        let clock = at("2026-11-27T12:00:00Z");
        let gate = Gate { restarts: false, by_hand: false, schedule: &windows, clock: &clock };
        assert_eq!(gate.stage(StageWhen::AnyTime, PLAIN), Ok(()));
        assert_eq!(gate.stage(StageWhen::InWindows, IMMEDIATE), Ok(()));
        assert!(matches!(gate.stage(StageWhen::InWindows, PLAIN), Err(Wait::Window { from: Some(_) })));
        assert_eq!(Gate { by_hand: true, ..gate }.stage(StageWhen::InWindows, PLAIN), Ok(()));
    }

    #[test]
    fn what_is_waited_for_has_a_word_and_is_kept_as_it_was() {
        let delay = Delay::after(None, "no".to_owned(), false, crate::ledger::UnixSeconds(60));
        let waits = [
            Wait::Somebody,
            Wait::Paused,
            Wait::Clock { why: "x".to_owned() },
            Wait::Window { from: None },
            Wait::Lock(delay),
        ];
        assert_eq!(waits.each_ref().map(Wait::word), Wait::WORDS);
        for wait in waits {
            let text = serde_json::to_string(&wait).unwrap();
            assert_eq!(serde_json::from_str::<Wait>(&text).unwrap(), wait, "{text}");
        }
    }
}

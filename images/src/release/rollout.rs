//! How a version reaches the hosts of a channel, some before others.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DocumentError;
use crate::calendar::Moment;
use crate::digest::Digest;
use crate::version::Version;

/// Most stages of a rollout.
pub const STAGES_MAX: usize = 64;
const AFTER_MAX: Duration = Duration::from_hours(366 * 24);

/// When which share of the hosts may take a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Nobody takes it before.
    pub start: Moment,
    /// The shares that may, each from a later time on. None: everybody from the start.
    pub stages: Vec<Stage>,
    /// Nobody else begins to take it. Hosts that have it keep it.
    pub paused: bool,
    /// Everybody from the start, whatever the stages and the hosts' maintenance windows.
    pub immediate: bool,
}

/// A share of the hosts, and since when it may take a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The share.
    pub percent: Percent,
    /// Time since the start, in whole seconds; at most 366 days.
    pub after: Duration,
}

/// A share, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// A number that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no percentage from 1 to 100")]
pub struct PercentError(u8);

impl Percent {
    /// All hosts.
    pub const ALL: Self = Self(100);

    /// Checks and wraps it.
    pub fn new(percent: u8) -> Result<Self, PercentError> {
        if (1..=100).contains(&percent) { Ok(Self(percent)) } else { Err(PercentError(percent)) }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = PercentError;

    fn try_from(percent: u8) -> Result<Self, PercentError> {
        Self::new(percent)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl Rollout {
    /// Everybody, from this moment on.
    pub const fn everybody(start: Moment) -> Self {
        Self { start, stages: Vec::new(), paused: false, immediate: false }
    }

    /// The share of hosts that may take the version at `now`; `None` when nobody may.
    pub fn share_at(&self, now: Moment) -> Option<Percent> {
        if self.paused || now < self.start {
            return None;
        }
        if self.immediate || self.stages.is_empty() {
            return Some(Percent::ALL);
        }
        let since = Duration::from_secs(now.seconds() - self.start.seconds());
        self.stages.iter().rev().find(|stage| stage.after <= since).map(|stage| stage.percent)
    }

    /// When a host at this place may take the version, unless the rollout is paused; `None` when no stage reaches it.
    pub fn turn_of(&self, place: HostPlace) -> Option<Moment> {
        if self.immediate || self.stages.is_empty() {
            return Some(self.start);
        }
        let stage = self.stages.iter().find(|stage| place.is_within(stage.percent))?;
        Some(Moment::from_seconds(self.start.seconds().saturating_add(stage.after.as_secs())))
    }

    pub(super) fn check(&self) -> Result<(), DocumentError> {
        let bad = |problem| {
            Err(DocumentError::Field { document: super::channel::DOCUMENT, field: "offers.rollout.stages", problem })
        };
        let rises = |pair: &[Stage]| pair[0].percent < pair[1].percent && pair[0].after < pair[1].after;
        if self.stages.len() > STAGES_MAX {
            return bad("are more than 64");
        }
        if !self.stages.windows(2).all(rises) {
            return bad("don't rise, in percent and in time");
        }
        if self.stages.iter().any(|stage| stage.after > AFTER_MAX || stage.after.subsec_nanos() > 0) {
            return bad("are after more than 366 days, or not whole seconds");
        }
        Ok(())
    }
}

/// Where a host stands in the order in which the hosts take a version: the first 64 bits, big-endian, of the SHA-256 of
/// `slipway rollout v1`, a NUL, the machine id as 32 hexadecimal digits, a NUL and the version. So it is another order for
/// each version, and the same whenever it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPlace(u64);

impl HostPlace {
    /// The place of the host with this machine id (`/etc/machine-id`) for a version.
    pub fn of(machine_id: &str, version: &Version) -> Self {
        let digest = Digest::of(format!("slipway rollout v1\0{}\0{version}", machine_id.trim_end()).as_bytes());
        let start = digest.as_bytes().first_chunk().copied().unwrap_or_default();
        Self(u64::from_be_bytes(start))
    }

    /// Whether the host is among the first so many of a hundred.
    pub fn is_within(self, percent: Percent) -> bool {
        u128::from(self.0) * 100 < u128::from(percent.0) << 64
    }
}

/// A rollout as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct RolloutShape {
    start: Moment,
    #[serde(default)]
    stages: Vec<StageShape>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    immediate: bool,
}

#[derive(Serialize, Deserialize)]
struct StageShape {
    percent: Percent,
    after: u64,
}

impl From<&Rollout> for RolloutShape {
    fn from(rollout: &Rollout) -> Self {
        let stage = |stage: &Stage| StageShape { percent: stage.percent, after: stage.after.as_secs() };
        Self {
            start: rollout.start,
            stages: rollout.stages.iter().map(stage).collect(),
            paused: rollout.paused,
            immediate: rollout.immediate,
        }
    }
}

impl From<RolloutShape> for Rollout {
    fn from(shape: RolloutShape) -> Self {
        let stage = |stage: StageShape| Stage { percent: stage.percent, after: Duration::from_secs(stage.after) };
        Self {
            start: shape.start,
            stages: shape.stages.into_iter().map(stage).collect(),
            paused: shape.paused,
            immediate: shape.immediate,
        }
    }
}

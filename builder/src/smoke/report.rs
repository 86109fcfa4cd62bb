//! What a test boot came to.

use std::path::PathBuf;

use serde::Serialize;

use super::timeline::Timeline;
use crate::report::{BootReport, UnitSpan};

/// How many units of a boot go into a build's report, those that took longest.
const UNITS_REPORTED: usize = 16;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// Milliseconds it took.
    pub ms: u64,
    /// What was found.
    pub detail: String,
}

impl From<slipway_qemu::CheckResult> for Outcome {
    fn from(result: slipway_qemu::CheckResult) -> Self {
        Self { name: result.name, ok: result.ok, ms: result.ms, detail: result.detail }
    }
}

/// One boot, from power-on or restart to the end of its checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// What was looked at, in order.
    pub outcomes: Vec<Outcome>,
    /// Where the time went; empty if the boot wasn't finished.
    pub timeline: Timeline,
}

/// What a test came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SmokeReport {
    /// The image, `id_version`.
    pub image: String,
    /// What executed the guest: `kvm` or `tcg`.
    pub accelerator: String,
    /// Why it was this one.
    pub accelerator_reason: String,
    /// The first boot, and the second if there was one.
    pub boots: Vec<Boot>,
    /// What ended the test before its time, with the ends of the logs.
    pub broke: Option<String>,
    /// Milliseconds from power-on to power-off, by the host's clock.
    pub wall_ms: u64,
    /// Milliseconds of CPU time that QEMU used.
    pub cpu_ms: u64,
    /// The console's log.
    pub serial_log: Option<PathBuf>,
}

impl SmokeReport {
    /// Whether all was as it must be.
    pub fn passed(&self) -> bool {
        self.broke.is_none() && self.outcomes().all(|(_, outcome)| outcome.ok)
    }

    /// All that was looked at, with the number of its boot from 1.
    pub fn outcomes(&self) -> impl Iterator<Item = (usize, &Outcome)> {
        (1..).zip(&self.boots).flat_map(|(number, boot)| boot.outcomes.iter().map(move |outcome| (number, outcome)))
    }

    /// How many failed, and of how many.
    pub fn failed_of(&self) -> (usize, usize) {
        (self.outcomes().filter(|(_, outcome)| !outcome.ok).count(), self.outcomes().count())
    }

    /// The first boot, for a build's report; `None` if it never came so far that its times were known.
    pub fn first_boot(&self) -> Option<BootReport> {
        let timeline = &self.boots.first()?.timeline;
        let milestones: Vec<_> =
            timeline.milestones.iter().map(|milestone| (milestone.name.clone(), milestone.ms)).collect();
        let units = timeline.units.iter().take(UNITS_REPORTED).map(|unit| UnitSpan {
            name: unit.name.clone(),
            started_ms: unit.started_ms,
            active_ms: unit.active_ms,
        });
        let accelerator = self.accelerator.clone();
        (!milestones.is_empty()).then(|| BootReport { accelerator, milestones, units: units.collect() })
    }
}

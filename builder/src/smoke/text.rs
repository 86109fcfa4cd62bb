//! A smoke report as a person reads it.

use std::fmt;

use super::report::SmokeReport;

/// How many units of a boot are shown, those that took longest.
const UNITS_SHOWN: usize = 8;

impl fmt::Display for SmokeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.outcomes().map(|(_, outcome)| outcome.name.chars().count());
        let width = names.max().unwrap_or_default();
        for (number, boot) in (1..).zip(&self.boots) {
            writeln!(f, "boot {number}")?;
            for outcome in &boot.outcomes {
                let verdict = if outcome.ok { "ok    " } else { "FAILED" };
                let mut lines = outcome.detail.trim_end().lines();
                let first = lines.next().unwrap_or_default();
                let line = format!("  {verdict}  {:width$}  {:>7}  {first}", outcome.name, seconds(outcome.ms));
                writeln!(f, "{}", line.trim_end())?;
                // What was found matters only where it is wrong.
                for line in lines.filter(|_| !outcome.ok) {
                    writeln!(f, "  {:6}  {:width$}  {:>7}  {line}", "", "", "")?;
                }
            }
        }
        if let Some(first) = self.boots.first().filter(|boot| !boot.timeline.milestones.is_empty()) {
            writeln!(f, "\nfirst boot, from power-on")?;
            for milestone in &first.timeline.milestones {
                writeln!(f, "  {:>7}  {}", seconds(milestone.ms), milestone.name)?;
            }
            writeln!(f, "units that took longest")?;
            for unit in first.timeline.units.iter().take(UNITS_SHOWN) {
                writeln!(f, "  {:>7}  {}", seconds(unit.active_ms.saturating_sub(unit.started_ms)), unit.name)?;
            }
        }
        if let Some(reason) = &self.broke {
            writeln!(f, "\nthe test could not be finished: {reason}")?;
        }
        let (failed, of) = self.failed_of();
        let verdict = match (self.passed(), failed) {
            (true, _) => format!("passed: {of} checks"),
            (false, 0) => format!("failed, after {of} checks that held"),
            (false, failed) => format!("failed: {failed} of {of} checks"),
        };
        write!(
            f,
            "\n{} {verdict}, in {} ({} of CPU time, {}",
            self.image,
            seconds(self.wall_ms),
            seconds(self.cpu_ms),
            self.accelerator
        )?;
        match self.accelerator_reason.as_str() {
            "" => writeln!(f, ")")?,
            reason => writeln!(f, ": {reason})")?,
        }
        match &self.serial_log {
            Some(path) => writeln!(f, "console: {}", path.display()),
            None => Ok(()),
        }
    }
}

/// Tenths of a second.
fn seconds(ms: u64) -> String {
    let tenths = ms.saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::report::{Boot, Outcome};
    use super::super::timeline::{Milestone, Timeline, UnitTime};
    use super::*;

    #[test]
    fn reads_like_this() {
        let outcome = |name: &str, ok, ms, detail: &str| Outcome { name: name.into(), ok, ms, detail: detail.into() };
        let timeline = Timeline {
            milestones: vec![Milestone { name: "kernel starts".into(), ms: 5120 }],
            units: vec![UnitTime { name: "docker.service".into(), started_ms: 9000, active_ms: 13_460 }],
        };
        let report = SmokeReport {
            image: "docker-host_1".into(),
            accelerator: "tcg".into(),
            accelerator_reason: "no KVM: the processor's flags have neither vmx nor svm".into(),
            boots: vec![
                Boot { outcomes: vec![outcome("docker.service", true, 12_345, "active")], timeline },
                Boot {
                    outcomes: vec![outcome("no failed units", false, 80, "1 unit failed:\nssh.service")],
                    ..Boot::default()
                },
            ],
            broke: None,
            wall_ms: 61_000,
            cpu_ms: 70_040,
            serial_log: Some("out/docker-host_1/serial.log".into()),
        };
        let expected = "\
boot 1
  ok      docker.service    12.3 s  active
boot 2
  FAILED  no failed units    0.1 s  1 unit failed:
                                    ssh.service

first boot, from power-on
    5.1 s  kernel starts
units that took longest
    4.5 s  docker.service

docker-host_1 failed: 1 of 2 checks, in 61.0 s (70.0 s of CPU time, tcg: no KVM: the processor's flags have neither vmx nor svm)
console: out/docker-host_1/serial.log
";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn a_machine_that_broke_says_why_and_is_no_pass() {
        let report = SmokeReport {
            image: "x_1".into(),
            accelerator: "tcg".into(),
            broke: Some("it burst".into()),
            ..SmokeReport::default()
        };
        let text = report.to_string();
        assert!(
            text.contains("could not be finished: it burst") && text.contains("x_1 failed, after 0 checks"),
            "{text}"
        );
        assert!(!report.passed());
    }
}

//! A test from power-on to power-off.

use std::time::Duration;

use slipway_qemu::{QemuError, Running};

use super::Options;
use super::lasting::{COMMAND_TIMEOUT, Marks, timed};
use super::report::{Boot, SmokeReport};
use super::timeline::{MANAGER_PROPERTIES, Observed, Timeline};
use crate::progress::{Event, Phase, Progress};

/// systemd stops a unit that doesn't listen after 90 s; a translated guest needs some time of its own.
const POWER_OFF_WITHIN: Duration = Duration::from_mins(3);

pub(super) fn run(options: &Options, progress: &dyn Progress) -> Result<SmokeReport, QemuError> {
    progress.event(Event::Start(Phase::Boot, None));
    let running = options.machine().start()?;
    let choice = running.accelerator();
    progress.event(Event::Note(&format!("the machine runs on {choice}")));
    let report = SmokeReport {
        image: options.name.clone(),
        accelerator: choice.accelerator.to_string(),
        accelerator_reason: choice.reason.clone(),
        serial_log: options.serial_log.clone(),
        ..SmokeReport::default()
    };
    let mut session = Session { options, progress, running, report };
    let broke = session.boots().err();
    let Session { running, mut report, .. } = session;
    report.cpu_ms = milliseconds(running.cpu_time());
    report.wall_ms = milliseconds(running.up_time());
    // A machine that broke is asked for nothing more.
    let broke = match broke {
        Some(error) => Some(error),
        None => switch_off(running, &mut report)?,
    };
    report.broke = broke.map(|error| error.to_string());
    let (failed, of) = report.failed_of();
    progress.event(Event::Done(Phase::Boot, &format!("{} of {of} checks held", of - failed)));
    Ok(report)
}

fn switch_off(mut running: Running, report: &mut SmokeReport) -> Result<Option<QemuError>, QemuError> {
    let mut broke = None;
    // The power button needs logind, which not every image has. The answer may be lost: the channel ends with the system.
    if let Ok(mut guest) = running.guest() {
        let _ = guest.run(&["systemctl", "poweroff"], COMMAND_TIMEOUT);
    }
    let outcome = timed("switches itself off", || match running.wait_until_off(POWER_OFF_WITHIN) {
        Ok(stopped) => {
            report.cpu_ms = milliseconds(stopped.cpu_time());
            report.wall_ms = milliseconds(stopped.up_time());
            Ok((true, String::new()))
        }
        Err(error) => {
            let detail = error.to_string();
            broke = Some(error);
            Ok((false, detail.lines().next().unwrap_or_default().to_owned()))
        }
    })?;
    if let Some(boot) = report.boots.last_mut() {
        boot.outcomes.push(outcome);
    }
    Ok(broke)
}

struct Session<'a> {
    options: &'a Options,
    progress: &'a dyn Progress,
    running: Running,
    report: SmokeReport,
}

impl Session<'_> {
    /// Goes through the boots; what was found before an error stays in the report.
    fn boots(&mut self) -> Result<(), QemuError> {
        self.boot(Duration::ZERO)?;
        if !self.options.reboot {
            return Ok(());
        }
        let (marks, outcomes) = Marks::leave(&mut |command| run_in(&mut self.running, command))?;
        self.add(outcomes);
        let events = self.running.events().len();
        self.note("restarting it");
        // The answer may be lost in the restart that it announces.
        let asked = self.running.guest()?.run(&["systemctl", "reboot"], COMMAND_TIMEOUT);
        if let Ok(output) = &asked
            && !output.succeeded()
        {
            self.note(&format!("`systemctl reboot`: {}", output.stderr.trim()));
        }
        let restarted = self.running.wait_for_reset(events, POWER_OFF_WITHIN)?.at;
        self.boot(restarted)?;
        let outcomes = marks.look(&mut |command| run_in(&mut self.running, command))?;
        self.add(outcomes);
        Ok(())
    }

    /// One boot that began at `since`, by the time of the machine.
    fn boot(&mut self, since: Duration) -> Result<(), QemuError> {
        self.report.boots.push(Boot::default());
        let number = self.report.boots.len();
        let within = self.options.boot_within;
        let version = self.running.guest()?.wait_for_hello(within)?;
        let hello = self.running.up_time();
        let after = hello.saturating_sub(since).as_secs_f32();
        self.note(&format!("boot {number}: the agent ({version}) said hello after {after:.1} s"));
        let results = self.running.guest()?.checks("smoke", self.options.checks_within)?;
        self.add(results.into_iter().map(Into::into).collect());
        let finished = timed("boot is finished", || {
            let output = self.running.guest()?.run(&["systemctl", "is-system-running", "--wait"], within)?;
            // Any other state is up to the recipe's checks, which can say that failed units don't matter.
            Ok((!output.timed_out && !output.stdout.trim().is_empty(), output.stdout.trim().to_owned()))
        })?;
        self.add(vec![finished]);
        let timeline = self.timeline(since, hello)?;
        if let Some(boot) = self.report.boots.last_mut() {
            boot.timeline = timeline;
        }
        Ok(())
    }

    /// Asks only after the boot, so that the questions cost it nothing.
    fn timeline(&mut self, since: Duration, hello: Duration) -> Result<Timeline, QemuError> {
        let in_boot = |at: Duration| milliseconds(at.saturating_sub(since));
        let first_line_ms =
            self.running.serial().lines().iter().find(|line| line.at >= since).map(|line| in_boot(line.at));
        let uptime = run_in(&mut self.running, &["cat", "/proc/uptime"])?.stdout;
        let asked_ms = in_boot(self.running.up_time());
        let facts = run_in(&mut self.running, &["cat", slipway_images::boot::BOOT_FACTS_PATH])?.stdout;
        let properties = MANAGER_PROPERTIES.map(|(property, _)| property).join(",");
        let manager = run_in(&mut self.running, &["systemctl", "show", "--property", &properties])?.stdout;
        let times = "Id,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic";
        let kinds = ["*.service", "*.mount", "*.socket", "*.target"];
        let command = [&["systemctl", "show", "--property", times][..], &kinds[..]].concat();
        let units = run_in(&mut self.running, &command)?.stdout;
        let hello_ms = in_boot(hello);
        let observed = Observed {
            first_line_ms,
            hello_ms,
            asked_ms,
            uptime: &uptime,
            facts: &facts,
            manager: &manager,
            units: &units,
        };
        Ok(Timeline::new(&observed))
    }

    fn add(&mut self, outcomes: Vec<super::report::Outcome>) {
        for outcome in &outcomes {
            let verdict = if outcome.ok { "ok" } else { "FAILED" };
            self.note(&format!("{verdict}: {}", outcome.name));
        }
        if let Some(boot) = self.report.boots.last_mut() {
            boot.outcomes.extend(outcomes);
        }
    }

    fn note(&self, text: &str) {
        self.progress.event(Event::Note(text));
    }
}

fn run_in(running: &mut Running, command: &[&str]) -> Result<slipway_qemu::Output, QemuError> {
    running.guest()?.run(command, COMMAND_TIMEOUT)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::File;

    use super::*;
    use crate::progress::Silent;

    #[test]
    fn an_image_that_does_not_boot_gives_a_report_that_says_so() {
        // The same file keeps the machines of other test programs apart.
        let lock = File::create(std::env::temp_dir().join("slipway-qemu-tests.lock")).unwrap();
        lock.lock().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk.raw");
        File::create(&disk).unwrap().set_len(1 << 20).unwrap();
        let log = folder.path().join("serial.log");
        let options = Options {
            memory_mib: 128,
            cpus: 1,
            boot_within: Duration::from_secs(1),
            serial_log: Some(log.clone()),
            ..Options::new("void_1", disk)
        };
        let report = run(&options, &Silent).unwrap();
        assert!(!report.passed());
        let reason = report.broke.unwrap();
        assert!(reason.starts_with("the guest: no hello of the agent within 1 s"), "{reason}");
        assert!(reason.contains("command: "), "{reason}");
        assert!(!report.accelerator.is_empty() && report.wall_ms >= 1000 && log.exists());
    }

    #[test]
    fn without_a_disk_there_is_no_report() {
        let error = run(&Options::new("none_1", "/nowhere/disk.raw"), &Silent).unwrap_err();
        assert!(error.to_string().contains("there is no disk /nowhere/disk.raw"), "{error}");
    }
}

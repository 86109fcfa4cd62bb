//! `slipway-agent health`

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use slipway_updater::checks::{self, CheckResult, Phase};

use crate::exit_code::ExitCode;

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print one JSON document at the end instead of lines.
    #[arg(long)]
    json: bool,
    /// The system is still starting, and waits for this: it need not be fully up.
    #[arg(long)]
    booting: bool,
}

impl Arguments {
    /// Runs the health checks and says what came of them.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let set = checks::load(Path::new("/"))?.health;
        let phase = if self.booting { Phase::Booting } else { Phase::Running };
        let mut out = std::io::stdout();
        let width = set.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
        let each = |result: &CheckResult| {
            if !self.json {
                // Results are also in the report: a closed output is noticed below.
                let _ = writeln!(std::io::stdout(), "{}", line(result, width));
            }
        };
        let report = checks::run(&set, phase, &each);
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else if report.results.is_empty() {
            writeln!(out, "healthy: this image has no health checks")?;
        } else if report.ok {
            let soaked = seconds(report.soaked_ms);
            writeln!(out, "healthy: all {} checks hold, for {soaked} s on end", report.results.len())?;
        } else {
            let failed: Vec<_> = report.results.iter().filter(|result| !result.ok).collect();
            let names = failed.iter().map(|result| result.name.as_str()).collect::<Vec<_>>().join(", ");
            writeln!(out, "not healthy: {} of {} checks failed: {names}", failed.len(), report.results.len())?;
            for result in failed.iter().filter(|result| result.detail.starts_with("held after")) {
                writeln!(out, "{}", line(result, width))?;
            }
        }
        Ok(if report.ok { ExitCode::Done } else { ExitCode::NotWell })
    }
}

fn line(result: &CheckResult, width: usize) -> String {
    let verdict = if result.ok { "ok    " } else { "FAILED" };
    format!("{verdict}  {:width$}  {:>7} s  {}", result.name, seconds(result.ms), result.detail)
}

fn seconds(milliseconds: u64) -> String {
    format!("{:.1}", Duration::from_millis(milliseconds).as_secs_f64())
}

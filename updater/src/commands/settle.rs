//! `slipway-agent settle`

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use slipway_updater::agent::Outcome;
use slipway_updater::checks::{self, Phase, Report};
use slipway_updater::machine::State;
use slipway_updater::view::View;
use slipway_updater::{host_agent, process};

use crate::exit_code::ExitCode;

/// Arguments of `settle`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Leave a restart to somebody else.
    #[arg(long)]
    no_restart: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Decides about a version on trial.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (mut agent, mut outcome) = host_agent::start(Path::new("/"))?;
        let on_trial = matches!(agent.state(), State::Trial { .. });
        if on_trial && outcome == Outcome::Done {
            let set = checks::load(Path::new("/"))?.health;
            let report = checks::run(&set, Phase::Booting, &|_| {});
            outcome = if report.ok { agent.healthy()? } else { agent.unhealthy(&failed(&report))? };
        }
        let view = View::of(&agent, &[])?;
        let said = if self.json { serde_json::to_string(&view)? } else { view.summary() };
        writeln!(std::io::stdout(), "{said}")?;
        if outcome == Outcome::Restart && !self.no_restart {
            restart_machine()?;
        }
        let well = outcome == Outcome::Done && !matches!(view.state, State::Stuck { .. });
        Ok(if well { ExitCode::Done } else { ExitCode::NotWell })
    }
}

/// Names and words of the checks that failed.
fn failed(report: &Report) -> String {
    let failed = report.results.iter().filter(|result| !result.ok);
    failed.map(|result| format!("{}: {}", result.name, result.detail)).collect::<Vec<_>>().join("; ")
}

/// Restarts the machine in order.
pub fn restart_machine() -> anyhow::Result<()> {
    let finished = process::run(&["systemctl", "reboot"], Duration::from_mins(1), 4096)?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(anyhow::anyhow!(finished.failure())).context("can't restart the machine with `systemctl reboot`")
}

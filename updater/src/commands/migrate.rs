//! `slipway-agent migrate`

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use slipway_updater::agent::Outcome as AgentOutcome;
use slipway_updater::migrate::{Boot, Journal, Migrations, Outcome};
use slipway_updater::{host_agent, machine, process};

use super::settle::restart_machine;
use crate::exit_code::ExitCode;

/// What systemd may take to answer.
const SYSTEMD_LIMIT: Duration = Duration::from_secs(30);

/// Arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    journal: Option<&'a Journal>,
    pending: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a Outcome>,
}

impl Arguments {
    /// Makes the state that of what runs, or leaves what runs.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let (agent, _) = host_agent::examine(root)?;
        let boot = Boot::of(&agent.survey()?);
        if self.dry_run {
            let migrations = Migrations::open(root, boot)?;
            self.tell(&migrations, None)?;
            return Ok(ExitCode::Done);
        }
        // A version that failed is on its way out: the state is not for it any more.
        if agent.state() == machine::State::Leaving {
            return leave("", &[]);
        }
        let _lock = host_agent::lock_migrations(root)?;
        let mut migrations = Migrations::open(root, boot)?;
        let outcome = migrations.settle()?;
        self.tell(&migrations, Some(&outcome))?;
        match outcome {
            Outcome::Settled { .. } => Ok(ExitCode::Done),
            Outcome::Leave { why } => leave(&why, &migrations.waiting_units()),
            Outcome::Held { units, .. } => {
                hold(&units)?;
                Ok(ExitCode::NotWell)
            }
        }
    }

    fn tell(&self, migrations: &Migrations, outcome: Option<&Outcome>) -> anyhow::Result<()> {
        let pending: Vec<String> = match outcome {
            Some(_) => Vec::new(),
            None => migrations.pending().iter().map(ToString::to_string).collect(),
        };
        let mut out = std::io::stdout();
        if self.json {
            let report = Report { journal: migrations.journal().ok(), pending, outcome };
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
            return Ok(());
        }
        match outcome {
            None | Some(Outcome::Settled { left_over: None }) => {}
            Some(Outcome::Settled { left_over: Some(why) }) => writeln!(out, "{why}")?,
            Some(Outcome::Leave { why }) => writeln!(out, "what runs is left: {why}")?,
            Some(Outcome::Held { why, .. }) => writeln!(out, "the state is not that of what runs: {why}")?,
        }
        write!(out, "{}", migrations.explain())?;
        if !pending.is_empty() {
            writeln!(out, "  next    {}", pending.join(", "))?;
        }
        Ok(())
    }
}

/// Leaves what runs for the version before it, which puts the state back. Where there is none, `units` must not start.
fn leave(why: &str, units: &[String]) -> anyhow::Result<ExitCode> {
    let (mut agent, outcome) = host_agent::start(Path::new("/"))?;
    let outcome = if outcome == AgentOutcome::Restart { outcome } else { agent.unhealthy(why)? };
    match outcome {
        AgentOutcome::Restart => restart_machine()?,
        AgentOutcome::Done => hold(units)?,
    }
    Ok(ExitCode::NotWell)
}

/// Takes back that these units are about to start.
fn hold(units: &[String]) -> anyhow::Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let argv: Vec<&str> =
        ["systemctl", "--no-block", "stop", "--"].into_iter().chain(units.iter().map(String::as_str)).collect();
    let finished = process::run(&argv, SYSTEMD_LIMIT, 4096)?;
    anyhow::ensure!(finished.succeeded(), "can't keep services from starting: systemctl {}", finished.failure());
    Ok(())
}

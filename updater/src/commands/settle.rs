//! `slipway-agent settle`

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use slipway_images::names::{BootEntryName, BootTries};
use slipway_updater::agent::{Outcome, chain};
use slipway_updater::checks::{self, Phase, Report};
use slipway_updater::disk::survey::SlotFound;
use slipway_updater::host_agent::HostAgent;
use slipway_updater::machine::{State, Stuck};
use slipway_updater::migrate::{Boot, Migrations};
use slipway_updater::stage::was_left;
use slipway_updater::view::View;
use slipway_updater::{host_agent, process};

use crate::exit_code::ExitCode;

/// What decides about a version waits for whoever is at work, such as an operator's update. Nobody would call it again.
const PATIENCE: Duration = Duration::from_mins(10);

/// Arguments of `settle`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    only: Only,
    /// Leave a restart to somebody else.
    #[arg(long)]
    no_restart: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// One part of it, for the units of an image.
#[derive(Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct Only {
    /// Run the health checks; leave the version if they fail, and don't keep it yet if they hold.
    #[arg(long)]
    check: bool,
    /// Keep the version without running the health checks: somebody else has.
    #[arg(long)]
    commit: bool,
    /// Leave the version without running the health checks, for this reason.
    #[arg(long, value_name = "REASON")]
    leave: Option<String>,
}

impl Arguments {
    /// Decides about a version on trial.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (mut agent, mut outcome) = host_agent::start_when_free(Path::new("/"), PATIENCE)?;
        if outcome == Outcome::Done {
            outcome = match agent.state() {
                State::Trial { .. } => self.only.decide(&mut agent)?,
                State::Stuck { why: Stuck::NoLedger } => self.only.without_ledger(&agent)?,
                _ => Outcome::Done,
            };
        }
        if outcome == Outcome::Done {
            super::run::settle_locks(Path::new("/"), &agent);
        }
        super::metrics::keep(Path::new("/"));
        let view = View::of(&agent, &[])?;
        let said = if self.json { serde_json::to_string(&view)? } else { view.summary() };
        writeln!(std::io::stdout(), "{said}")?;
        if outcome == Outcome::Restart && !self.no_restart {
            match restart_machine() {
                Err(_) if self.only.leave.is_some() => restart_at_once()?,
                restarted => restarted?,
            }
        }
        let well = outcome == Outcome::Done && !matches!(view.state, State::Stuck { .. });
        Ok(if well { ExitCode::Done } else { ExitCode::NotWell })
    }
}

impl Only {
    /// Decides about what runs, which is on trial.
    pub fn decide(&self, agent: &mut HostAgent) -> anyhow::Result<Outcome> {
        if self.commit {
            return keep(agent);
        }
        if let Some(reason) = &self.leave {
            return Ok(agent.unhealthy(reason)?);
        }
        let set = checks::load(Path::new("/"))?.health;
        let report = checks::run(&set, Phase::Booting, &|_| {});
        Ok(match report.ok {
            true if self.check => Outcome::Done,
            true => keep(agent)?,
            false => agent.unhealthy(&failed(&report))?,
        })
    }

    /// Where nothing can be written down, a version on trial is left by using up its tries, if there is a good one: each restart takes
    /// one, and after the last try there is one more. What is the case may be its own doing: `/var` isn't mounted, say.
    fn without_ledger(&self, agent: &HostAgent) -> anyhow::Result<Outcome> {
        let survey = agent.survey()?;
        let tries = |slot: &SlotFound| slot.entry.as_ref().map(BootEntryName::tries);
        let ends = tries(survey.running()).is_some_and(|tries| tries != BootTries::Good && !was_left(tries));
        let leaves = self.leave.is_some() && ends && tries(survey.other()) == Some(BootTries::Good);
        Ok(if leaves { Outcome::Restart } else { Outcome::Done })
    }
}

/// Keeps what runs, if its state was migrated. The blessing comes first: what is put by for the way back goes when nobody needs it,
/// and the next boot goes on with that if it is cut off.
fn keep(agent: &mut HostAgent) -> anyhow::Result<Outcome> {
    let mut migrations = Migrations::open(Path::new("/"), Boot::of(&agent.survey()?))?;
    if !migrations.are_settled() {
        return Ok(agent.unhealthy("its state was not migrated; see the journal of slipway-migrate.service")?);
    }
    let outcome = agent.healthy()?;
    if let Err(error) = migrations.commit() {
        writeln!(std::io::stderr(), "{}", chain(&error))?;
    }
    Ok(outcome)
}

/// Names and words of the checks that failed.
fn failed(report: &Report) -> String {
    let failed = report.results.iter().filter(|result| !result.ok);
    failed.map(|result| format!("{}: {}", result.name, result.detail)).collect::<Vec<_>>().join("; ")
}

/// Restarts the machine in order.
pub fn restart_machine() -> anyhow::Result<()> {
    systemctl(&["reboot"])
}

/// Restarts it without stopping each unit by itself: processes end, file systems are unmounted. systemd allows nothing else while it
/// enters emergency mode, of which the unit that calls this is a part.
fn restart_at_once() -> anyhow::Result<()> {
    systemctl(&["reboot", "--force"])
}

fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let finished = process::run(&[&["systemctl"], arguments].concat(), Duration::from_mins(1), 4096)?;
    if finished.succeeded() {
        return Ok(());
    }
    let what = format!("can't restart the machine with `systemctl {}`", arguments.join(" "));
    Err(anyhow::anyhow!(finished.failure())).context(what)
}

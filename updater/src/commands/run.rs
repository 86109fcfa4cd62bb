//! `slipway-agent run`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::agent::{Outcome, chain};
use slipway_updater::host_agent::{self, HostAgent, OpenError};
use slipway_updater::machine::State;
use slipway_updater::net::Client;
use slipway_updater::restart::{LockNote, Restarts, Wait, Wake, release_locks};
use slipway_updater::update::{
    CatalogError, Settings, SettingsError, Then, UpdateError, Updater, look, prepare, proceed,
};

use super::metrics;
use super::settle::{Only, restart_machine};
use super::update::in_words;
use crate::exit_code::ExitCode;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report {
    /// Whether the machine is about to restart.
    restarts: bool,
    /// What was done, or why nothing was, in words.
    did: String,
    /// What is waited for.
    waits: Option<Wait>,
}

impl Report {
    fn of(did: impl Into<String>, waits: Option<Wait>) -> Self {
        Self { restarts: false, did: did.into(), waits }
    }

    fn restart(did: impl Into<String>) -> Self {
        Self { restarts: true, did: did.into(), waits: None }
    }
}

impl Arguments {
    /// One pass of the service: finishes what was interrupted, looks, installs, restarts, as far as windows and lock allow, and
    /// gives back a lock that nothing needs.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let (mut agent, outcome) = match host_agent::start(root) {
            // Another one is at work: what it leaves, the next pass finds.
            Err(error @ OpenError::Locked) => {
                self.say(Report::of(error.to_string(), None))?;
                return Ok(ExitCode::Done);
            }
            Err(error) => {
                // A lock must not be kept because of whatever this is.
                let _ = release_locks(root, &Client::default(), host_agent::now(), None, None);
                return Err(error.into());
            }
            Ok(started) => started,
        };
        let passed = match outcome {
            Outcome::Restart => Ok(Report::restart("goes back to the version before")),
            Outcome::Done => pass(root, &mut agent),
        };
        if !passed.as_ref().is_ok_and(|report| report.restarts) {
            settle_locks(root, &agent);
        }
        metrics::keep(root);
        let waits = passed.as_ref().ok().and_then(|report| report.waits.as_ref());
        if let Some(Err(error)) = Wake::of(waits, &LockNote::load(root)).map(|wake| wake.arrange()) {
            // The timer comes all the same, a little later.
            let _ = writeln!(std::io::stderr(), "slipway-agent: no earlier pass can be arranged: {error}");
        }
        let report = passed?;
        let restarts = report.restarts;
        self.say(report)?;
        if restarts {
            restart_machine()?;
        }
        Ok(ExitCode::Done)
    }

    fn say(&self, report: Report) -> anyhow::Result<()> {
        let said = if self.json { serde_json::to_string(&report)? } else { report.did };
        Ok(writeln!(std::io::stdout(), "{said}")?)
    }
}

fn pass(root: &Path, agent: &mut HostAgent) -> anyhow::Result<Report> {
    if matches!(agent.state(), State::Trial { .. }) {
        // The units of the boot should have decided. They didn't: somebody must.
        return Ok(match Only::default().decide(agent)? {
            Outcome::Restart => Report::restart("what runs is not healthy: goes back"),
            Outcome::Done => Report::of("what runs was found good", None),
        });
    }
    let updater = match Updater::of_host(root, None, false) {
        Err(SettingsError::NoRepository) => return Ok(Report::of("no repository is known", None)),
        updater => updater?,
    };
    if !updater.settings.enabled {
        return Ok(Report::of("updates are switched off", None));
    }
    let restarts = Restarts::of_host(root, &updater.settings, &updater.client, agent.now(), false)?;
    let mut check = match look(&updater, agent) {
        // `check`, by somebody who looks.
        Err(UpdateError::Catalog(error @ CatalogError::InUse)) => return Ok(Report::of(error.to_string(), None)),
        looked => looked?,
    };
    let release = prepare(&updater, agent, &mut check)?;
    let passed = proceed(&updater, agent, &restarts, &check, release.as_ref())?;
    let did = passed.installed.as_ref().map_or_else(|| check.choice().summary(), in_words);
    Ok(match passed.then {
        Then::Restart(_) => Report::restart(did),
        Then::Nothing => Report::of(did, None),
        Then::Waits(wait) => {
            let what = if agent.state() == State::Armed { "restart" } else { "installation" };
            Report::of(format!("{did}\nthe {what} {wait}"), Some(wait))
        }
    })
}

/// Gives back what is of no use, and is content with the next time where that fails.
pub fn settle_locks(root: &Path, agent: &HostAgent) {
    let settings = Settings::load(root).ok();
    let client = Client::default();
    let released = release_locks(root, &client, agent.now(), Some(agent.state()), settings.as_ref());
    if let Err(error) = released {
        // It is tried again by every later pass.
        let _ = writeln!(
            std::io::stderr(),
            "slipway-agent: can't write down which locks were given back: {}",
            chain(&error)
        );
    }
}

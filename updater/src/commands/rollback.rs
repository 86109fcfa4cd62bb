//! `slipway-agent rollback`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::agent::Outcome;
use slipway_updater::host_agent;
use slipway_updater::view::View;

use super::settle::restart_machine;
use crate::exit_code::ExitCode;

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Why, for the ledger.
    #[arg(long, default_value = "")]
    reason: String,
    /// Leave the restart to somebody else: until then what runs goes on.
    #[arg(long)]
    no_restart: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Goes back.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (mut agent, outcome) = host_agent::start(Path::new("/"))?;
        let outcome = if outcome == Outcome::Restart { outcome } else { agent.roll_back(&self.reason)? };
        let view = View::of(&agent, &[])?;
        let said = if self.json { serde_json::to_string(&view)? } else { view.summary() };
        writeln!(std::io::stdout(), "{said}")?;
        if outcome == Outcome::Restart && !self.no_restart {
            restart_machine()?;
        }
        Ok(ExitCode::Done)
    }
}

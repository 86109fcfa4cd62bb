//! `slipway-agent explain`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::host_agent;
use slipway_updater::machine::State;
use slipway_updater::migrate::{Boot, Journal, Migrations};
use slipway_updater::update::LastCheck;
use slipway_updater::view::View;

use crate::exit_code::ExitCode;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    view: &'a View,
    last_check: Option<LastCheck>,
    migrations: Option<&'a Journal>,
}

impl Arguments {
    /// Says where the host stands and why. Changes nothing.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (agent, pending) = host_agent::examine(Path::new("/"))?;
        let view = View::of(&agent, &pending)?;
        let last_check = LastCheck::load(Path::new("/"));
        let migrations = Migrations::open(Path::new("/"), Boot::of(&agent.survey()?))?;
        let text = if self.json {
            let migrations = migrations.journal().ok();
            format!("{}\n", serde_json::to_string(&Report { view: &view, last_check, migrations })?)
        } else {
            view.explain() + &migrations.explain() + &last_check.map(|last| last.explain()).unwrap_or_default()
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if matches!(view.state, State::Stuck { .. }) { ExitCode::NotWell } else { ExitCode::Done })
    }
}

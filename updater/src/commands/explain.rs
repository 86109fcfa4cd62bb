//! `slipway-agent explain`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::host_agent;
use slipway_updater::machine::State;
use slipway_updater::view::View;

use crate::exit_code::ExitCode;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Says where the host stands and why. Changes nothing.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (agent, pending) = host_agent::examine(Path::new("/"))?;
        let view = View::of(&agent, &pending)?;
        let text = if self.json { format!("{}\n", serde_json::to_string(&view)?) } else { view.explain() };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if matches!(view.state, State::Stuck { .. }) { ExitCode::NotWell } else { ExitCode::Done })
    }
}

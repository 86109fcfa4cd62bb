//! `slipway-agent allow`

use std::io::Write as _;
use std::path::Path;

use slipway_images::names::PartitionLabel;
use slipway_updater::host_agent;

use crate::exit_code::ExitCode;

/// Arguments of `allow`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The version as `explain` names it: `edge-web_2026.11.22`.
    label: PartitionLabel,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Forgets that a version failed.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (mut agent, _) = host_agent::start(Path::new("/"))?;
        let allowed = agent.allow(&self.label)?;
        let label = &self.label;
        let said = match (self.json, allowed) {
            (true, _) => serde_json::json!({ "label": label.to_string(), "allowed": allowed }).to_string(),
            (false, true) => format!("{label} may be installed again"),
            (false, false) => format!("{label} has not failed here"),
        };
        writeln!(std::io::stdout(), "{said}")?;
        Ok(if allowed { ExitCode::Done } else { ExitCode::NotWell })
    }
}

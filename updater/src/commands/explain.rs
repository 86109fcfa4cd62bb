//! `slipway-agent explain`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::agent::chain;
use slipway_updater::config::Standing;
use slipway_updater::host_agent;
use slipway_updater::machine::State;
use slipway_updater::migrate::{Boot, Journal, Migrations};
use slipway_updater::restart::Outlook;
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
    /// What a restart waits for; nothing if the settings make no sense.
    outlook: Option<&'a Outlook>,
    last_check: Option<LastCheck>,
    migrations: Option<&'a Journal>,
    config: Standing,
}

impl Arguments {
    /// Says where the host stands and why. Changes nothing.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let (agent, pending) = host_agent::examine(root)?;
        let view = View::of(&agent, &pending)?;
        let last_check = LastCheck::load(root);
        let outlook = Outlook::of_host(root, Some(view.state), last_check.as_ref(), agent.now());
        let migrations = Migrations::open(root, Boot::of(&agent.survey()?))?;
        let text = if self.json {
            let (outlook, migrations) = (outlook.as_ref().ok(), migrations.journal().ok());
            let config = Standing::of_host(Path::new("/"));
            let report = Report { view: &view, outlook, last_check, migrations, config };
            format!("{}\n", serde_json::to_string(&report)?)
        } else {
            let ahead = outlook.map_or_else(|error| format!("  settings {}\n", chain(&error)), |ahead| ahead.explain());
            let last = last_check.map(|last| last.explain()).unwrap_or_default();
            view.explain() + &ahead + &about_config() + &migrations.explain() + &last
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if matches!(view.state, State::Stuck { .. }) { ExitCode::NotWell } else { ExitCode::Done })
    }
}

/// How the machine stands with its configuration.
fn about_config() -> String {
    let Standing { summary, problems } = Standing::of_host(Path::new("/"));
    let lines = std::iter::once(summary).chain(problems);
    lines.flat_map(|words| ["  config  ".to_owned(), words, "\n".to_owned()]).collect()
}

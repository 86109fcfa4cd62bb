//! `slipway-agent explain`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::agent::chain;
use slipway_updater::config::Standing;
use slipway_updater::host::{Host, STATE_NOT_MOUNTED};
use slipway_updater::host_agent::{self, HostAgent};
use slipway_updater::machine::State;
use slipway_updater::migrate::{Boot, Journal, Migrations};
use slipway_updater::restart::{Outlook, OutlookError};
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
        let lasting = match Host::read(root)?.state {
            Some(_) => Lasting::of(root, &agent)?,
            None => Lasting::unknown(STATE_NOT_MOUNTED),
        };
        let text = if self.json { lasting.json(&view)? } else { lasting.explain(&view) };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if matches!(view.state, State::Stuck { .. }) { ExitCode::NotWell } else { ExitCode::Done })
    }
}

/// What the state partition tells of the host, but for the ledger.
struct Lasting {
    outlook: Option<Result<Outlook, OutlookError>>,
    last_check: Option<LastCheck>,
    migrations: Option<Migrations>,
    config: Standing,
}

impl Lasting {
    fn of(root: &Path, agent: &HostAgent) -> anyhow::Result<Self> {
        let last_check = LastCheck::load(root);
        let outlook = Some(Outlook::of_host(root, Some(agent.state()), last_check.as_ref(), agent.now()));
        let migrations = Some(Migrations::open(root, Boot::of(&agent.survey()?))?);
        Ok(Self { outlook, last_check, migrations, config: Standing::of_host(root) })
    }

    fn unknown(why: &str) -> Self {
        Self { outlook: None, last_check: None, migrations: None, config: Standing::unknown(why) }
    }

    fn json(self, view: &View) -> serde_json::Result<String> {
        let Self { outlook, last_check, migrations, config } = self;
        let outlook = outlook.as_ref().and_then(|outlook| outlook.as_ref().ok());
        let migrations = migrations.as_ref().and_then(|migrations| migrations.journal().ok());
        Ok(format!("{}\n", serde_json::to_string(&Report { view, outlook, last_check, migrations, config })?))
    }

    fn explain(self, view: &View) -> String {
        let Self { outlook, last_check, migrations, config: Standing { summary, problems } } = self;
        let ahead = outlook.map(|outlook| match outlook {
            Ok(outlook) => outlook.explain(),
            Err(error) => format!("  settings {}\n", chain(&error)),
        });
        let config = std::iter::once(summary).chain(problems);
        let config: String = config.flat_map(|words| ["  config  ".to_owned(), words, "\n".to_owned()]).collect();
        let migrations = migrations.map(|migrations| migrations.explain());
        let last = last_check.map(|last| last.explain());
        [Some(view.explain()), ahead, Some(config), migrations, last].into_iter().flatten().collect()
    }
}

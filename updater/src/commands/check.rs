//! `slipway-agent check`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use slipway_updater::host_agent::{self, HostAgent};
use slipway_updater::restart::{Restarts, Wait};
use slipway_updater::update::{Check, Choice, Costs, Updater, look};

use crate::exit_code::ExitCode;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Ask a folder that holds a repository, such as one on a USB stick, instead of the network.
    #[arg(long, value_name = "FOLDER")]
    offline: Option<PathBuf>,
    /// Don't wait for this host's turn in a rollout.
    #[arg(long)]
    now: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Says what an update would do. Changes nothing but trusted metadata.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let (agent, _) = host_agent::examine(root)?;
        let updater = Updater::of_host(root, self.offline.as_deref(), self.now)?;
        let mut check = look(&updater, &agent)?;
        let costs = updater.release(&mut check)?.map(|release| Costs::of(&release, agent.disk().booted()));
        let waits = foreseen(&updater, &agent, &check)?;
        writeln!(std::io::stdout(), "{}", told(&check, costs, waits.as_ref(), self.json)?)?;
        Ok(ExitCode::Done)
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    place: String,
    #[serde(flatten)]
    choice: &'a Choice,
    costs: Option<Costs>,
    /// What the restart into the version that is installed, or is to be, waits for.
    waits: Option<&'a Wait>,
}

/// What the restart into the version that is to be taken, or waits already, would wait for. Nobody is asked.
pub fn foreseen(updater: &Updater, agent: &HostAgent, check: &Check) -> anyhow::Result<Option<Wait>> {
    let restarts = Restarts::of_host(&updater.root, &updater.settings, &updater.client, agent.now(), updater.by_hand)?;
    let offer = check.chosen().or_else(|| check.armed());
    Ok(offer.and_then(|offer| restarts.foresee(offer.into())))
}

/// What an update would do.
pub fn told(check: &Check, costs: Option<Costs>, waits: Option<&Wait>, json: bool) -> anyhow::Result<String> {
    let (place, choice) = (check.place().to_string(), check.choice());
    if json {
        return Ok(serde_json::to_string(&Report { place, choice, costs, waits })?);
    }
    let mut text = choice.summary();
    // Writing to a string does not fail, here and below.
    if let Some(reason) = &choice.running_withdrawn {
        let _ = write!(text, "\n  what runs was withdrawn: {reason}");
    }
    for considered in &choice.considered {
        if let Some(reason) = &considered.reason {
            let _ = write!(text, "\n  {} {reason}", considered.version);
        }
    }
    if let Some(Costs { patch, blocks_at_least, blocks_at_most }) = costs {
        let blocks = format!("{} to {} MB by blocks", megabytes(blocks_at_least), megabytes(blocks_at_most));
        let _ = match patch {
            Some(patch) => write!(text, "\n  {} MB by patch, {blocks}", megabytes(patch)),
            None => write!(text, "\n  no patch from what runs, {blocks}"),
        };
    }
    if let Some(wait) = waits {
        let _ = write!(text, "\n  the restart {wait}");
    }
    let _ = write!(text, "\n  asked: {place}");
    Ok(text)
}

/// Millions of bytes, with a tenth.
pub fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

//! `slipway-agent history`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::host::Host;
use slipway_updater::host_agent::HostLedger;
use slipway_updater::ledger::{Happening, Ledger, Record};

use crate::exit_code::ExitCode;

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Lists what the ledger remembers, the oldest first.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let ledger = Ledger::load(HostLedger::of(&Host::read(root)?, root)).map_err(|(_, error)| error)?;
        let history = &ledger.contents().history;
        let mut out = std::io::stdout();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(history)?)?;
        } else if history.is_empty() {
            writeln!(out, "nothing has happened yet")?;
        }
        for record in history.iter().filter(|_| !self.json) {
            writeln!(out, "{}", line(record))?;
        }
        Ok(ExitCode::Done)
    }
}

fn line(record: &Record) -> String {
    let what = match record.what {
        Happening::InstallBegun => "installation begun",
        Happening::InstallFailed => "installation failed",
        Happening::Armed => "waits for the next boot",
        Happening::Committed => "found good",
        Happening::Failed => "failed",
        Happening::Allowed => "allowed again",
    };
    let detail = if record.detail.is_empty() { String::new() } else { format!(": {}", record.detail) };
    format!("{}  {}  {what}{detail}", record.at, record.label)
}

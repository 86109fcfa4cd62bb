//! `slipway-agent metrics`

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use slipway_updater::host::Host;
use slipway_updater::update::LastCheck;
use slipway_updater::view::View;
use slipway_updater::{host_agent, metrics};

use crate::exit_code::ExitCode;

/// Arguments of `metrics`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write them to this file, in one step, as the textfile collector of Prometheus' node exporter wants it.
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

impl Arguments {
    /// Tells where the host stands, in the text format of Prometheus.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let host = Host::read(root)?;
        // Whoever may not read the disk is still told what runs.
        let examined = host_agent::examine(root).ok();
        let view = examined.and_then(|(agent, pending)| View::of(&agent, &pending).ok());
        let text = metrics::text(&host, view.as_ref(), LastCheck::load(root).as_ref());
        match &self.textfile {
            None => std::io::stdout().write_all(text.as_bytes())?,
            Some(path) => {
                let new = path.with_added_extension("new");
                let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
                written.with_context(|| format!("can't write {}", path.display()))?;
            }
        }
        Ok(ExitCode::Done)
    }
}

//! `slipway-agent metrics`

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use slipway_updater::host::{Host, HostError};
use slipway_updater::metrics::Sample;
use slipway_updater::metrics::serve::{Patience, serve};
use slipway_updater::restart::Outlook;
use slipway_updater::update::LastCheck;
use slipway_updater::view::View;
use slipway_updater::{host_agent, metrics, replace};

use crate::exit_code::ExitCode;

/// Where the service keeps them, for the textfile collector of Prometheus' node exporter.
const KEPT: &str = "run/slipway/metrics.prom";

/// Arguments of `metrics`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write them to this file, in one step, as the textfile collector of Prometheus' node exporter wants it.
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
    /// Answer one HTTP request for them on standard input, which is a connection, as systemd hands it over.
    #[arg(long, conflicts_with = "textfile")]
    serve: bool,
    /// Print a JSON array of samples.
    #[arg(long, conflicts_with_all = ["textfile", "serve"])]
    json: bool,
}

impl Arguments {
    /// Tells where the host stands, in the text format of Prometheus or as JSON.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        if self.serve {
            let connection = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
            let served = connection.and_then(|stream| serve(&stream, &Patience::default(), || text(Path::new("/"))));
            served.context("can't answer on standard input")?;
            return Ok(ExitCode::Done);
        }
        if self.json {
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&samples(Path::new("/"))?)?)?;
            return Ok(ExitCode::Done);
        }
        let text = text(Path::new("/"))?;
        match &self.textfile {
            None => std::io::stdout().write_all(text.as_bytes())?,
            Some(path) => {
                replace::for_now(path, text.as_bytes()).with_context(|| format!("can't write {}", path.display()))?;
            }
        }
        Ok(ExitCode::Done)
    }
}

/// Keeps them where the service does. What can't be kept is missing there, which its readers notice.
pub fn keep(root: &Path) {
    if let Ok(text) = text(root) {
        let _ = replace::for_now(&root.join(KEPT), text.as_bytes());
    }
}

fn text(root: &Path) -> Result<String, HostError> {
    Ok(metrics::text(&samples(root)?))
}

fn samples(root: &Path) -> Result<Vec<Sample>, HostError> {
    let host = Host::read(root)?;
    // Whoever may not read the disk is still told what runs.
    let examined = host_agent::examine(root).ok();
    let view = examined.and_then(|(agent, pending)| View::of(&agent, &pending).ok());
    let (last, now) = (LastCheck::load(root), host_agent::now());
    // What the machine's configuration says of windows is on the state partition.
    let state = view.as_ref().map(|view| view.state);
    let outlook = host.state.as_ref().and_then(|_| Outlook::of_host(root, state, last.as_ref(), now).ok());
    Ok(metrics::samples(&host, view.as_ref(), last.as_ref(), outlook.as_ref(), now))
}

//! `slipway-agent metrics`

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use slipway_updater::host::{Host, HostError};
use slipway_updater::restart::Outlook;
use slipway_updater::update::LastCheck;
use slipway_updater::view::View;
use slipway_updater::{host_agent, metrics};

use crate::exit_code::ExitCode;

/// Where the service keeps them, for the textfile collector of Prometheus' node exporter.
const KEPT: &str = "run/slipway/metrics.prom";

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
        let text = text(Path::new("/"))?;
        match &self.textfile {
            None => std::io::stdout().write_all(text.as_bytes())?,
            Some(path) => write(path, &text).with_context(|| format!("can't write {}", path.display()))?,
        }
        Ok(ExitCode::Done)
    }
}

/// Keeps them where the service does. What can't be kept is missing there, which its readers notice.
pub fn keep(root: &Path) {
    if let Ok(text) = text(root) {
        let _ = write(&root.join(KEPT), &text);
    }
}

fn text(root: &Path) -> Result<String, HostError> {
    let host = Host::read(root)?;
    // Whoever may not read the disk is still told what runs.
    let examined = host_agent::examine(root).ok();
    let view = examined.and_then(|(agent, pending)| View::of(&agent, &pending).ok());
    let (last, now) = (LastCheck::load(root), host_agent::now());
    let outlook = Outlook::of_host(root, view.as_ref().map(|view| view.state), last.as_ref(), now).ok();
    Ok(metrics::text(&host, view.as_ref(), last.as_ref(), outlook.as_ref(), now))
}

/// Everybody may read them, whatever the mask is under which they are written.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_added_extension("new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644))?;
    fs::rename(&new, path)
}

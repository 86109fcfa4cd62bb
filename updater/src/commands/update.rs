//! `slipway-agent update`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use slipway_updater::agent::Outcome;
use slipway_updater::host_agent::{self, HostAgent, OpenError};
use slipway_updater::machine::State;
use slipway_updater::update::{Costs, Installed, SettingsError, Updater};

use super::check::{look, megabytes, told};
use super::settle::{Only, restart_machine};
use crate::exit_code::ExitCode;

/// Arguments of `update`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Arguments {
    /// Update from a folder that holds a repository, such as one on a USB stick, instead of the network.
    #[arg(long, value_name = "FOLDER")]
    offline: Option<PathBuf>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Don't wait for this host's turn in a rollout, nor for the time after an installation that went wrong.
    #[arg(long)]
    now: bool,
    /// Leave the restart to somebody else: until then what runs goes on.
    #[arg(long)]
    no_restart: bool,
    /// For the timer: finish what was interrupted; be content when no repository is known, or another agent is at work.
    #[arg(long, conflicts_with_all = ["dry_run", "now", "offline"])]
    scheduled: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Updates.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        if self.dry_run {
            let (agent, _) = host_agent::examine(root)?;
            let updater = Updater::of_host(root, self.offline.as_deref(), self.now)?;
            return self.dry(&updater, &agent);
        }
        let (mut agent, outcome) = match host_agent::start(root) {
            Err(OpenError::Locked) if self.scheduled => return Ok(ExitCode::Done),
            started => started?,
        };
        if outcome == Outcome::Restart {
            return self.restart();
        }
        if self.scheduled && matches!(agent.state(), State::Trial { .. }) {
            // The units of the boot should have decided. They didn't: somebody must.
            return match Only::default().decide(&mut agent)? {
                Outcome::Restart => self.restart(),
                Outcome::Done => Ok(ExitCode::Done),
            };
        }
        let updater = match Updater::of_host(root, self.offline.as_deref(), self.now) {
            Err(SettingsError::NoRepository) if self.scheduled => return Ok(ExitCode::Done),
            updater => updater?,
        };
        if self.scheduled && !updater.settings.enabled {
            return Ok(ExitCode::Done);
        }
        self.update(&updater, &mut agent)
    }

    fn dry(&self, updater: &Updater, agent: &HostAgent) -> anyhow::Result<ExitCode> {
        let mut check = look(updater, agent)?;
        let costs = updater.release(&mut check)?.map(|release| Costs::of(&release, agent.disk().booted()));
        writeln!(std::io::stdout(), "{}", told(&check, costs, self.json)?)?;
        Ok(ExitCode::Done)
    }

    fn update(&self, updater: &Updater, agent: &mut HostAgent) -> anyhow::Result<ExitCode> {
        let mut check = look(updater, agent)?;
        let mut out = std::io::stdout();
        let restarts = updater.settings.restart && !self.no_restart;
        let Some(release) = updater.release(&mut check)? else {
            writeln!(out, "{}", told(&check, None, self.json)?)?;
            let waits = agent.state() == State::Armed && restarts && agent.restart()? == Outcome::Restart;
            return if waits { self.restart() } else { Ok(ExitCode::Done) };
        };
        if !self.json {
            writeln!(out, "{}", told(&check, Some(Costs::of(&release, agent.disk().booted())), false)?)?;
        }
        let installed = updater.install(agent, &check, &release)?;
        let report = Report { installed: &installed, peak_memory: peak_memory() };
        writeln!(out, "{}", if self.json { serde_json::to_string(&report)? } else { in_words(&installed) })?;
        out.flush()?;
        if !restarts {
            return Ok(ExitCode::Done);
        }
        // A newer one is preferred by the boot loader, and what runs is better to go back to than nothing.
        let is_older = release.label.version() < agent.survey()?.running_label.version();
        let outcome = match &check.choice().running_withdrawn {
            Some(reason) if is_older => agent.leave_withdrawn(reason)?,
            _ => agent.restart()?,
        };
        if outcome == Outcome::Restart { self.restart() } else { Ok(ExitCode::Done) }
    }

    fn restart(&self) -> anyhow::Result<ExitCode> {
        if !self.no_restart {
            restart_machine()?;
        }
        Ok(ExitCode::Done)
    }
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    installed: &'a Installed,
    /// The most memory that this program held at a time, in bytes; nothing if the kernel doesn't say.
    peak_memory: Option<u64>,
}

/// `VmHWM` of `proc_pid_status(5)`.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

fn in_words(installed: &Installed) -> String {
    let Installed { version, blocks, traffic, patch_failure, given_up, .. } = installed;
    let mut text = format!(
        "{version} is installed, and the next boot tries it\n  blocks: {} kept, {} copied, {} patched, {} fetched; {} MB in {} requests",
        blocks.kept,
        blocks.copied,
        blocks.patched,
        blocks.fetched,
        megabytes(traffic.bytes),
        traffic.requests
    );
    for words in
        patch_failure.iter().map(|why| format!("the patch could not be used: {why}")).chain(given_up.iter().cloned())
    {
        text.push_str("\n  ");
        text.push_str(&words);
    }
    text
}

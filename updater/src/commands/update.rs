//! `slipway-agent update`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use slipway_updater::agent::Outcome;
use slipway_updater::host_agent::{self, HostAgent};
use slipway_updater::machine::State;
use slipway_updater::restart::{Restarts, Wait};
use slipway_updater::update::{Costs, Installed, Passed, Then, Updater, look, prepare, proceed};

use super::check::{foreseen, megabytes, told};
use super::run::settle_locks;
use super::settle::restart_machine;
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
    /// Don't wait for this host's turn in a rollout, for a maintenance window, nor for the time after an installation that
    /// went wrong.
    #[arg(long)]
    now: bool,
    /// Leave the restart to somebody else: until then what runs goes on.
    #[arg(long)]
    no_restart: bool,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Updates.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let mut updater = Updater::of_host(root, self.offline.as_deref(), self.now)?;
        updater.settings.restart &= !self.no_restart;
        if self.dry_run {
            let (agent, _) = host_agent::examine(root)?;
            return self.dry(&updater, &agent);
        }
        let (mut agent, outcome) = host_agent::start(root)?;
        if outcome == Outcome::Restart {
            return self.restart();
        }
        let then = self.update(&updater, &mut agent);
        if !matches!(then, Ok(Then::Restart(_))) {
            settle_locks(root, &agent);
        }
        match then? {
            Then::Restart(_) => self.restart(),
            Then::Nothing | Then::Waits(_) => Ok(ExitCode::Done),
        }
    }

    fn dry(&self, updater: &Updater, agent: &HostAgent) -> anyhow::Result<ExitCode> {
        let mut check = look(updater, agent)?;
        let costs = updater.release(&mut check)?.map(|release| Costs::of(&release, agent.disk().booted()));
        let waits = foreseen(updater, agent, &check)?;
        writeln!(std::io::stdout(), "{}", told(&check, costs, waits.as_ref(), self.json)?)?;
        Ok(ExitCode::Done)
    }

    fn update(&self, updater: &Updater, agent: &mut HostAgent) -> anyhow::Result<Then> {
        let restarts = Restarts::of_host(&updater.root, &updater.settings, &updater.client, agent.now(), self.now)?;
        let mut check = look(updater, agent)?;
        let mut out = std::io::stdout();
        let release = prepare(updater, agent, &mut check)?;
        let costs = release.as_ref().map(|release| Costs::of(release, agent.disk().booted()));
        if !self.json {
            writeln!(out, "{}", told(&check, costs, None, false)?)?;
        }
        let Passed { installed, then } = proceed(updater, agent, &restarts, &check, release.as_ref())?;
        let waits = match &then {
            Then::Waits(wait) => Some(wait),
            Then::Nothing | Then::Restart(_) => None,
        };
        if self.json {
            let said = match &installed {
                Some(installed) => serde_json::to_string(&Report { installed, waits, peak_memory: peak_memory() })?,
                None => told(&check, costs, waits, true)?,
            };
            writeln!(out, "{said}")?;
        } else {
            let did = installed.as_ref().map(in_words);
            let waits = waits.map(|wait| {
                let what = if agent.state() == State::Armed { "restart" } else { "installation" };
                format!("  the {what} {wait}")
            });
            for line in did.into_iter().chain(waits) {
                writeln!(out, "{line}")?;
            }
        }
        out.flush()?;
        Ok(then)
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
    /// What the restart waits for.
    waits: Option<&'a Wait>,
    /// The most memory that this program held at a time, in bytes; nothing if the kernel doesn't say.
    peak_memory: Option<u64>,
}

/// `VmHWM` of `proc_pid_status(5)`.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What was installed, and where it came from.
pub fn in_words(installed: &Installed) -> String {
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

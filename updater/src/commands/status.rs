//! `slipway-agent status`

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use slipway_images::boot::GptUsed;
use slipway_updater::agent::chain;
use slipway_updater::config::Standing;
use slipway_updater::host::{Host, STATE_NOT_MOUNTED};
use slipway_updater::host_agent;
use slipway_updater::restart::{Outlook, Wait};
use slipway_updater::update::LastCheck;
use slipway_updater::view::View;

use crate::exit_code::ExitCode;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Says what runs.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let mut host = Host::read(root)?;
        let config = match host.state {
            Some(_) => Standing::of_host(root),
            None => Standing::unknown(STATE_NOT_MOUNTED),
        };
        host.problems.extend(config.problems);
        let view = host_agent::examine(root)
            .map_err(anyhow::Error::from)
            .and_then(|(agent, pending)| Ok(View::of(&agent, &pending)?));
        let (state, last) = (view.as_ref().ok().map(|view| view.state), LastCheck::load(root));
        let outlook = Outlook::of_host(root, state, last.as_ref(), host_agent::now());
        let text = if self.json {
            // Whoever may not read the disk is still told what runs.
            let waits = outlook.ok().and_then(|outlook| outlook.waits);
            let report = Report { host: &host, config: &config.summary, update: view.as_ref().ok(), waits };
            format!("{}\n", serde_json::to_string(&report)?)
        } else {
            let update = view.map_or_else(|error| format!("unknown: {error:#}"), |view| view.summary());
            let restart = match outlook {
                Ok(outlook) => outlook.waits.map(|wait| wait.to_string()),
                Err(error) => Some(format!("unknown: {}", chain(&error))),
            };
            describe(&host, &config.summary, &update, restart)
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if host.problems.is_empty() { ExitCode::Done } else { ExitCode::NotWell })
    }
}

/// The host, and how it stands with its configuration and with updates.
#[derive(serde::Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    host: &'a Host,
    config: &'a str,
    update: Option<&'a View>,
    /// What the restart into the version that is installed waits for.
    waits: Option<Wait>,
}

/// What an operator wants to know first, first.
fn describe(host: &Host, config: &str, update: &str, restart: Option<String>) -> String {
    let unknown = || "unknown".to_owned();
    let id = host.image.id.clone().unwrap_or_else(unknown);
    let version = host.image.version.clone().unwrap_or_else(unknown);
    let mut text = format!("{id} {version}");
    // Writing to a string does not fail, here and below.
    if let Some(boot) = &host.boot {
        let _ = write!(text, ", slot {} of {}", boot.slot, boot.disk);
    }
    text.push('\n');
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    row("root hash", host.root_hash.map_or_else(unknown, |hash| hash.to_hex()));
    match &host.state {
        Some(state) => {
            let (free, size) = (gigabytes(state.free), gigabytes(state.size));
            row("state", format!("{free} of {size} GB free on {} ({})", state.source, state.file_system));
        }
        None => row("state", "not mounted".to_owned()),
    }
    if let Some(boot) = &host.boot {
        let table = match boot.gpt_used {
            GptUsed::Primary => "good",
            GptUsed::Backup => "primary copy damaged, backup in use",
        };
        row("partitions", table.to_owned());
        let took = boot.switch_root_ms.saturating_sub(boot.initrd_started_ms);
        row("initrd", format!("{took} ms"));
    }
    row("config", config.to_owned());
    row("update", update.to_owned());
    if let Some(restart) = restart {
        row("restart", restart);
    }
    match host.problems.len() {
        0 => {}
        1 => text.push_str("\nnot as it should be:\n"),
        count => {
            let _ = writeln!(text, "\n{count} things are not as they should be:");
        }
    }
    for problem in &host.problems {
        let _ = writeln!(text, "  - {problem}");
    }
    text
}

fn gigabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use slipway_images::boot::{BootFacts, BootPartitions};
    use slipway_images::disk::Slot;
    use slipway_images::verity::RootHash;
    use slipway_updater::host::{Image, State};

    use super::*;

    #[test]
    fn the_first_line_says_what_runs_and_the_last_ones_what_is_wrong() {
        let root_hash = RootHash::from_bytes([0xab; 32]);
        let boot = BootFacts {
            disk: "vda".into(),
            slot: Slot::B,
            root_hash,
            root_partition: 4,
            partitions: BootPartitions::default(),
            gpt_used: GptUsed::Backup,
            initrd_started_ms: 4000,
            switch_root_ms: 4800,
        };
        let state = State {
            source: "/dev/vda6".into(),
            file_system: "ext4".into(),
            size: 8_000_000_000,
            free: 6_250_000_000,
            writable: true,
        };
        let host = Host {
            image: Image { id: Some("edge-web".into()), version: Some("2026.11.22".into()) },
            root_hash: Some(root_hash),
            slot: Some(Slot::B),
            boot: Some(boot),
            state: Some(state),
            problems: vec!["the primary partition table is damaged".into()],
        };
        let expected = format!(
            "edge-web 2026.11.22, slot b of vda\n  root hash   {root_hash}\n  \
             state       6.2 of 8.0 GB free on /dev/vda6 (ext4)\n  \
             partitions  primary copy damaged, backup in use\n  initrd      800 ms\n  \
             config      number 3\n  update      web_1 runs\n  restart     waits\n\n\
             not as it should be:\n  - the primary partition table is damaged\n"
        );
        assert_eq!(describe(&host, "number 3", "web_1 runs", Some("waits".to_owned())), expected);
    }
}

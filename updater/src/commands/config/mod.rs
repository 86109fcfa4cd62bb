//! `slipway-agent config`

mod activate;
mod change;
mod history;
mod show;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use rustix::fs::{FlockOperation, flock};
use slipway_updater::config::{MAX_BYTES, Problem};

use crate::exit_code::ExitCode;

/// The configuration of this machine: one document that outlasts restarts, updates and rollbacks.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the document in effect.
    Show(show::Arguments),
    /// Says what is wrong with a document; changes nothing.
    Check(show::CheckArguments),
    /// Puts a document in place of the one in effect, for good, and makes it that of the running machine.
    Apply(change::ApplyArguments),
    /// Sets one key of the document.
    Set(change::SetArguments),
    /// Takes one key out of the document.
    Unset(change::UnsetArguments),
    /// Opens the document in $EDITOR, and applies what is left there.
    Edit(change::EditArguments),
    /// Applies a document of the history once more.
    Restore(change::RestoreArguments),
    /// Keeps the document that `apply --confirm-within` put on trial.
    Confirm(change::ConfirmArguments),
    /// Goes back from the document that is on trial.
    Revert(change::RevertArguments),
    /// Lists the documents that were written, the oldest first.
    History(history::Arguments),
    /// Shows in which lines a document of the history differs from the one in effect, or from another.
    Diff(history::DiffArguments),
    /// At every boot, before there is a network: makes the document that of the machine.
    Activate(activate::Arguments),
}

impl Arguments {
    /// Does what is asked for.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        match &self.command {
            Command::Show(arguments) => arguments.run(),
            Command::Check(arguments) => arguments.run(),
            Command::Apply(arguments) => arguments.run(),
            Command::Set(arguments) => arguments.run(),
            Command::Unset(arguments) => arguments.run(),
            Command::Edit(arguments) => arguments.run(),
            Command::Restore(arguments) => arguments.run(),
            Command::Confirm(arguments) => arguments.run(),
            Command::Revert(arguments) => arguments.run(),
            Command::History(arguments) => arguments.run(),
            Command::Diff(arguments) => arguments.run(),
            Command::Activate(arguments) => arguments.run(),
        }
    }
}

/// Held by whoever changes the document, until the process ends. Others wait.
fn lock() -> anyhow::Result<File> {
    let path = Path::new("/run/slipway/config.lock");
    let failed = || format!("can't lock {}", path.display());
    std::fs::create_dir_all("/run/slipway").with_context(failed)?;
    let lock = File::options().create(true).append(true).open(path).with_context(failed)?;
    flock(&lock, FlockOperation::LockExclusive).with_context(failed)?;
    Ok(lock)
}

/// The text of a file, or of standard input for `-`.
fn text_of(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("can't read {}", path.display());
    let mut text = String::new();
    let limit = MAX_BYTES as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_string(&mut text).context("can't read standard input")?;
    } else {
        File::open(path).with_context(failed)?.take(limit).read_to_string(&mut text).with_context(failed)?;
    }
    Ok(text)
}

/// All that is wrong, each with its line.
fn shown(problems: &[Problem], name: &str) -> String {
    problems.iter().map(|problem| problem.shown(name)).collect()
}

/// A document to read.
#[derive(Clone, Debug, clap::Args)]
struct Input {
    /// The document; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Input {
    fn name(&self) -> String {
        if self.file == Path::new("-") { "standard input".to_owned() } else { self.file.display().to_string() }
    }
}

/// `90s`, `2m`, `1h`.
fn time_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time span: write `90s`, `2m` or `1h`");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_have_a_unit() {
        assert_eq!(time_span("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(time_span("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "2", "m", "0s", "-1s", "2 m", "99999999999999999999h"] {
            assert!(time_span(bad).is_err(), "{bad}");
        }
    }
}

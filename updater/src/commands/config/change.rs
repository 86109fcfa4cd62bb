//! `slipway-agent config apply`, `set`, `unset`, `edit`, `restore`, `confirm` and `revert`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use slipway_trust::time::UnixTime;
use slipway_updater::config::{
    self, Activation, EditError, HostFolder, InEffect, Known, MachineConfig, Number, Source, Store, ThisSystem, Trial,
    When,
};

use super::{Input, lock, shown, text_of, time_span};
use crate::exit_code::ExitCode;

/// What all changes can be told.
#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Keep it only if `config confirm` follows in that time (`90s`, `2m`); else the old document is in effect again, and also after
    /// a restart. For changes of the network that this very command came over.
    #[arg(long, value_name = "TIME", value_parser = time_span)]
    confirm_within: Option<Duration>,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// Arguments of `config apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArguments {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    options: Options,
}

impl ApplyArguments {
    /// Applies a document.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let text = text_of(&self.input.file)?;
        let mut host = Host::lock()?;
        if let Err(problems) = MachineConfig::check(&text, &host.known) {
            write!(std::io::stderr(), "{}", shown(&problems, &self.input.name()))?;
            bail!("nothing was changed");
        }
        host.change(&text, "applied", &self.options)
    }
}

/// Arguments of `config set`.
#[derive(Debug, clap::Args)]
pub struct SetArguments {
    /// The key, as in the document, with dots: `hostname`, `update.channel`, `network.0.mtu`.
    key: String,
    /// What it is set to, in TOML: `true`, `3`, `["a", "b"]`; any other text needs no quotes.
    #[arg(allow_hyphen_values = true)]
    value: String,
    #[command(flatten)]
    options: Options,
}

impl SetArguments {
    /// Sets a key.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let words = format!("{} set", self.key);
        Host::lock()?.edit(&words, &self.options, |text| config::set(text, &self.key, &self.value))
    }
}

/// Arguments of `config unset`.
#[derive(Debug, clap::Args)]
pub struct UnsetArguments {
    /// The key, as in the document, with dots.
    key: String,
    #[command(flatten)]
    options: Options,
}

impl UnsetArguments {
    /// Takes a key out.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let words = format!("{} taken out", self.key);
        Host::lock()?.edit(&words, &self.options, |text| config::unset(text, &self.key))
    }
}

/// Arguments of `config edit`.
#[derive(Debug, clap::Args)]
pub struct EditArguments {
    #[command(flatten)]
    options: Options,
}

impl EditArguments {
    /// Opens an editor. What makes no sense stays where it was edited.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let editor = std::env::var("EDITOR").unwrap_or_default();
        if editor.trim().is_empty() {
            bail!("$EDITOR names no editor: use `slipway-agent config show`, edit elsewhere, and `config apply`");
        }
        let before = config::in_effect(Path::new("/"))?.text;
        let path = PathBuf::from(format!("/run/slipway/config-edited-{}.toml", std::process::id()));
        std::fs::write(&path, &before).with_context(|| format!("can't write {}", path.display()))?;
        let script = format!("{editor} \"$1\"");
        let status = Command::new("sh").args(["-c", &script, "sh"]).arg(&path).status().context("can't run $EDITOR")?;
        if !status.success() {
            bail!("the editor ended with {status}: nothing was changed");
        }
        let text = text_of(&path)?;
        let mut host = Host::lock()?;
        if let Err(problems) = MachineConfig::check(&text, &host.known) {
            write!(std::io::stderr(), "{}", shown(&problems, &path.display().to_string()))?;
            bail!("nothing was changed; what you wrote is still in {}", path.display());
        }
        if host.in_effect().text != before {
            bail!(
                "the document was changed meanwhile: nothing was done; what you wrote is still in {}",
                path.display()
            );
        }
        let code = host.change(&text, "edited", &self.options)?;
        std::fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
        Ok(code)
    }
}

/// Arguments of `config restore`.
#[derive(Debug, clap::Args)]
pub struct RestoreArguments {
    /// The document's number in the history.
    number: u64,
    #[command(flatten)]
    options: Options,
}

impl RestoreArguments {
    /// Applies an old document. It may be of another version: what isn't known is told and left out.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let mut host = Host::lock()?;
        let text = host.store.found().entry(Number(self.number))?.text.clone();
        let (problems, usable) = match MachineConfig::read(&text, &host.known) {
            Ok(reading) => (reading.problems, true),
            Err(problems) => (problems, false),
        };
        write!(std::io::stderr(), "{}", shown(&problems, &format!("number {}", self.number)))?;
        if !usable {
            bail!("nothing was changed");
        }
        host.change(&text, &format!("number {} restored", self.number), &self.options)
    }
}

/// Arguments of `config confirm`.
#[derive(Debug, clap::Args)]
pub struct ConfirmArguments {
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl ConfirmArguments {
    /// Writes the document on trial for good.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let mut host = Host::lock()?;
        let trial = Trial::current(Path::new("/"))?;
        let message = self.message.as_deref().unwrap_or("confirmed");
        let number = host.store.write(&trial.text, message, UnixTime::now(), &host.known)?;
        trial.end()?;
        if self.json {
            // What it says was made that of the running machine when its trial began.
            return Report { number: Some(number), on_trial: false, activation: &Activation::default() }.print();
        }
        writeln!(std::io::stdout(), "kept as number {number}")?;
        Ok(ExitCode::Done)
    }
}

/// Arguments of `config revert`.
#[derive(Debug, clap::Args)]
pub struct RevertArguments {
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

impl RevertArguments {
    /// Puts the written document in effect again.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let host = Host::lock()?;
        let trial = Trial::current(Path::new("/"))?;
        let in_effect = host.in_effect();
        let activation = activate(&in_effect.reading.config);
        trial.end()?;
        if self.json {
            let number = match in_effect.source {
                Source::Written { number } | Source::History { number, .. } => Some(number),
                Source::None | Source::ByHand | Source::Unusable { .. } => None,
            };
            return Report { number, on_trial: false, activation: &activation }.print();
        }
        writeln!(std::io::stdout(), "the document on trial was not kept")?;
        tell(&activation)
    }
}

/// This host, while nobody else changes its document.
struct Host {
    store: Store<HostFolder>,
    known: Known,
    _lock: std::fs::File,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    number: Option<Number>,
    on_trial: bool,
    #[serde(flatten)]
    activation: &'a Activation,
}

impl Report<'_> {
    fn print(&self) -> anyhow::Result<ExitCode> {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(self)?)?;
        Ok(if self.activation.failed.is_empty() { ExitCode::Done } else { ExitCode::NotWell })
    }
}

impl Host {
    fn lock() -> anyhow::Result<Self> {
        let root = Path::new("/");
        let lock = lock()?;
        Ok(Self { store: config::store(root)?, known: Known::of_host(root), _lock: lock })
    }

    fn in_effect(&self) -> InEffect {
        self.store.found().in_effect(&self.known)
    }

    /// Edits the document. What was wrong with it before, since another version wrote it, is no hindrance.
    fn edit(
        &mut self,
        words: &str,
        options: &Options,
        edit: impl FnOnce(&str) -> Result<String, EditError>,
    ) -> anyhow::Result<ExitCode> {
        let InEffect { text, reading, .. } = self.in_effect();
        let new = edit(&text)?;
        let problems = match MachineConfig::read(&new, &self.known) {
            Ok(reading) => reading.problems,
            Err(problems) => problems,
        };
        let was_there = |message: &str| reading.problems.iter().any(|problem| problem.message == message);
        let (old, news): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| was_there(&problem.message));
        write!(std::io::stderr(), "{}{}", shown(&old, "the document"), shown(&news, "the document"))?;
        if !news.is_empty() {
            bail!("nothing was changed");
        }
        self.change(&new, words, options)
    }

    /// Writes the document, or puts it on trial, and makes it that of the running machine.
    fn change(&mut self, text: &str, words: &str, options: &Options) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let config = MachineConfig::read(text, &self.known).map(|reading| reading.config).unwrap_or_default();
        let message = options.message.as_deref().unwrap_or(words);
        let before = self.in_effect();
        if let Ok(trial) = Trial::current(root) {
            // What is done now comes in its place.
            trial.end()?;
        }
        let (number, on_trial) = match (options.confirm_within, before.source) {
            (Some(within), _) => {
                Trial::begin(root, text, within)?;
                (None, true)
            }
            (None, Source::Written { number }) if before.text == text => (Some(number), false),
            (None, _) => (Some(self.store.write(text, message, UnixTime::now(), &self.known)?), false),
        };
        let activation = activate(&config);
        if options.json {
            return Report { number, on_trial, activation: &activation }.print();
        }
        let mut out = std::io::stdout();
        match (number, options.confirm_within) {
            (Some(number), _) => writeln!(out, "number {number} is in effect")?,
            (None, within) => {
                let seconds = within.unwrap_or_default().as_secs();
                writeln!(
                    out,
                    "on trial: the old one is in effect again in {seconds} s, unless you run `slipway-agent config confirm`"
                )?;
            }
        }
        tell(&activation)
    }
}

fn activate(config: &MachineConfig) -> Activation {
    config::activate(Path::new("/"), config, When::Now, &ThisSystem)
}

/// What was done, what waits, what went wrong.
fn tell(activation: &Activation) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    for words in &activation.done {
        writeln!(out, "  now        {words}")?;
    }
    for words in &activation.later {
        writeln!(out, "  next boot  {words}")?;
    }
    for words in &activation.failed {
        writeln!(std::io::stderr(), "  failed     {words}")?;
    }
    Ok(if activation.failed.is_empty() { ExitCode::Done } else { ExitCode::NotWell })
}

//! `slipway-agent config activate`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use slipway_trust::time::UnixTime;
use slipway_updater::agent::chain;
use slipway_updater::config::{
    self, Activation, CREDENTIAL, HostFolder, Known, MAX_BYTES, MachineConfig, Standing, Store, ThisSystem, When,
};

use super::lock;
use crate::exit_code::ExitCode;

/// Arguments of `config activate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report {
    #[serde(flatten)]
    activation: Activation,
    /// What the journal is told.
    problems: Vec<String>,
}

impl Arguments {
    /// Does as much as can be done, and never fails for what is written in a document: a version that is on trial, or that was gone
    /// back to, must not fall for a key that it doesn't know. What was left out is in the journal, and in `status`.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let _lock = lock()?;
        let known = Known::of_host(root);
        let mut store = config::store(root)?;
        let mut warnings = Warnings::default();
        if store.found().is_empty() {
            take_credential(&mut store, &known, &mut warnings)?;
        }
        if let Err(error) = store.adopt(UnixTime::now(), &known) {
            warnings.add(chain(&error))?;
        }
        let in_effect = store.found().in_effect(&known);
        let activation = config::activate(root, &in_effect.reading.config, When::Boot, &ThisSystem);
        for problem in Standing::of_host(root).problems {
            warnings.add(problem)?;
        }
        if self.json {
            let report = Report { activation, problems: warnings.0 };
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
        }
        Ok(ExitCode::Done)
    }
}

/// The first document of a machine. Whoever starts the machine wrote it, perhaps for another version: it is taken as far as it is known.
fn take_credential(store: &mut Store<HostFolder>, known: &Known, warnings: &mut Warnings) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(()) };
    let path = PathBuf::from(folder).join(CREDENTIAL);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return warnings.add(format!("credential {CREDENTIAL} can't be read: {error}")),
    };
    if text.len() > MAX_BYTES {
        return warnings.add(format!("credential {CREDENTIAL} is longer than {} KiB", MAX_BYTES >> 10));
    }
    match MachineConfig::read(&text, known) {
        Ok(_) => {
            store.write(&text, &format!("from the credential {CREDENTIAL}"), UnixTime::now(), known)?;
        }
        Err(problems) => {
            for problem in problems {
                warnings.add(format!("credential {CREDENTIAL} can't be used: {problem}"))?;
            }
        }
    }
    Ok(())
}

/// What the journal was told.
#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    /// Tells the journal, as a warning (sd-daemon(3)).
    fn add(&mut self, words: String) -> anyhow::Result<()> {
        writeln!(std::io::stderr(), "<4>{words}")?;
        self.0.push(words);
        Ok(())
    }
}

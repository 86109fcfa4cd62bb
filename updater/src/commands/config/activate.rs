//! `slipway-agent config activate`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use slipway_trust::time::UnixTime;
use slipway_updater::agent::chain;
use slipway_updater::config::{
    self, CREDENTIAL, HostFolder, Known, MAX_BYTES, MachineConfig, Standing, Store, ThisSystem, When,
};

use super::lock;
use crate::exit_code::ExitCode;

/// Does as much as can be done, and never fails for what is written in a document: a version that is on trial, or that was gone back
/// to, must not fall for a key that it doesn't know. What was left out is in the journal, and in `status`.
pub fn run() -> anyhow::Result<ExitCode> {
    let root = Path::new("/");
    let _lock = lock()?;
    let known = Known::of_host(root);
    let mut store = config::store(root)?;
    if store.found().is_empty() {
        take_credential(&mut store, &known)?;
    }
    if let Err(error) = store.adopt(UnixTime::now(), &known) {
        warn(&chain(&error))?;
    }
    let in_effect = store.found().in_effect(&known);
    config::activate(root, &in_effect.reading.config, When::Boot, &ThisSystem);
    for problem in Standing::of_host(root).problems {
        warn(&problem)?;
    }
    Ok(ExitCode::Done)
}

/// The first document of a machine. Whoever starts the machine wrote it, perhaps for another version: it is taken as far as it is known.
fn take_credential(store: &mut Store<HostFolder>, known: &Known) -> anyhow::Result<()> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(()) };
    let path = PathBuf::from(folder).join(CREDENTIAL);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return warn(&format!("credential {CREDENTIAL} can't be read: {error}")),
    };
    if text.len() > MAX_BYTES {
        return warn(&format!("credential {CREDENTIAL} is longer than {} KiB", MAX_BYTES >> 10));
    }
    match MachineConfig::read(&text, known) {
        Ok(_) => {
            store.write(&text, &format!("from the credential {CREDENTIAL}"), UnixTime::now(), known)?;
        }
        Err(problems) => {
            for problem in problems {
                warn(&format!("credential {CREDENTIAL} can't be used: {problem}"))?;
            }
        }
    }
    Ok(())
}

/// To the journal, as a warning (sd-daemon(3)).
fn warn(words: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "<4>{words}")?)
}

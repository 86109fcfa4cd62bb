//! Asking for passphrases: of a file, of the environment, or of the person at the terminal.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use slipway_builder::keys::{KeysError, Passphrase};

/// The passphrase of the key in `path`, which is there already.
pub fn known(file: Option<&Path>, path: &Path) -> Result<Passphrase, KeysError> {
    match given(file)? {
        Some(text) => Ok(Passphrase::known(text)),
        None => prompt(&format!("Passphrase of {}: ", path.display()), path).map(Passphrase::known),
    }
}

/// A passphrase for the key in `path`, which is to be made. Asked for twice.
pub fn new(file: Option<&Path>, path: &Path) -> Result<Passphrase, KeysError> {
    if let Some(text) = given(file)? {
        return Passphrase::new(text);
    }
    loop {
        let text = prompt(&format!("New passphrase for {}: ", path.display()), path)?;
        if prompt("Once more: ", path)? == text {
            return Passphrase::new(text);
        }
    }
}

fn given(file: Option<&Path>) -> Result<Option<String>, KeysError> {
    if let Some(path) = file {
        let text = fs::read_to_string(path);
        let text = text.map_err(|source| KeysError::Io { path: path.to_owned(), what: "read", source })?;
        return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
    }
    Ok(env::var("SLIPWAY_PASSPHRASE").ok().filter(|text| !text.is_empty()))
}

/// Asks at the terminal, whatever stdin and stdout are, without showing what is typed.
fn prompt(question: &str, path: &Path) -> Result<String, KeysError> {
    let nobody = || KeysError::NobodyToAsk(path.to_owned());
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| nobody())?;
    let before = tcgetattr(&terminal).map_err(|_| nobody())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    let mut line = String::new();
    let asked = terminal.write_all(question.as_bytes()).and_then(|()| {
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        BufReader::new(&terminal).read_line(&mut line)
    });
    // The terminal is the person's: it must echo again, whatever happened.
    let _ = tcsetattr(&terminal, OptionalActions::Flush, &before);
    match asked {
        Ok(count) if count > 0 => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        _ => Err(nobody()),
    }
}

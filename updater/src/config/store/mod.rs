//! The document on the state partition, and those before it.
//!
//! `host.toml` is the document, as its owner wrote it. `host.toml.42` is the 42nd that was written, whole and with a checksum
//! ([`Entry`]); the newest has the same text as `host.toml`. A document is written to the history first, then put in place: each under
//! another name, synced, renamed, and the folder synced. So a power cut leaves the old document or the new one, and a copy
//! of whichever it is.
//!
//! Expected is a state partition that lost writes, was restored from elsewhere, or was edited by hand. What is in effect
//! is decided by [`Found::in_effect`]:
//!
//! 1. `host.toml`, if the history has the same text: it was checked when it was written, by this version or by another.
//! 2. `host.toml`, if nothing is wrong with it: somebody edited it by hand. An empty file isn't taken for that.
//! 3. The newest document of the history: `host.toml` is damaged or missing.
//! 4. Nothing. The image's own configuration stands.

mod entry;
mod folder;

use std::io;
use std::str;

use serde::Serialize;
use slipway_trust::time::UnixTime;

pub use self::entry::{Entry, Number};
pub use self::folder::{Effect, Folder, HostFolder};
use super::document::{Known, MachineConfig, Reading};
use super::problem::Problem;
use super::reader::MAX_BYTES;

/// The document's file.
pub const DOCUMENT: &str = "host.toml";
/// Where an edit by hand is kept that made no sense.
pub const REFUSED: &str = "host.toml.refused";
/// Documents that are kept.
const MAX_ENTRIES: usize = 32;
/// The longest file of the history: a document and its first line.
const MAX_FILE: usize = MAX_BYTES + 2048;

/// Why documents can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file, or the folder, can't be read.
    #[error("can't read {name} of the machine's configuration")]
    Read {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The folder can't be written to.
    #[error("can't write the machine's configuration")]
    Write(#[source] io::Error),
    /// A file reads back as something else.
    #[error("{0} of the machine's configuration is not what was written")]
    Differs(String),
    /// There is no such document.
    #[error("the history has no number {0}")]
    NoNumber(Number),
}

/// What is in the folder.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// `host.toml`, as it is; a byte more than fits if it is too long.
    current: Option<Vec<u8>>,
    /// The history, the oldest first: whole ones only.
    entries: Vec<Entry>,
    /// The highest number that any file has.
    highest: u64,
    /// Files of an interrupted writing.
    leftovers: Vec<String>,
    /// Files of the history that are not what was written.
    damaged: Vec<String>,
}

/// Where the document in effect comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "source")]
pub enum Source {
    /// There is none.
    None,
    /// It was written by the agent.
    Written {
        /// Its number.
        number: Number,
    },
    /// It was edited by hand, and nothing is wrong with it.
    ByHand,
    /// It is the last good one of the history.
    History {
        /// Its number.
        number: Number,
        /// What is wrong with `host.toml`.
        why: Vec<Problem>,
    },
    /// `host.toml` can't be used, and there is no other.
    Unusable {
        /// What is wrong with it.
        why: Vec<Problem>,
    },
}

/// The document in effect.
#[derive(Clone, Debug)]
pub struct InEffect {
    /// Where it comes from.
    pub source: Source,
    /// Its text.
    pub text: String,
    /// What it says, and what in it isn't understood.
    pub reading: Reading,
}

/// The folder, and what was found in it.
#[derive(Debug)]
pub struct Store<F> {
    folder: F,
    found: Found,
}

impl<F: Folder> Store<F> {
    /// Looks what is there.
    pub fn open(folder: F) -> Result<Self, StoreError> {
        let found = Found::look(&folder)?;
        Ok(Self { folder, found })
    }

    /// What is there.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Puts a document in place of the one in effect, for good. Its number.
    pub fn write(&mut self, text: &str, message: &str, at: UnixTime, known: &Known) -> Result<Number, StoreError> {
        let number = Number(self.found.next_number(known));
        for effect in self.found.plan(text, message, at, known) {
            self.folder.carry_out(&effect).map_err(StoreError::Write)?;
        }
        self.found = Found::look(&self.folder)?;
        if self.found.current.as_deref() != Some(text.as_bytes()) {
            return Err(StoreError::Differs(DOCUMENT.to_owned()));
        }
        match self.found.entry(number) {
            Ok(entry) if entry.text == text => Ok(number),
            _ => Err(StoreError::Differs(file_name(number))),
        }
    }

    /// Takes a document that was edited by hand into the history, so that another version of the agent goes by it too.
    pub fn adopt(&mut self, at: UnixTime, known: &Known) -> Result<(), StoreError> {
        for effect in self.found.adopt(at, known) {
            self.folder.carry_out(&effect).map_err(StoreError::Write)?;
        }
        self.found = Found::look(&self.folder)?;
        Ok(())
    }
}

impl Found {
    /// Looks what is in the folder.
    pub fn look(folder: &impl Folder) -> Result<Self, StoreError> {
        let failed = |name: &str| {
            let name = name.to_owned();
            move |source| StoreError::Read { name, source }
        };
        let mut found = Self::default();
        for name in folder.names().map_err(failed("the folder"))? {
            if name.strip_prefix('.').is_some_and(|rest| rest.strip_suffix(".new").is_some()) {
                found.leftovers.push(name);
                continue;
            }
            let number = name.strip_prefix(DOCUMENT).and_then(|rest| rest.strip_prefix('.')?.parse::<u64>().ok());
            let Some(number) = number.filter(|number| file_name(Number(*number)) == name) else { continue };
            found.highest = found.highest.max(number);
            let bytes = folder.read(&name, MAX_FILE + 1).map_err(failed(&name))?.unwrap_or_default();
            match Entry::from_bytes(Number(number), &bytes) {
                Some(entry) => found.entries.push(entry),
                None => found.damaged.push(name),
            }
        }
        found.entries.sort_by_key(|entry| entry.number);
        found.leftovers.sort();
        found.current = folder.read(DOCUMENT, MAX_BYTES + 1).map_err(failed(DOCUMENT))?;
        Ok(found)
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.entries.is_empty()
    }

    /// The history, the oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Files of the history that are not what was written.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// The document of that number.
    pub fn entry(&self, number: Number) -> Result<&Entry, StoreError> {
        self.entries.iter().find(|entry| entry.number == number).ok_or(StoreError::NoNumber(number))
    }

    /// The document that counts.
    pub fn in_effect(&self, known: &Known) -> InEffect {
        let why = match self.current_reading(known) {
            Ok(in_effect) => return in_effect,
            Err(why) => why,
        };
        let newest =
            self.entries.iter().rev().find_map(|entry| Some((entry, MachineConfig::read(&entry.text, known).ok()?)));
        match (newest, why) {
            (Some((entry, reading)), why) => {
                let why = why.unwrap_or_else(|| vec![Problem::of_all("it is missing")]);
                InEffect { source: Source::History { number: entry.number, why }, text: entry.text.clone(), reading }
            }
            (None, Some(why)) => InEffect::nothing(Source::Unusable { why }),
            (None, None) => InEffect::nothing(Source::None),
        }
    }

    /// `host.toml`, if it counts; else why not, or `None` if it isn't there.
    fn current_reading(&self, known: &Known) -> Result<InEffect, Option<Vec<Problem>>> {
        let bytes = self.current.as_deref().ok_or(None)?;
        let text = str::from_utf8(bytes).map_err(|_| Some(vec![Problem::of_all("it is no text")]))?;
        let reading = MachineConfig::read(text, known).map_err(Some)?;
        let source = match self.written(text) {
            Some(number) => Source::Written { number },
            None if !reading.problems.is_empty() => return Err(Some(reading.problems)),
            None if text.trim().is_empty() => return Err(Some(vec![Problem::of_all("it is empty")])),
            None => Source::ByHand,
        };
        Ok(InEffect { source, text: text.to_owned(), reading })
    }

    /// The newest number with that text.
    fn written(&self, text: &str) -> Option<Number> {
        self.entries.iter().rev().find(|entry| entry.text == text).map(|entry| entry.number)
    }

    fn next_number(&self, known: &Known) -> u64 {
        let adopted = u64::from(matches!(self.in_effect(known).source, Source::ByHand));
        self.highest.saturating_add(1 + adopted)
    }

    /// What it takes to put a document in place. Pure.
    pub fn plan(&self, text: &str, message: &str, at: UnixTime, known: &Known) -> Vec<Effect> {
        let useless = self.leftovers.iter().chain(&self.damaged);
        let mut effects: Vec<Effect> = useless.map(|name| Effect::Remove { name: name.clone() }).collect();
        let adopted = self.adopt(at, known);
        // What makes no sense was never in effect, and is no part of the history; but it is somebody's work.
        let unread = matches!(self.in_effect(known).source, Source::History { .. } | Source::Unusable { .. });
        if let Some(current) = self.current.as_ref().filter(|_| unread) {
            effects.extend(put(REFUSED, current.clone()));
        }
        effects.extend(adopted);
        let number = Number(self.next_number(known));
        effects.extend(put(&file_name(number), Entry::new(number, at, message, text).to_bytes()));
        effects.extend(put(DOCUMENT, text.as_bytes().to_vec()));
        let count = self.entries.len() + 1;
        let old = self.entries.iter().take(count.saturating_sub(MAX_ENTRIES)).map(|entry| file_name(entry.number));
        effects.extend(old.map(|name| Effect::Remove { name }));
        effects
    }

    fn adopt(&self, at: UnixTime, known: &Known) -> Vec<Effect> {
        let InEffect { source: Source::ByHand, text, .. } = self.in_effect(known) else { return Vec::new() };
        let number = Number(self.highest.saturating_add(1));
        put(&file_name(number), Entry::new(number, at, "edited by hand", &text).to_bytes()).into()
    }
}

impl InEffect {
    fn nothing(source: Source) -> Self {
        let reading = Reading { config: MachineConfig::default(), problems: Vec::new() };
        Self { source, text: String::new(), reading }
    }
}

/// A file of the history.
fn file_name(number: Number) -> String {
    format!("{DOCUMENT}.{number}")
}

/// Puts a file in place: there is the old one or the new one, at any moment.
fn put(name: &str, content: Vec<u8>) -> [Effect; 4] {
    let new = format!(".{name}.new");
    [
        Effect::Write { name: new.clone(), content },
        Effect::Sync { name: new.clone() },
        Effect::Rename { from: new, to: name.to_owned() },
        Effect::SyncFolder,
    ]
}

#[cfg(test)]
mod tests;

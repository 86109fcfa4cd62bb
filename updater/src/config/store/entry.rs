//! An entry of the history: a document, and when and why it was written. One file, with all but the document in its first line,
//! which is a comment of TOML:
//!
//! ```toml
//! # slipway-agent config 42 2026-11-22T16:14:50Z sha256:e3b0… a second name server
//! ```

use std::str;

use slipway_images::digest::Digest;
use slipway_trust::time::UnixTime;

const MARK: &str = "# slipway-agent config ";
/// Characters of a message that are kept.
const MAX_MESSAGE: usize = 200;

/// A document's number, counted from 1. The newest has the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Number(pub u64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub number: Number,
    /// When it was written.
    pub at: UnixTime,
    /// Why, in the words of whoever did.
    pub message: String,
    /// The document.
    pub text: String,
}

impl Entry {
    /// An entry; the message becomes one line, and no long one.
    pub fn new(number: Number, at: UnixTime, message: &str, text: &str) -> Self {
        let words: Vec<&str> =
            message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
        let message = words.join(" ").chars().take(MAX_MESSAGE).collect();
        Self { number, at, message, text: text.to_owned() }
    }

    /// As it is in its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { number, at, message, text } = self;
        let digest = Digest::of(text.as_bytes()).to_hex();
        format!("{MARK}{number} {} sha256:{digest} {message}\n{text}", at.to_iso()).into_bytes()
    }

    /// The entry of that number, if its file has it, and has it whole.
    pub fn from_bytes(number: Number, bytes: &[u8]) -> Option<Self> {
        let (first, text) = str::from_utf8(bytes).ok()?.split_once('\n')?;
        let mut words = first.strip_prefix(MARK)?.splitn(4, ' ');
        let named: u64 = words.next()?.parse().ok()?;
        let at = UnixTime::from_iso(words.next()?)?;
        let digest = words.next()?.strip_prefix("sha256:")?;
        let whole = named == number.0 && digest == Digest::of(text.as_bytes()).to_hex();
        whole.then(|| Self { number, at, message: words.next().unwrap_or_default().to_owned(), text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_was_touched_is_not() {
        let entry = Entry::new(Number(42), UnixTime::from_secs(1_795_363_200), "two\nlines ", "hostname = \"x\"\n");
        let bytes = entry.to_bytes();
        assert_eq!(Entry::from_bytes(Number(42), &bytes), Some(entry.clone()));
        assert_eq!(entry.message, "two lines");
        assert_eq!(Entry::from_bytes(Number(41), &bytes), None);
        for len in 0..bytes.len() {
            assert_eq!(Entry::from_bytes(Number(42), &bytes[..len]), None, "{len}");
        }
        let text: toml::Table = toml::from_str(str::from_utf8(&bytes).unwrap()).unwrap();
        assert_eq!(text.len(), 1, "the first line is a comment");
        let long = Entry::new(Number(1), UnixTime::from_secs(0), &"ä".repeat(999), "");
        assert_eq!(Entry::from_bytes(Number(1), &long.to_bytes()), Some(long));
    }
}

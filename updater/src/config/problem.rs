//! What is wrong with a document: where, in which words, and what to write instead.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where; `None` when it is about the whole document.
    pub place: Option<Place>,
    /// What is wrong and what to write instead, lower case, without a trailing stop.
    pub message: String,
}

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The character of the line, counted from 1.
    pub column: usize,
    /// The line's text.
    pub text: String,
}

impl Problem {
    /// A problem with the piece of `text` that begins where `span` does.
    pub fn at(text: &str, span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { place: Some(Place::of(text, span.start)), message: message.into() }
    }

    /// A problem with all of a document.
    pub fn of_all(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }

    /// For the terminal: `FILE:LINE:COLUMN: …` and the line itself.
    pub fn shown(&self, file: &str) -> String {
        match &self.place {
            Some(Place { line, column, text }) => {
                format!("{file}:{line}:{column}: {}\n  {line} | {}\n", self.message, text.trim_end())
            }
            None => format!("{file}: {}\n", self.message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "line {}: ", place.line)?;
        }
        f.write_str(&self.message)
    }
}

impl Place {
    fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            text: text[start..].lines().next().unwrap_or_default().to_owned(),
        }
    }
}

/// The one of `known` that is most like `text`, if any is like it enough to be meant.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    let wanted = plain(text);
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &plain(name)), name))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

//! What is wrong with a lock file, and on which of its lines.
//!
//! The file may have been edited, merged or cut off: places are looked up by text, every slice is checked, and a place
//! that can't be found is the start of the file.

use std::ops::Range;
use std::path::Path;

use super::LockError;
use crate::recipe::{Place, Problem};

const TABLE: &str = "[[package]]";
/// What version control leaves in a file that two branches changed.
const MERGE_MARKS: [&str; 3] = ["<<<<<<< ", "=======", ">>>>>>> "];

/// A mistake in the text of a lock.
pub(super) struct Mistake {
    message: String,
    span: Range<usize>,
}

impl Mistake {
    /// What the TOML reader found.
    pub(super) fn of_toml(error: &toml::de::Error) -> Self {
        Self { message: error.message().to_owned(), span: error.span().unwrap_or_default() }
    }

    /// Something about the line `key = …` before the first package.
    pub(super) fn of_key(text: &str, key: &str, message: String) -> Self {
        let head = text.find(TABLE).unwrap_or(text.len());
        Self { message, span: line_of(text, 0..head, key).unwrap_or_default() }
    }

    /// Something about the line `key = …` of a package, counted from 0.
    pub(super) fn of_package(text: &str, index: usize, key: &str, message: String) -> Self {
        let mut starts = text.match_indices(TABLE).map(|(start, _)| start).skip(index);
        let start = starts.next().unwrap_or_default();
        let block = start..starts.next().unwrap_or(text.len());
        Self { message, span: line_of(text, block, key).unwrap_or(start..start + TABLE.len().min(text.len())) }
    }

    /// The error, about the file at `path`.
    pub(super) fn in_file(self, path: &Path, text: &str) -> LockError {
        let line = text.get(..self.span.start).map_or(0, |before| before.rfind('\n').map_or(0, |newline| newline + 1));
        let merged = text.get(line..).is_some_and(|rest| MERGE_MARKS.iter().any(|mark| rest.starts_with(mark)));
        let help = if merged {
            "this is a mark of a merge: take the file of one side, whole, then run `slipway lock`"
        } else {
            "restore the file, or remove it and run `slipway lock`"
        };
        let place = Place { file: path.to_owned(), text: text.into(), span: self.span };
        let problem = Problem {
            message: self.message,
            place: Some(place),
            label: "here".to_owned(),
            help: Some(help.to_owned()),
        };
        LockError::Broken { path: path.to_owned(), problem: Box::new(problem) }
    }
}

/// The line in `within` that gives `key` a value, without its end.
fn line_of(text: &str, within: Range<usize>, key: &str) -> Option<Range<usize>> {
    let mut start = within.start;
    for line in text.get(within)?.split_inclusive('\n') {
        if line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return Some(start..start + line.trim_end().len());
        }
        start += line.len();
    }
    None
}

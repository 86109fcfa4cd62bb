//! What is wrong with a recipe: where, in which words, and what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A recipe that cannot be used, with everything that was found wrong with it.
#[derive(Debug)]
pub struct RecipeError {
    path: PathBuf,
    problems: Vec<Problem>,
}

/// One thing that is wrong. Whoever shows it quotes the line that [`Place`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, lower case, without a trailing stop.
    pub message: String,
    /// Where; `None` when it is about the whole recipe, or about a file that cannot be read.
    pub place: Option<Place>,
    /// A few words that go beside the quoted text.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A piece of text in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it or as `extends` led to it.
    pub file: PathBuf,
    /// All of its text.
    pub text: Arc<str>,
    /// The piece, in bytes from the start of the text.
    pub span: Range<usize>,
}

impl RecipeError {
    /// The recipe at `path` has these `problems`.
    pub(super) fn new(path: &Path, problems: Vec<Problem>) -> Self {
        Self { path: path.to_owned(), problems }
    }

    /// The recipe that was to be read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong, at least one thing, in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recipe `{}` is wrong", self.path.display())?;
        for problem in &self.problems {
            write!(f, "; {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RecipeError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            let (line, column) = place.line_and_column();
            write!(f, "{}:{line}:{column}: ", place.file.display())?;
        }
        f.write_str(&self.message)
    }
}

impl Place {
    /// Line and column (in characters) of where the piece begins, both counted from 1.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self.text.get(..self.span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

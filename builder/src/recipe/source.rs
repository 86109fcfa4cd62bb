//! The texts that a recipe is read from, laid end to end, so that one number says file and place.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Place, Problem};

/// The files of an `extends` chain, in the order they were read.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    /// As messages show it.
    shown: PathBuf,
    /// The absolute folder it lies in.
    folder: PathBuf,
    text: Arc<str>,
    base: usize,
}

impl Sources {
    /// Takes a file in. Gives the offset by which spans within it are to be shifted.
    pub fn add(&mut self, shown: &Path, folder: &Path, text: &str) -> usize {
        let base = self.files.last().map_or(0, Source::end);
        self.files.push(Source { shown: shown.to_owned(), folder: folder.to_owned(), text: text.into(), base });
        base
    }

    /// The texts with the offsets of their spans, in the order they were added.
    pub fn texts(&self) -> impl DoubleEndedIterator<Item = (&str, usize)> {
        self.files.iter().map(|source| (&*source.text, source.base))
    }

    /// The piece of a file that `span` is.
    pub fn place(&self, span: &Range<usize>) -> Option<Place> {
        let source = self.holding(span.start)?;
        let (start, end) = (span.start - source.base, span.end.max(span.start) - source.base);
        Some(Place { file: source.shown.clone(), text: source.text.clone(), span: start..end.min(source.text.len()) })
    }

    /// A problem with what stands at `span`.
    pub fn problem(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        label: &str,
        help: Option<String>,
    ) -> Problem {
        Problem { message: message.into(), place: self.place(span), label: label.to_owned(), help }
    }

    /// The path `text` written at `span`, made absolute: relative paths start at the folder of the file that names them.
    pub fn resolve(&self, span: &Range<usize>, text: &str) -> PathBuf {
        self.holding(span.start).map_or_else(|| PathBuf::from(text), |source| source.folder.join(text))
    }

    fn holding(&self, offset: usize) -> Option<&Source> {
        self.files.iter().find(|source| (source.base..source.end()).contains(&offset))
    }
}

impl Source {
    /// One past the place after the last byte, so that the end of a file is still in it.
    fn end(&self) -> usize {
        self.base + self.text.len() + 1
    }
}

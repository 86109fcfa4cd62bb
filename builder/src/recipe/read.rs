//! From files to one shape: reads a recipe and what it extends.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_spanned::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::error::Problem;
use super::merge::Merger;
use super::schema::misfits;
use super::shape::Shape;
use super::source::Sources;

/// How many recipes may extend one another.
const MAX_CHAIN: usize = 16;
/// The largest file that is taken for a recipe, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// What was read, merged into one shape.
pub struct Read {
    /// All settings.
    pub shape: Shape,
    /// The files, to tell places in them.
    pub sources: Sources,
    /// What was wrong with the merging. The shape can still be looked at for more.
    pub problems: Vec<Problem>,
}

/// Reads the recipe at `path` and what it extends. Problems come file by file, the recipe's own first.
pub fn read(path: &Path) -> Result<Read, Vec<Problem>> {
    let Chain { sources, problems, .. } = Chain::from(path);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut merger = Merger::new(&sources);
    let mut table = DeTable::new();
    for (text, base) in sources.texts().rev() {
        let (next, _) = DeTable::parse_recoverable(text);
        table = merger.merge(table, shifted_table(next, base).into_inner());
    }
    let problems = merger.into_problems();
    match Shape::deserialize(Deserializer::from(Spanned::new(0..0, table))) {
        Ok(shape) => Ok(Read { shape, sources, problems }),
        // The schema is made from the shape, so it finds whatever serde does; this is for what it might not.
        Err(error) => Err(vec![sources.problem(&error.span().unwrap_or(0..0), error.message(), "here", None)]),
    }
}

#[derive(Default)]
struct Chain {
    sources: Sources,
    /// Files read so far: absolute, without links.
    seen: Vec<PathBuf>,
    problems: Vec<Problem>,
}

/// A file to read, and where it was named.
type Next = Option<(PathBuf, Option<Range<usize>>)>;

impl Chain {
    fn from(path: &Path) -> Self {
        let mut chain = Self::default();
        let mut next: Next = Some((path.to_owned(), None));
        while let Some((path, named_at)) = next.take() {
            next = chain.follow(&path, named_at.as_ref());
        }
        chain
    }

    /// Reads one file and looks at its names and types; says which file it extends.
    fn follow(&mut self, path: &Path, named_at: Option<&Range<usize>>) -> Next {
        let (text, real) = match text_of(path) {
            Ok(read) => read,
            Err(error) => {
                self.unreadable(path, named_at, &error);
                return None;
            }
        };
        if let (Some(named_at), true) = (named_at, self.seen.contains(&real)) {
            let help = "a recipe cannot extend itself, nor one that extends it; take one `extends` of the circle out";
            let message = format!("`extends` leads in a circle back to `{}`", path.display());
            self.problem(named_at, message, "read already", Some(help.into()));
            return None;
        }
        if let (Some(named_at), true) = (named_at, self.seen.len() == MAX_CHAIN) {
            let message = format!("more than {MAX_CHAIN} recipes extend one another");
            self.problem(named_at, message, "one too many", Some("put what several of them say into one".into()));
            return None;
        }
        let folder = real.parent().map(Path::to_owned).unwrap_or_default();
        self.seen.push(real);
        let base = self.sources.add(path, &folder, &text);

        let (table, mut errors) = DeTable::parse_recoverable(&text);
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        for error in &errors {
            let span = error.span().map_or(base..base, |span| span.start + base..span.end + base);
            let message = format!("this is not TOML: {}", error.message());
            self.problem(&span, message, "here", hint(error.message(), &text, error.span()));
        }
        if !errors.is_empty() {
            return None;
        }
        let table = shifted_table(table, base);
        for misfit in misfits(&table) {
            self.problem(&misfit.span, misfit.message, &misfit.label, misfit.help);
        }
        let extends = table.get_ref().get("extends")?;
        let relative = extends.get_ref().as_str()?;
        Some((path.parent().unwrap_or(Path::new("")).join(relative), Some(extends.span())))
    }

    fn unreadable(&mut self, path: &Path, named_at: Option<&Range<usize>>, error: &io::Error) {
        let message = format!("recipe `{}` cannot be read: {error}", path.display());
        match named_at {
            Some(span) => {
                let help = "`extends` is a path from the folder of the recipe that it stands in".to_owned();
                self.problem(span, message, "named here", Some(help));
            }
            None => self.problems.push(Problem { message, place: None, label: String::new(), help: None }),
        }
    }

    fn problem(&mut self, span: &Range<usize>, message: String, label: &str, help: Option<String>) {
        self.problems.push(self.sources.problem(span, message, label, help));
    }
}

fn text_of(path: &Path) -> io::Result<(String, PathBuf)> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_SIZE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB, so it is no recipe"));
    }
    Ok((text, path.canonicalize()?))
}

/// Advice on the commonest slips, where the parser's words are hard to act on.
fn hint(message: &str, text: &str, span: Option<Range<usize>>) -> Option<String> {
    let line = span.and_then(|span| {
        let start = text.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
        text.get(start..)?.lines().next()
    })?;
    let value = line.split_once('=').map(|(_, value)| value.trim()).unwrap_or_default();
    if message.contains("duplicate key") {
        Some("a key can be set once; put both values into one line, or use `[[section]]` for several entries".into())
    } else if line.trim_start().starts_with('[') && line.matches('[').count() != line.matches(']').count() {
        Some("close the bracket: `[section]`, or `[[entry]]`".into())
    } else if !value.is_empty() && !value.starts_with(['"', '\'', '[', '{']) && value.parse::<f64>().is_err() {
        Some(format!("texts stand in quotes: `\"{}\"`", value.trim_matches('"')))
    } else {
        None
    }
}

/// `table` with every span moved by `base`.
fn shifted_table(table: Spanned<DeTable<'_>>, base: usize) -> Spanned<DeTable<'_>> {
    let span = moved(&table.span(), base);
    let entries = table.into_inner().into_iter();
    let entries =
        entries.map(|(key, value)| (Spanned::new(moved(&key.span(), base), key.into_inner()), shifted(value, base)));
    Spanned::new(span, entries.collect())
}

fn shifted(value: Spanned<DeValue<'_>>, base: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let inner = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shifted_table(Spanned::new(0..0, table), base).into_inner()),
        DeValue::Array(items) => {
            let mut array = DeArray::new();
            for item in items {
                array.push(shifted(item, base));
            }
            DeValue::Array(array)
        }
        scalar => scalar,
    };
    Spanned::new(moved(&span, base), inner)
}

fn moved(span: &Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}

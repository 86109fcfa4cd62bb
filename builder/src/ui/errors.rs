//! How a failure is told: mistakes in a recipe or lock with the lines they are on, anything else as a chain of causes.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::{Value, json};
use slipway_builder::lock::LockError;
use slipway_builder::recipe::{Problem, RecipeError};

use super::columns;
use crate::exit_codes::{ExitCode, find};

/// Tells of `error` on stderr, and says how the program ends.
pub fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let code = ExitCode::of(error);
    let text = if json { format!("{}\n", as_json(error, code)) } else { as_text(error) };
    // With stderr gone there is nobody left to tell.
    io::stderr().lock().write_all(text.as_bytes()).ok();
    code
}

fn as_text(error: &anyhow::Error) -> String {
    match FileError::of(error) {
        Some(file) if file.problems.iter().all(|problem| problem.place.is_none()) => {
            let lines: Vec<String> = file.problems.iter().map(|problem| format!("error: {problem}\n")).collect();
            lines.concat()
        }
        Some(file) => file.problems.iter().map(rendered).collect::<Vec<_>>().join("\n") + &file.tally(),
        None => format!("error: {}\n", causes(error).join(": ")),
    }
}

/// What is wrong with a file that people write or keep.
struct FileError<'a> {
    kind: &'static str,
    path: &'a Path,
    problems: &'a [Problem],
}

impl<'a> FileError<'a> {
    fn of(error: &'a anyhow::Error) -> Option<Self> {
        if let Some(recipe) = find::<RecipeError>(error) {
            return Some(Self { kind: "recipe", path: recipe.path(), problems: recipe.problems() });
        }
        match find::<LockError>(error)? {
            LockError::Broken { path, problem } => {
                Some(Self { kind: "lock", path, problems: std::slice::from_ref(&**problem) })
            }
            _ => None,
        }
    }

    fn tally(&self) -> String {
        let (kind, path) = (self.kind, self.path.display());
        match self.problems.len() {
            1 => format!("error: {kind} `{path}` is wrong\n"),
            several => format!("error: {several} things are wrong with {kind} `{path}`\n"),
        }
    }
}

/// The messages of the chain, outermost first. A message that an outer one ends with is not said again: some libraries
/// put their source's text into their own.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain() {
        let message = cause.to_string();
        if !said.last().is_some_and(|outer| outer.ends_with(&message)) {
            said.push(message);
        }
    }
    said
}

fn as_json(error: &anyhow::Error, code: ExitCode) -> Value {
    let mut object = json!({ "event": "error", "exit_code": code as u8, "kind": format!("{code:?}") });
    if let Some(file) = FileError::of(error) {
        object["message"] = format!("{} `{}` is wrong", file.kind, file.path.display()).into();
        object["problems"] = file.problems.iter().map(problem_as_json).collect();
    } else {
        let causes = causes(error);
        object["message"] = causes.first().cloned().into();
        object["causes"] = causes.get(1..).unwrap_or_default().into();
    }
    object
}

fn problem_as_json(problem: &Problem) -> Value {
    let mut object = json!({ "message": problem.message, "help": problem.help });
    if let Some(place) = &problem.place {
        let (line, column) = place.line_and_column();
        object["file"] = place.file.to_string_lossy().into();
        object["line"] = line.into();
        object["column"] = column.into();
    }
    object
}

fn rendered(problem: &Problem) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme()).with_width(columns().max(40)).with_context_lines(1);
    // Writing to a String cannot fail; should the quoted place not fit the text, the plain words remain.
    match handler.render_report(&mut text, &Shown::of(problem)) {
        Ok(()) => text,
        Err(fmt::Error) => format!("{problem}\n"),
    }
}

fn theme() -> GraphicalTheme {
    let colour = io::stderr().is_terminal()
        && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_some_and(|term| term != "dumb");
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| env::var(name).ok().filter(|v| !v.is_empty()));
    let unicode = locale.is_some_and(|name| name.to_ascii_lowercase().replace('-', "").contains("utf8"));
    match (unicode, colour) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => GraphicalTheme { characters: miette::ThemeCharacters::ascii(), ..GraphicalTheme::unicode() },
        (false, false) => GraphicalTheme::none(),
    }
}

/// A [`Problem`] as miette takes it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: Option<NamedSource<String>>,
}

impl<'a> Shown<'a> {
    fn of(problem: &'a Problem) -> Self {
        let source = problem
            .place
            .as_ref()
            .map(|place| NamedSource::new(place.file.to_string_lossy(), place.text.as_ref().to_owned()));
        Self { problem, source }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.problem.place.as_ref()?;
        let label = Some(self.problem.label.clone()).filter(|label| !label.is_empty());
        Some(Box::new(std::iter::once(LabeledSpan::new(label, place.span.start, place.span.len()))))
    }
}

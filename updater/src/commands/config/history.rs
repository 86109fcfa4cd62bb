//! `slipway-agent config history` and `diff`

use std::io::Write as _;
use std::path::Path;

use slipway_updater::config::{self, Known, Number, Source};

use crate::exit_code::ExitCode;

/// Arguments of `config history`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// A line of `--json`.
#[derive(serde::Serialize)]
struct Line<'a> {
    number: Number,
    at: String,
    message: &'a str,
    in_effect: bool,
}

impl Arguments {
    /// Lists what was written.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let store = config::store(root)?;
        let current = match store.found().in_effect(&Known::of_host(root)).source {
            Source::Written { number } | Source::History { number, .. } => Some(number),
            Source::None | Source::ByHand | Source::Unusable { .. } => None,
        };
        let entries = store.found().entries();
        let mut out = std::io::stdout();
        if self.json {
            let line = |entry: &'_ config::Entry| (entry.number, entry.at.to_iso(), entry.message.clone());
            let lines: Vec<_> = entries.iter().map(line).collect();
            let lines: Vec<Line<'_>> = lines
                .iter()
                .map(|(number, at, message)| Line {
                    number: *number,
                    at: at.clone(),
                    message,
                    in_effect: Some(*number) == current,
                })
                .collect();
            writeln!(out, "{}", serde_json::to_string(&lines)?)?;
        } else if entries.is_empty() {
            writeln!(out, "nothing was written yet")?;
        }
        for entry in entries.iter().filter(|_| !self.json) {
            let mark = if Some(entry.number) == current { '*' } else { ' ' };
            writeln!(out, "{mark} {:>4}  {}  {}", entry.number, entry.at, entry.message)?;
        }
        Ok(ExitCode::Done)
    }
}

/// Arguments of `config diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArguments {
    /// The document's number in the history.
    number: u64,
    /// The number of another one; else it is the one in effect.
    other: Option<u64>,
    /// Print a JSON array of lines, each with the documents that it is in; none if they are the same.
    #[arg(long)]
    json: bool,
}

/// A line of two documents, for `--json`.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct DiffLine<'a> {
    /// Which of the documents has it: `old`, `new` or `both`.
    r#in: &'static str,
    line: &'a str,
}

impl<'a> DiffLine<'a> {
    /// Of a line as [`config::diff`] tells it.
    fn of(told: &'a str) -> Self {
        let (r#in, line) = match (told.strip_prefix('-'), told.strip_prefix('+')) {
            (Some(line), _) => ("old", line),
            (_, Some(line)) => ("new", line),
            _ => ("both", told.get(1..).unwrap_or_default()),
        };
        Self { r#in, line }
    }
}

impl DiffArguments {
    /// Shows the lines that differ: `-` only in the first, `+` only in the second.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let root = Path::new("/");
        let store = config::store(root)?;
        let found = store.found();
        let old = &found.entry(Number(self.number))?.text;
        let new = match self.other {
            Some(other) => found.entry(Number(other))?.text.clone(),
            None => found.in_effect(&Known::of_host(root)).text,
        };
        let told = config::diff(old, &new);
        if self.json {
            let lines: Vec<_> = told.lines().map(DiffLine::of).collect();
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&lines)?)?;
            return Ok(ExitCode::Done);
        }
        let told = if told.is_empty() { "they are the same\n".to_owned() } else { told };
        std::io::stdout().write_all(told.as_bytes())?;
        Ok(ExitCode::Done)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_told_with_the_documents_that_have_them() {
        let told = config::diff("a\n-b\n", "a\n+c\n");
        let lines: Vec<_> = told.lines().map(DiffLine::of).collect();
        assert_eq!(
            serde_json::to_string(&lines).unwrap(),
            r#"[{"in":"both","line":"a"},{"in":"old","line":"-b"},{"in":"new","line":"+c"}]"#
        );
    }
}

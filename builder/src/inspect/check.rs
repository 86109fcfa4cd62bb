//! What was checked, and what came of it.

use std::error::Error;

use serde::Serialize;

/// One thing that must hold of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `slot a: hash tree`.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found; of a check that failed, what is wrong.
    pub detail: String,
}

/// Checks as they are made.
#[derive(Debug, Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    /// Notes a check: what was found, or what is wrong. Says whether it held.
    pub fn note(&mut self, name: impl Into<String>, outcome: Result<String, String>) -> bool {
        let ok = outcome.is_ok();
        let (Ok(detail) | Err(detail)) = outcome;
        self.0.push(Check { name: name.into(), ok, detail });
        ok
    }

    /// Notes that two values which must be the same are, or are not.
    pub fn same(&mut self, name: impl Into<String>, found: &str, expected: &str, whose: &str) -> bool {
        let differs = || format!("is {found}, and {whose} says {expected}");
        self.note(name, if found == expected { Ok(format!("as {whose} says")) } else { Err(differs()) })
    }

    /// All of them, in the order in which they were made.
    pub fn into_list(self) -> Vec<Check> {
        self.0
    }
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

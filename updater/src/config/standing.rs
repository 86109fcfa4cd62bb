//! How a machine stands with its configuration, for `status` and `explain`.

use std::path::Path;

use serde::Serialize;

use super::activate;
use super::document::Known;
use super::store::{InEffect, Number, Source, StoreError};
use super::trial::Trial;
use super::{CONFIG_PATH, store};

/// The document in effect on the host whose root is at `root`.
pub fn in_effect(root: &Path) -> Result<InEffect, StoreError> {
    Ok(store(root)?.found().in_effect(&Known::of_host(root)))
}

/// How a machine stands with its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// In one sentence.
    pub summary: String,
    /// What is not as it should be.
    pub problems: Vec<String>,
}

impl Standing {
    /// Nobody knows, and why.
    pub fn unknown(why: &str) -> Self {
        Self { summary: format!("unknown: {why}"), problems: Vec::new() }
    }

    /// The standing of the host whose root is at `root`.
    pub fn of_host(root: &Path) -> Self {
        let store = match store(root) {
            Ok(store) => store,
            Err(error) => {
                let words = crate::agent::chain(&error);
                return Self { problems: vec![words.clone()], ..Self::unknown(&words) };
            }
        };
        let found = store.found();
        let in_effect = found.in_effect(&Known::of_host(root));
        let mut problems = Vec::new();
        let summary = match &in_effect.source {
            Source::None => "none: all is the image's".to_owned(),
            Source::Written { number } => {
                let entry = found.entry(*number).ok();
                entry.map_or_else(|| number.to_string(), |entry| format!("number {number}, of {}", entry.at))
            }
            Source::ByHand => "edited by hand".to_owned(),
            Source::History { number, why } => {
                problems.extend(why.iter().map(|problem| unusable(problem, Some(*number))));
                format!("number {number}, the last good one")
            }
            Source::Unusable { why } => {
                problems.extend(why.iter().map(|problem| unusable(problem, None)));
                "none that can be used: all is the image's".to_owned()
            }
        };
        let left_out = in_effect.reading.problems.iter();
        problems.extend(left_out.map(|problem| format!("{CONFIG_PATH}: {problem}; it is left out")));
        problems.extend(found.damaged().iter().map(|name| format!("{name} of the configuration's history is damaged")));
        problems.extend(activate::failures(root).into_iter().map(|failure| format!("configuration: {failure}")));
        if Trial::waiting(root) {
            problems.push("a configuration on trial waits for `slipway-agent config confirm`".to_owned());
        }
        Self { summary, problems }
    }
}

fn unusable(problem: &super::Problem, instead: Option<Number>) -> String {
    let instead = match instead {
        Some(number) => format!("number {number} of the history is in effect"),
        None => "nothing of it is in effect".to_owned(),
    };
    format!("{CONFIG_PATH} can't be used: {problem}; {instead}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use slipway_trust::time::UnixTime;

    use super::*;
    use crate::host::below;

    #[test]
    fn damage_is_told_and_so_is_what_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(Standing::of_host(root).summary, "none: all is the image's");
        let mut store = store(root).unwrap();
        let write = |text: &str| fs::write(below(root, CONFIG_PATH), text).unwrap();
        store.write("hostname = \"a\"\nlocale = \"de\"\n", "", UnixTime::from_secs(0), &Known::default()).unwrap();
        let standing = Standing::of_host(root);
        assert_eq!(standing.summary, "number 1, of 1970-01-01 00:00:00 UTC");
        assert!(
            matches!(&standing.problems[..], [one] if one.contains("line 2: `locale` is not a key")),
            "{standing:?}"
        );
        write("hostname = \n");
        let standing = Standing::of_host(root);
        assert_eq!(standing.summary, "number 1, the last good one");
        assert!(standing.problems[0].ends_with("number 1 of the history is in effect"), "{standing:?}");
        fs::write(root.join("var/lib/slipway/config/host.toml.1"), "x").unwrap();
        let standing = Standing::of_host(root);
        assert!(standing.summary.starts_with("none that can be used"), "{standing:?}");
        assert!(standing.problems[1].contains("host.toml.1 of the configuration's history is damaged"), "{standing:?}");
        write("hostname = \"b\"\n");
        assert_eq!(Standing::of_host(root).summary, "edited by hand");
    }
}

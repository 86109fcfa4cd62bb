//! Relations between packages (`Depends`, `Conflicts`, `Provides`, …): Debian Policy 7.1 and deb-control(5).

use std::fmt;

use super::version::{DebVersion, DebVersionError};

/// One thing asked for: a package by name, perhaps with a version, as in `libc6 (>= 2.41)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Package name, real or virtual.
    pub name: &'a str,
    /// `any`, or an architecture.
    pub architecture: Option<&'a str>,
    /// The version asked for.
    pub version: Option<(Comparison, DebVersion)>,
}

/// How a version must compare to the one that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Comparison {
    /// Whether `version` compares so to `to`.
    pub fn holds(self, version: &DebVersion, to: &DebVersion) -> bool {
        let order = version.cmp(to);
        match self {
            Self::Earlier => order.is_lt(),
            Self::EarlierOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::LaterOrEqual => order.is_ge(),
            Self::Later => order.is_gt(),
        }
    }
}

/// A field that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelationError {
    /// The text between two commas or bars is no relation.
    #[error("`{0}` is no relation such as `name (>= 1.0)`")]
    Form(String),
    /// Its version is none.
    #[error("`{0}` asks for a version that is none")]
    Version(String, #[source] DebVersionError),
}

/// Whether a text can be the name of a package: at least two of lower-case letters, digits, `+`, `-`, `.`, the first
/// a letter or digit (Policy 5.6.1). Upper-case letters are accepted, as dpkg does.
pub fn is_package_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() >= 2
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Reads a field with alternatives: all of the outer list is asked for, one of each inner list is enough.
/// Empty items, as a trailing comma leaves them, are skipped.
pub fn parse_dependencies(field: &str) -> Result<Vec<Vec<Relation<'_>>>, RelationError> {
    let items = field.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.split('|').map(parse_relation).collect()).collect()
}

/// Reads a field without alternatives: `Conflicts`, `Breaks`, `Provides`, `Replaces`.
pub fn parse_relations(field: &str) -> Result<Vec<Relation<'_>>, RelationError> {
    field.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parse_relation).collect()
}

fn parse_relation(text: &str) -> Result<Relation<'_>, RelationError> {
    let text = text.trim();
    let wrong = || RelationError::Form(text.chars().take(200).collect());
    let (name, version) = match text.split_once('(') {
        None => (text, None),
        Some((name, constraint)) => {
            let constraint = constraint.strip_suffix(')').ok_or_else(wrong)?.trim();
            (name.trim_end(), Some(parse_constraint(constraint, text)?))
        }
    };
    let (name, architecture) = match name.split_once(':') {
        None => (name, None),
        Some((name, architecture)) => (name, Some(architecture)),
    };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_package_name(name) || !architecture.is_none_or(word) {
        return Err(wrong());
    }
    Ok(Relation { name, architecture, version })
}

fn parse_constraint(constraint: &str, whole: &str) -> Result<(Comparison, DebVersion), RelationError> {
    // Two characters before one. `<` and `>` alone are obsolete spellings of `<=` and `>=`.
    let operators = [
        ("<<", Comparison::Earlier),
        ("<=", Comparison::EarlierOrEqual),
        (">>", Comparison::Later),
        (">=", Comparison::LaterOrEqual),
        ("=", Comparison::Equal),
        ("<", Comparison::EarlierOrEqual),
        (">", Comparison::LaterOrEqual),
    ];
    let excerpt = || whole.chars().take(200).collect::<String>();
    for (operator, comparison) in operators {
        if let Some(version) = constraint.strip_prefix(operator) {
            let version = version.trim().parse().map_err(|error| RelationError::Version(excerpt(), error))?;
            return Ok((comparison, version));
        }
    }
    Err(RelationError::Form(excerpt()))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(architecture) = self.architecture {
            write!(f, ":{architecture}")?;
        }
        match &self.version {
            Some((comparison, version)) => write!(f, " ({comparison} {version})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn shown(field: &str) -> Vec<Vec<String>> {
        let groups = parse_dependencies(field).unwrap();
        groups.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn a_real_field() {
        let field = "libc6 (>= 2.38), default-dbus-session-bus|dbus-session-bus , python3:any(>=3.9~),\n g++-14 (<<15), a0 (= 1:2-3),";
        assert_eq!(
            shown(field),
            [
                vec!["libc6 (>= 2.38)"],
                vec!["default-dbus-session-bus", "dbus-session-bus"],
                vec!["python3:any (>= 3.9~)"],
                vec!["g++-14 (<< 15)"],
                vec!["a0 (= 1:2-3)"]
            ]
        );
        assert!(shown("").is_empty());
    }

    #[test]
    fn what_is_no_relation() {
        for field in
            ["a0 (>= 1", "a0 1", "a0 | ", "| a0", "a0 (1)", "a0 (>= )", "x", "a0 (>= 1) b", "a0:", "A_b", "a0 [amd64]"]
        {
            assert!(parse_dependencies(field).is_err(), "{field}");
        }
        assert!(parse_relations("a0 | b0").is_err());
    }

    #[test]
    fn comparisons_hold_as_policy_says() {
        let version = |text: &str| text.parse::<DebVersion>().unwrap();
        let holds = |relation: &str, candidate: &str| {
            let relation = parse_relation(relation).unwrap();
            let (comparison, to) = relation.version.unwrap();
            comparison.holds(&version(candidate), &to)
        };
        assert!(holds("a0 (>= 1.0)", "1.0") && holds("a0 (>= 1.0)", "1.1") && !holds("a0 (>= 1.0)", "1.0~rc1"));
        assert!(holds("a0 (<< 1.0)", "1.0~rc1") && !holds("a0 (<< 1.0)", "1.0"));
        assert!(holds("a0 (<= 1.0)", "1.0") && !holds("a0 (<= 1.0)", "1.0-1"));
        assert!(holds("a0 (>> 1.0)", "1.0-1") && holds("a0 (= 1.0)", "0:1.0") && !holds("a0 (= 1.0)", "1.0-1"));
        assert!(holds("a0 (< 1.0)", "1.0") && holds("a0 (> 1.0)", "1.0"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(field in "[a-z0-9|,():<>=~ .+-]{0,50}") {
            if let Ok(groups) = parse_dependencies(&field) {
                for relation in groups.iter().flatten() {
                    let text = relation.to_string();
                    prop_assert_eq!(&parse_relation(&text).unwrap(), relation);
                }
            }
        }
    }
}

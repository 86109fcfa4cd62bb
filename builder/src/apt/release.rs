//! What a signed `InRelease` says: Debian's repository format, "Release files".

use std::collections::BTreeMap;

use slipway_trust::openpgp::VerifiedText;
use slipway_trust::time::UnixTime;

use super::{ARCHITECTURE, ListedFile};
use crate::deb::control::{self, ControlError};

/// A release file that was signed by a known key, is of the suite asked for, and is still valid.
#[derive(Clone, Debug)]
pub struct Release {
    /// When it was made.
    pub date: UnixTime,
    /// Whether files can be had by their digest, so that a mirror in the middle of an update serves a consistent set.
    pub by_hash: bool,
    /// Whether packages for all architectures have lists of their own.
    separate_all: bool,
    files: BTreeMap<String, ListedFile>,
    components: String,
}

/// Why a signed release file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// It is no control paragraph.
    #[error(transparent)]
    Form(#[from] ControlError),
    /// A date that can't be read.
    #[error("its {field} `{value}` is no date")]
    Date {
        /// `Date` or `Valid-Until`.
        field: &'static str,
        /// As written.
        value: String,
    },
    /// It is too old.
    #[error(
        "it was valid until {0}: the mirror is out of date, or someone replays an old index (or this machine's clock is wrong)"
    )]
    Expired(UnixTime),
    /// It is that of another suite.
    #[error("it is of suite `{suite}` (`{codename}`), not of `{wanted}`")]
    OtherSuite {
        /// `Suite`.
        suite: String,
        /// `Codename`.
        codename: String,
        /// As asked for.
        wanted: String,
    },
    /// A line of its list of files.
    #[error("a line of its SHA256 list is wrong: `{0}`")]
    Line(String),
    /// It has no such component for this architecture.
    #[error("it has no component `{component}` for {ARCHITECTURE} (it has {})", if .has.is_empty() { "none" } else { .has })]
    NoComponent {
        /// As asked for.
        component: String,
        /// `Components`.
        has: String,
    },
}

impl Release {
    /// Reads and judges a release file at the moment `now`. `suite` is compared with `Suite` and `Codename`.
    pub fn parse(text: &VerifiedText, suite: Option<&str>, now: UnixTime) -> Result<Self, ReleaseError> {
        Self::parse_text(text.text(), suite, now)
    }

    fn parse_text(text: &str, suite: Option<&str>, now: UnixTime) -> Result<Self, ReleaseError> {
        let fields = control::paragraph(text)?;
        let date = date("Date", fields.required("Date")?)?;
        if let Some(end) = fields.field("Valid-Until") {
            let end = self::date("Valid-Until", end)?;
            if end <= now {
                return Err(ReleaseError::Expired(end));
            }
        }
        let field = |name| fields.field(name).unwrap_or_default();
        if let Some(wanted) = suite {
            let (suite, codename) = (field("Suite"), field("Codename"));
            let named = !suite.is_empty() || !codename.is_empty();
            if named && wanted != suite && wanted != codename {
                let (suite, codename) = (suite.to_owned(), codename.to_owned());
                return Err(ReleaseError::OtherSuite { suite, codename, wanted: wanted.to_owned() });
            }
        }
        let mut files = BTreeMap::new();
        for line in fields.required("SHA256")?.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let file = listed_file(line).ok_or_else(|| ReleaseError::Line(line.chars().take(200).collect()))?;
            files.insert(file.path.clone(), file);
        }
        let is_all = field("Architectures").split_whitespace().any(|architecture| architecture == "all");
        let merged = field("No-Support-for-Architecture-all").split_whitespace().any(|word| word == "Packages");
        Ok(Self {
            date,
            by_hash: field("Acquire-By-Hash") == "yes",
            separate_all: is_all && !merged,
            files,
            components: field("Components").to_owned(),
        })
    }

    /// A file that the release vouches for.
    pub fn file(&self, path: &str) -> Option<&ListedFile> {
        self.files.get(path)
    }

    /// The lists of packages of these components, each in the best compression there is; of a flat repository (whose
    /// suite ends in a slash) its only list.
    pub(super) fn package_lists(&self, components: &[String], suite: &str) -> Result<Vec<ListedFile>, ReleaseError> {
        let missing = |component: &str| ReleaseError::NoComponent {
            component: component.to_owned(),
            has: self.components.clone(),
        };
        if suite.ends_with('/') {
            return Ok(vec![self.best("Packages").ok_or_else(|| missing("Packages"))?]);
        }
        let mut lists = Vec::new();
        for component in components {
            let list = |architecture| self.best(&format!("{component}/binary-{architecture}/Packages"));
            lists.push(list(ARCHITECTURE).ok_or_else(|| missing(component))?);
            lists.extend(self.separate_all.then(|| list("all")).flatten());
        }
        Ok(lists)
    }

    fn best(&self, path: &str) -> Option<ListedFile> {
        ["xz", "gz"]
            .iter()
            .find_map(|suffix| self.file(&format!("{path}.{suffix}")))
            .or_else(|| self.file(path))
            .cloned()
    }
}

/// ` SHA256 SIZE PATH`
fn listed_file(line: &str) -> Option<ListedFile> {
    let mut words = line.split_ascii_whitespace();
    let (sha256, size, path) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
    // Flat repositories may write `./Packages`.
    let path = path.strip_prefix("./").unwrap_or(path);
    let inside = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    (inside && words.next().is_none()).then(|| ListedFile { path: path.to_owned(), size, sha256 })
}

/// `Sat, 21 Nov 2026 00:53:03 UTC`
fn date(field: &'static str, value: &str) -> Result<UnixTime, ReleaseError> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parsed = || {
        let words: Vec<_> = value.split_whitespace().collect();
        let words = match words[..] {
            [weekday, ref rest @ ..] if weekday.ends_with(',') => rest,
            ref all => all,
        };
        let [day, month, year, time, zone] = words else { return None };
        let month = 1 + MONTHS.iter().position(|name| name == month)? as u64;
        let mut parts = time.split(':').map(|part| part.parse::<u64>().ok());
        let time = (parts.next()??, parts.next()??, parts.next()??);
        let utc = matches!(*zone, "UTC" | "GMT" | "Z" | "+0000" | "-0000");
        let date = (year.parse().ok()?, month, day.parse().ok()?);
        (utc && parts.next().is_none()).then(|| UnixTime::from_civil(date, time)).flatten()
    };
    parsed().ok_or_else(|| ReleaseError::Date { field, value: value.chars().take(100).collect() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn text(extra: &str) -> String {
        format!(
            "Suite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2026 00:53:03 UTC\n{extra}Components: main contrib\nMD5Sum:\n x 1 main/binary-amd64/Packages\nSHA256:\n {DIGEST} 3 main/binary-amd64/Packages\n {DIGEST}     12 main/binary-amd64/Packages.xz\n {DIGEST} 4 main/binary-all/Packages.gz\n"
        )
    }

    fn noon(day: u64) -> UnixTime {
        UnixTime::from_civil((2026, 11, day), (12, 0, 0)).unwrap()
    }

    #[test]
    fn suite_date_and_lists() {
        let release = Release::parse_text(&text("Acquire-By-Hash: yes\n"), Some("trixie"), noon(22)).unwrap();
        assert_eq!(release.date.to_string(), "2026-11-21 00:53:03 UTC");
        assert!(release.by_hash);
        let paths = |release: &Release| {
            let lists = release.package_lists(&["main".to_owned()], "trixie").unwrap();
            lists.into_iter().map(|list| list.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(&release), ["main/binary-amd64/Packages.xz"]);
        let separate = Release::parse_text(&text("Architectures: all amd64\n"), Some("stable"), noon(22)).unwrap();
        assert_eq!(paths(&separate), ["main/binary-amd64/Packages.xz", "main/binary-all/Packages.gz"]);
        let merged = "Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n";
        assert_eq!(paths(&Release::parse_text(&text(merged), None, noon(22)).unwrap()).len(), 1);
        let error = release.package_lists(&["contrib".to_owned()], "trixie").unwrap_err().to_string();
        assert_eq!(error, "it has no component `contrib` for amd64 (it has main contrib)");
    }

    #[test]
    fn old_and_foreign_releases_are_refused() {
        let limited = text("Valid-Until: Sun, 22 Nov 2026 12:00:00 UTC\n");
        Release::parse_text(&limited, Some("trixie"), noon(21)).unwrap();
        assert!(matches!(Release::parse_text(&limited, Some("trixie"), noon(22)), Err(ReleaseError::Expired(_))));
        let other = Release::parse_text(&limited, Some("sid"), noon(21));
        assert!(matches!(other, Err(ReleaseError::OtherSuite { .. })));
    }

    #[test]
    fn bad_lines_and_dates_are_named() {
        for (from, to) in [
            ("  12 main", "  x main"),
            ("12 main/binary-amd64", "12 ../binary-amd64"),
            ("12 main", "12 /main"),
            ("Nov", "Nob"),
        ] {
            assert!(text("").contains(from));
            let result = Release::parse_text(&text("").replace(from, to), None, noon(22));
            assert!(matches!(result, Err(ReleaseError::Line(_) | ReleaseError::Date { .. })), "{to}: {result:?}");
        }
        for value in [
            "",
            "21 Nov 2026",
            "Sat, 21 Nov 2026 00:53:03 CET",
            "31 Feb 2026 00:00:00 UTC",
            "1 Jan 99999999999999999999 0:0:0 UTC",
        ] {
            assert!(date("Date", value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "((Date|SHA256|Suite|Valid-Until): ?[a-z0-9 :,]{0,30}\n){0,6}") {
            let _ = Release::parse_text(&text, Some("x"), noon(1));
        }
    }
}

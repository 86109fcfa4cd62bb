//! The version of an image, ordered as the UAPI version format specification says.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An image's version, `IMAGE_VERSION` of its os-release: 1 to 24 of `A-Z a-z 0-9 . ~ ^`, with a letter or digit first
/// and last. So it can stand in file names, GPT labels and boot entries, where `_`, `+`, `-` and `/` separate.
///
/// Ordered by the [UAPI version format], as systemd-boot orders boot entries: numbers by value, `~` before the end,
/// `^` after it. Two texts of the same rank (`1.2` and `1.02`) are different versions; they are ordered as text.
///
/// [UAPI version format]: https://uapi-group.org/specifications/specs/version_format_specification/
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(Box<str>);

/// A text that is no image version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is no image version: it takes 1 to {max} of the characters A-Z a-z 0-9 . ~ ^, a letter or digit first and last",
    max = Version::MAX_LEN
)]
pub struct VersionError(String);

impl Version {
    /// The most characters a version can have.
    pub const MAX_LEN: usize = 24;

    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, VersionError> {
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let good = ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
            && bytes.len() <= Self::MAX_LEN
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b".~^".contains(byte));
        if good { Ok(Self(text.into())) } else { Err(VersionError(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text with every number free of leading zeros. The specification compares numbers by value, and so does
    /// systemd-boot, but `uapi-version` 0.4 takes the longer text for the larger number when one has leading zeros.
    fn without_leading_zeros(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        let mut rest = &*self.0;
        while let Some(first) = rest.chars().next() {
            let run = rest.find(|c: char| c.is_ascii_digit() != first.is_ascii_digit()).unwrap_or(rest.len());
            let (part, tail) = rest.split_at(run);
            let value = part.trim_start_matches('0');
            text.push_str(match (first.is_ascii_digit(), value) {
                (true, "") => "0",
                (true, value) => value,
                (false, _) => part,
            });
            rest = tail;
        }
        text
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        uapi_version::strverscmp(&self.without_leading_zeros(), &other.without_leading_zeros())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        Self::new(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_ordered_as_the_specification_says() {
        let ascending =
            ["0.9~rc1", "0.9", "0.9^20260101", "0.9.1", "1.02", "1.3", "1.10", "9", "2026.9.30", "2026.11.2"];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn leading_zeros_do_not_make_a_number_larger() {
        assert!(version("2026.03.1") < version("2026.4.1"));
        assert!(version("1.000") < version("1.1"));
        assert_ne!(version("1.2"), version("1.02"));
        assert_ne!(version("1.2").cmp(&version("1.02")), Ordering::Equal);
    }

    #[test]
    fn what_could_be_taken_apart_wrongly_elsewhere_is_refused() {
        for bad in ["", "1_2", "1+3", "1/2", "1-2", ".1", "1.", "~1", "1^", "1 2", "ü1", "1234567890123456789012345"] {
            assert_eq!(Version::new(bad), Err(VersionError(bad.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn the_order_is_total(texts in prop::array::uniform3("[a-zA-Z0-9]([a-c0-2.~^]{0,8}[0-9])?")) {
            let [a, b, c] = texts.each_ref().map(|text| version(text));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }
}

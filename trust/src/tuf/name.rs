//! Names of roles and paths of targets, and the file names and URLs that are made of them.
//!
//! Both come from metadata or from a caller and end in URLs and file names. A role named `../x` or `?` must neither leave
//! its folder nor change the request: everything but RFC 3986's unreserved characters is percent-encoded, `/` too. Lengths
//! are bounded so that the encoded name fits a file name.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A name of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(String);

/// A text can't be the name of a role, or the path of a target.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// There is nothing.
    #[error("is empty")]
    Empty,
    /// It doesn't fit a file name.
    #[error("is too long")]
    TooLong,
    /// It has a control character in it.
    #[error("holds a control character")]
    Control,
    /// It isn't relative to the folder of targets, or leaves it.
    #[error("is no relative path without empty or dotted parts")]
    Path,
}

/// File names have at most 255 bytes, of which suffixes take some.
const MAX_ENCODED: usize = 224;
const MAX_PATH: usize = 1024;

impl RoleName {
    /// The role of this name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_text(text)?;
        if encode(text, false).len() > MAX_ENCODED {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The role `root`.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// The role `timestamp`.
    pub fn timestamp() -> Self {
        Self("timestamp".to_owned())
    }

    /// The role `snapshot`.
    pub fn snapshot() -> Self {
        Self("snapshot".to_owned())
    }

    /// The top-level role `targets`.
    pub fn targets() -> Self {
        Self("targets".to_owned())
    }

    /// Whether it is the name of one of the four top-level roles.
    pub fn is_top_level(&self) -> bool {
        matches!(self.0.as_str(), "root" | "timestamp" | "snapshot" | "targets")
    }

    /// The name as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the role's file without version: percent-encoded, with `.json` at the end. Never a path of more than one
    /// part.
    pub fn file_name(&self) -> String {
        format!("{}.json", encode(&self.0, false))
    }

    /// The role whose file has this name.
    pub fn of_file_name(file: &str) -> Option<Self> {
        let name = decode(file.strip_suffix(".json")?)?;
        Self::new(&name).ok().filter(|role| role.file_name() == file)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a target, relative to the repository's folder of targets, with `/` between its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(String);

impl TargetPath {
    /// The path of this text: 1 to 1,024 bytes, not absolute, no part empty, `.` or `..`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_text(text)?;
        if text.len() > MAX_PATH {
            return Err(NameError::TooLong);
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(NameError::Path);
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the path, by which hash bins divide.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// The path in a URL, percent-encoded; the last part starts with `prefix` and a dot when there is one.
    pub(super) fn url(&self, prefix: Option<&str>) -> String {
        let encoded = encode(&self.0, true);
        match (prefix, encoded.rsplit_once('/')) {
            (None, _) => encoded,
            (Some(prefix), None) => format!("{prefix}.{encoded}"),
            (Some(prefix), Some((folder, name))) => format!("{folder}/{prefix}.{name}"),
        }
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_text(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(())
}

/// Percent-encoding of all but RFC 3986's unreserved characters (section 2.3).
fn encode(text: &str, keep_slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/');
        if plain {
            encoded.push(char::from(byte));
        } else {
            // A string takes whatever is written to it.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.extend(hex::decode(digits).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_one_part_of_a_path_whatever_they_are() {
        for (name, file) in [
            ("targets", "targets.json"),
            ("?", "%3F.json"),
            ("../delegatedrole", "..%2Fdelegatedrole.json"),
            ("..", "...json"),
            ("a b~", "a%20b~.json"),
        ] {
            let role = RoleName::new(name).unwrap();
            assert_eq!(role.file_name(), file);
            assert_eq!(RoleName::of_file_name(file), Some(role));
        }
        assert_eq!(RoleName::of_file_name("%2e.json"), None);
        assert_eq!(RoleName::of_file_name("%e"), None);
        assert_eq!(RoleName::new(""), Err(NameError::Empty));
        assert_eq!(RoleName::new("a\nb"), Err(NameError::Control));
        assert_eq!(RoleName::new(&"\u{e9}".repeat(60)), Err(NameError::TooLong));
    }

    #[test]
    fn paths_stay_in_their_folder() {
        assert_eq!(TargetPath::new("a/b c").unwrap().url(Some("00")), "a/00.b%20c");
        assert_eq!(TargetPath::new("b?").unwrap().url(Some("00")), "00.b%3F");
        for path in ["/a", "a//b", "a/", "../a", "a/../b", "./a", "a/."] {
            assert_eq!(TargetPath::new(path), Err(NameError::Path), "{path}");
        }
        assert_eq!(TargetPath::new("a\0"), Err(NameError::Control));
    }

    proptest! {
        #[test]
        fn each_name_has_a_file_of_its_own(name in "\\PC{1,20}") {
            let role = RoleName::new(&name).unwrap();
            prop_assert!(!role.file_name().contains('/'));
            prop_assert_eq!(RoleName::of_file_name(&role.file_name()), Some(role));
        }

        #[test]
        fn any_text_is_a_file_name_or_none(text in "\\PC{0,20}") {
            let _ = RoleName::of_file_name(&text);
        }
    }
}

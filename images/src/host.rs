//! Texts that recipes and machine configurations both have: host names, SSH keys, kernel parameters. What is good in one is
//! good in the other.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Where the keys of the machine configuration are while the host runs: a file for each user, as sshd reads it.
pub const MACHINE_KEYS_PATH: &str = "/run/slipway/authorized_keys.d";

/// Key types of an `authorized_keys` line (sshd(8)).
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}: {help}")]
pub struct WrongText {
    /// Completes "`KEY` …".
    pub why: String,
    /// What to write instead.
    pub help: String,
}

impl WrongText {
    /// Puts the two together.
    pub fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: why.into(), help: help.into() }
    }
}

/// Something that is written as a text. What is wrong with the text is told with its place in the document.
pub trait FromText: Sized {
    /// What is wanted, for one who wrote a number: "a host name".
    const WANTED: &'static str;

    /// Checks the text, and makes of it what it stands for.
    fn from_text(text: &str) -> Result<Self, WrongText>;
}

/// For `#[serde(deserialize_with)]` and implementations of [`Deserialize`]: a text that is checked where it stands, so that an
/// error has the place of this text and not of the list around it.
pub fn text<'de, T: FromText, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextVisitor(PhantomData))
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }
}

/// A host name (RFC 1123): parts of letters, digits and `-`, with `.` between; at most 64 characters, which is what Linux holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// A line of an `authorized_keys` file (sshd(8)), with a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey(String);

/// The name of a kernel parameter, or of several where `*` stands for any text (sysctl.d(5)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SysctlName(String);

impl FromText for HostName {
    const WANTED: &'static str = "a host name";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if text.len() <= 64 && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(
                format!("cannot be `{text}`, which is no host name"),
                "write letters, digits and `-`, parts with `.` between: `edge-1`, say",
            ))
        }
    }
}

impl FromText for AuthorizedKey {
    const WANTED: &'static str = "a public key";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        if text.contains("PRIVATE KEY") {
            return Err(WrongText::new(
                "holds a private key",
                "write the public key, the line in the file that ends in `.pub`",
            ));
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let valid = words.windows(2).any(|pair| {
            KEY_TYPES.contains(&pair[0])
                && pair[1].starts_with("AAAA")
                && pair[1].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
        });
        if valid && !text.contains('\n') {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(
                "holds no public key",
                "write the line in the file that ends in `.pub`: `ssh-ed25519 AAAA… me@host`",
            ))
        }
    }
}

impl FromText for SysctlName {
    const WANTED: &'static str = "the name of a kernel parameter";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let valid = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*/".contains(&byte))
        };
        if text.contains('.') && text.split('.').all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(
                format!("has `{text}`, which is no kernel parameter"),
                "write its name with dots: `net.core.somaxconn`, say",
            ))
        }
    }
}

/// What the three have in common.
macro_rules! wrapped_text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text(deserializer)
            }
        }
    )*};
}

wrapped_text!(HostName, AuthorizedKey, SysctlName);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn host_names_are_those_of_rfc_1123() {
        for good in ["edge-1", "a.example.com", "1"] {
            assert!(HostName::from_text(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "a..b", "a_b", "a b", "ä", &long] {
            assert!(HostName::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_in_the_document_is_told_and_a_number_is_no_text() {
        let error = serde_json::from_str::<Vec<HostName>>("[\"a\",\n\"b c\"]").unwrap_err();
        assert!(error.to_string().contains("line 2") && error.to_string().contains("no host name"), "{error}");
        let error = serde_json::from_str::<HostName>("3").unwrap_err().to_string();
        assert!(error.contains("expected a host name"), "{error}");
    }
}

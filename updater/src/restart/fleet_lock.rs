//! Asks a lock manager, by the `FleetLock` protocol, version 1
//! (<https://coreos.github.io/zincati/development/fleetlock/protocol/>): how many hosts of a group restart at once is counted
//! there.
//!
//! The manager and whoever is on the way to it may be hostile. The most they can do is to say yes too early, or never: what is
//! installed is signed, and going back asks nobody. An answer takes at most [`PATIENCE`], its words are cut off after
//! [`WORDS_MAX`] characters and hold nothing that a terminal would obey.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_images::digest::Digest;
use slipway_images::update::LockGroup;

use crate::net::{BaseUrl, Client};

/// Longest wait for an answer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Most characters of the manager's words that are kept.
pub const WORDS_MAX: usize = 200;
/// Says that a request is meant, and wasn't led here.
const HEADER: (&str, &str) = ("fleet-lock-protocol", "true");

/// What a lock manager knows a host by: the first 32 hexadecimal digits of the SHA-256 of `slipway fleet-lock v1`, a NUL and the
/// machine id as 32 hexadecimal digits. Nobody finds the machine id from it, which is a secret of the host (`machine-id(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockId(String);

impl LockId {
    /// Of the host with this machine id (`/etc/machine-id`).
    pub fn of(machine_id: &str) -> Self {
        let digest = Digest::of(format!("slipway fleet-lock v1\0{}", machine_id.trim_end()).as_bytes());
        Self(digest.to_hex().chars().take(32).collect())
    }
}

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a lock was not taken, or not given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockRefusal {
    /// The manager says no.
    #[error("the lock manager says no ({status}): {words}")]
    Denied {
        /// The status of its answer.
        status: u16,
        /// Its words.
        words: String,
        /// Whether it is the protocol that says so, and not something on the way.
        by_protocol: bool,
    },
    /// Nothing that is a lock manager answers.
    #[error("the lock manager can't be reached: {words}")]
    Away {
        /// Why.
        words: String,
    },
}

impl LockRefusal {
    /// Whether who asked surely doesn't have the lock. Some managers answer so as well to whoever gives back a lock that isn't
    /// theirs. A manager that fails, or something on the way that says no, leaves that open.
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::Denied { status: 400..=499, by_protocol: true, .. })
    }

    /// Whether nothing that is a lock manager answers.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// A group of a lock manager, as this host sees it.
#[derive(Clone, Copy, Debug)]
pub struct LockManager<'a> {
    /// What asks.
    pub client: &'a Client,
    /// Where it is.
    pub url: &'a BaseUrl,
    /// The group.
    pub group: &'a LockGroup,
    /// Who asks.
    pub id: &'a LockId,
}

impl LockManager<'_> {
    /// Asks for the lock. Who has it already gets it again.
    pub fn lock(&self) -> Result<(), LockRefusal> {
        self.ask("v1/pre-reboot")
    }

    /// Gives the lock back. Who doesn't have it may do so too.
    pub fn unlock(&self) -> Result<(), LockRefusal> {
        self.ask("v1/steady-state")
    }

    fn ask(&self, path: &str) -> Result<(), LockRefusal> {
        let parameters = serde_json::json!({ "id": self.id.0, "group": self.group });
        let body = serde_json::json!({ "client_params": parameters }).to_string();
        let sent = self.client.post_json(&self.url.join(path), HEADER, &body, PATIENCE);
        let reply = sent.map_err(|error| LockRefusal::Away { words: plain(&crate::agent::chain(&error)) })?;
        let said = serde_json::from_slice::<Said>(&reply.body).ok().filter(|said| !said.kind.is_empty());
        match (reply.status, said) {
            (200, _) => Ok(()),
            (status, Some(Said { kind, value })) => {
                let words = plain(&if value.is_empty() { kind } else { value });
                Err(LockRefusal::Denied { status, words, by_protocol: true })
            }
            // What stands in front of a manager that is away says so.
            (status @ 500.., None) => Err(LockRefusal::Away { words: format!("the server answers {status}") }),
            (status, None) => {
                Err(LockRefusal::Denied { status, words: "without a reason".to_owned(), by_protocol: false })
            }
        }
    }
}

/// An error as the protocol has it.
#[derive(Deserialize)]
struct Said {
    kind: String,
    value: String,
}

/// Of words from elsewhere, what fits a line.
fn plain(words: &str) -> String {
    words.chars().map(|each| if each.is_control() { ' ' } else { each }).take(WORDS_MAX).collect()
}

/// A lock, by where it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockPlace {
    /// Base URL of the manager.
    pub url: String,
    /// The group.
    pub group: LockGroup,
}

impl fmt::Display for LockPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, group {}", self.url, self.group.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_a_digest_with_a_label_of_its_own() {
        // printf 'slipway fleet-lock v1\0000123456789abcdef0123456789abcdef' | sha256sum
        let id = LockId::of("0123456789abcdef0123456789abcdef\n");
        assert_eq!(id, LockId::of("0123456789abcdef0123456789abcdef"));
        assert_eq!(id.to_string(), "e6e7a065813e2559a5cbd1b63732938c");
    }

    #[test]
    fn words_from_elsewhere_are_a_line_that_no_terminal_obeys() {
        assert_eq!(plain("\u{1b}[31mno\nno"), " [31mno no");
        assert_eq!(plain(&"é".repeat(500)).chars().count(), WORDS_MAX);
    }
}

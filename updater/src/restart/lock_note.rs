//! What is remembered of locks, over restarts: `/var/lib/slipway/fleet-lock.json`.
//!
//! A claim is written down before the manager is asked for it, and crossed out after it has been given back. So whatever is
//! cut off in between, a lock that this host may have is in the note. A note that can't be read is one that may have
//! held a claim: the lock of the settings is given back then.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fleet_lock::LockPlace;
use crate::ledger::UnixSeconds;
use crate::replace;

/// Where it is.
pub const LOCK_NOTE_PATH: &str = "var/lib/slipway/fleet-lock.json";
/// More than this is none of ours, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// Claims of managers that were named once and can't be reached any more; the oldest are dropped.
const MAX_CLAIMS: usize = 8;
/// The first wait before a manager is asked again, and the longest, in seconds.
const FIRST_WAIT: u64 = 60;
const LONGEST_WAIT: u64 = 15 * 60;

/// The note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockNote {
    /// Locks that this host has, or may have.
    pub claims: Vec<Claim>,
    /// Why it has none, if it wants one.
    pub delay: Option<Delay>,
    /// It could not be read, and may have held a claim.
    #[serde(skip)]
    pub is_lost: bool,
}

/// A lock that this host has, or may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose it is.
    #[serde(flatten)]
    pub place: LockPlace,
    /// Since when.
    pub since: UnixSeconds,
    /// Whether the manager has said so. If not, its answer was lost, or not waited for.
    pub certain: bool,
    /// Why it could not be given back, if that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// A manager that didn't do what it was asked for, and when it is asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay {
    /// How often it was asked.
    pub attempts: u32,
    /// Since when.
    pub since: UnixSeconds,
    /// Since when it has not been reached at all; nothing if it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since: Option<UnixSeconds>,
    /// What came of it the last time.
    pub words: String,
    /// It is not asked before.
    pub not_before: UnixSeconds,
}

impl Delay {
    /// The delay after one more attempt at `now`.
    pub fn after(before: Option<&Self>, words: String, is_away: bool, now: UnixSeconds) -> Self {
        let attempts = before.map_or(1, |before| before.attempts.saturating_add(1));
        let doubled = 1_u64.checked_shl(attempts - 1).unwrap_or(u64::MAX);
        let wait = FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT);
        Self {
            attempts,
            since: before.map_or(now, |before| before.since),
            away_since: is_away.then(|| before.and_then(|before| before.away_since).unwrap_or(now)),
            words,
            not_before: UnixSeconds(now.0.saturating_add(wait)),
        }
    }

    /// Whether it is too early to ask again. A clock that was put back doesn't make the wait longer.
    pub fn holds(&self, now: UnixSeconds) -> bool {
        now < self.not_before && self.not_before.0 - now.0 <= LONGEST_WAIT
    }
}

impl LockNote {
    /// The note of the host whose root is at `root`.
    pub fn load(root: &Path) -> Self {
        let mut bytes = Vec::new();
        let read = File::open(root.join(LOCK_NOTE_PATH)).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => serde_json::from_slice(&bytes).unwrap_or_else(|_| Self { is_lost: true, ..Self::default() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(_) => Self { is_lost: true, ..Self::default() },
        }
    }

    /// Writes it, to last.
    pub fn keep(&self, root: &Path) -> io::Result<()> {
        replace::durably(&root.join(LOCK_NOTE_PATH), &serde_json::to_vec(self)?)
    }

    /// The claim of a lock.
    pub fn claim(&self, place: &LockPlace) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.place == *place)
    }

    /// Writes down a claim; one that is there stays.
    pub fn add_claim(&mut self, place: &LockPlace, since: UnixSeconds) {
        if self.claim(place).is_none() {
            self.claims.push(Claim { place: place.clone(), since, certain: false, delay: None });
            let drop = self.claims.len().saturating_sub(MAX_CLAIMS);
            self.claims.drain(..drop);
        }
    }

    /// Crosses out a claim.
    pub fn remove_claim(&mut self, place: &LockPlace) {
        self.claims.retain(|claim| claim.place != *place);
    }
}

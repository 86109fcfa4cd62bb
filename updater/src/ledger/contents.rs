//! What the ledger says.

use std::fmt;

use serde::{Deserialize, Serialize};
use slipway_images::digest::Digest;
use slipway_images::disk::Slot;
use slipway_images::names::PartitionLabel;
use slipway_images::verity::RootHash;
use slipway_images::version::Version;
use slipway_trust::time::UnixTime;

/// Things that happened, of which the oldest are dropped.
const MAX_RECORDS: usize = 128;
/// Failures that are kept, of which the oldest are dropped.
const MAX_FAILURES: usize = 32;
/// Failures whose log is kept: the newest.
const MAX_LOGS: usize = 4;
/// Lines of a boot's log that are kept with a failure.
const MAX_LOG_LINES: usize = 60;
/// Bytes of a text that comes from elsewhere.
const MAX_TEXT: usize = 500;
/// The first wait after an installation that went wrong.
const FIRST_WAIT: u64 = 60;
/// The longest wait: six hours.
const LONGEST_WAIT: u64 = 6 * 3600;

/// Seconds since 1970, as the host's clock had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixSeconds(pub u64);

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        UnixTime::from_secs(self.0).fmt(f)
    }
}

/// Why a version failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum FailureReason {
    /// A health check failed while it was on trial.
    Health(String),
    /// The boot loader tried it as often as it may, and it never came so far as to be found good.
    TriesUsedUp,
    /// The boot loader started what ran before it instead.
    PassedOver,
    /// An operator went back from it.
    Operator(String),
    /// Its publisher took it back.
    Withdrawn(String),
    /// What a later version of this program wrote.
    #[serde(untagged)]
    Unknown(serde_json::Value),
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health(what) => write!(f, "not healthy: {what}"),
            Self::TriesUsedUp => f.write_str("it did not come up in any of its tries"),
            Self::PassedOver => f.write_str(
                "the boot loader passed it over: its kernel image can't be read, or another boot entry was chosen by hand",
            ),
            Self::Unknown(what) => write!(f, "for a reason that this version doesn't know: {what}"),
            Self::Withdrawn(why) => write!(f, "withdrawn by its publisher: {why}"),
            Self::Operator(why) if why.is_empty() => f.write_str("an operator went back from it"),
            Self::Operator(why) => write!(f, "an operator went back from it: {why}"),
        }
    }
}

/// A version that failed here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which one: the root hash authenticates all of the root.
    pub root_hash: RootHash,
    /// What it is called.
    pub label: String,
    /// Why.
    pub reason: FailureReason,
    /// When that was noticed.
    pub at: UnixSeconds,
    /// The last lines that the boot in question logged; nothing once other versions have failed since.
    pub log: Vec<String>,
}

/// A version that could not be installed, for reasons that may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Which one.
    pub root_hash: RootHash,
    /// What it is called.
    pub label: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong the last time.
    pub reason: String,
    /// It is not tried before.
    pub not_before: UnixSeconds,
}

impl Trouble {
    /// Whether it is still to be waited for. No wait is longer than the longest, whatever the clock was before it was put back.
    pub fn holds(&self, now: UnixSeconds) -> bool {
        now < self.not_before && self.not_before.0 - now.0 <= LONGEST_WAIT
    }
}

/// An installation that was begun and is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// What is installed.
    pub root_hash: RootHash,
    /// What it is called.
    pub label: String,
    /// Into which slot.
    pub slot: Slot,
    /// Since when.
    pub since: UnixSeconds,
}

/// One boot of this machine, as the kernel names it (`random/boot_id` in `proc_sys_kernel(5)`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// A version that waits for the next boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which one.
    pub root_hash: RootHash,
    /// Since which boot: it is due at the next.
    pub since: BootId,
    /// What its kernel image was found to be when it was written.
    pub kernel: Option<Digest>,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// An installation was begun.
    InstallBegun,
    /// An installation went wrong.
    InstallFailed,
    /// A version waits for the next boot.
    Armed,
    /// A version was found good.
    Committed,
    /// A version failed.
    Failed,
    /// An operator allowed a failed version again.
    Allowed,
}

/// Something that happened, to which version, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: UnixSeconds,
    /// What.
    pub what: Happening,
    /// To which version.
    pub label: String,
    /// In words, where there is more to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What the ledger says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerContents {
    /// No version below this is installed: it was found good here once.
    pub floor: Option<Version>,
    /// Versions that failed.
    pub failures: Vec<Failure>,
    /// Versions that could not be installed.
    pub troubles: Vec<Trouble>,
    /// What is being installed.
    pub resume: Option<Resume>,
    /// What waits for the next boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// What happened, the oldest first.
    pub history: Vec<Record>,
    /// What a later version of this program wrote.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

impl LedgerContents {
    /// The failure of a version, if it failed.
    pub fn failure(&self, root_hash: RootHash) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.root_hash == root_hash)
    }

    /// The trouble with a version, if there was any.
    pub fn trouble(&self, root_hash: RootHash) -> Option<&Trouble> {
        self.troubles.iter().find(|trouble| trouble.root_hash == root_hash)
    }

    /// Notes that a version failed.
    pub fn record_failure(&mut self, mut failure: Failure) {
        let drop = failure.log.len().saturating_sub(MAX_LOG_LINES);
        failure.log.drain(..drop);
        for line in &mut failure.log {
            shorten(line);
        }
        if let FailureReason::Health(text) | FailureReason::Operator(text) | FailureReason::Withdrawn(text) =
            &mut failure.reason
        {
            shorten(text);
        }
        self.note(failure.at, Happening::Failed, &failure.label, &failure.reason.to_string());
        self.failures.retain(|other| other.root_hash != failure.root_hash);
        self.failures.push(failure);
        let drop = self.failures.len().saturating_sub(MAX_FAILURES);
        self.failures.drain(..drop);
        // All of them together would not fit into a ledger.
        for older in self.failures.iter_mut().rev().skip(MAX_LOGS) {
            older.log = Vec::new();
        }
        self.resume = None;
    }

    /// Notes that installing a version went wrong: the wait before the next attempt doubles each time.
    pub fn record_trouble(&mut self, root_hash: RootHash, label: &PartitionLabel, reason: &str, now: UnixSeconds) {
        let attempts = self.trouble(root_hash).map_or(1, |trouble| trouble.attempts.saturating_add(1));
        let doubled = 1_u64.checked_shl(attempts - 1).unwrap_or(u64::MAX);
        let wait = FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT);
        let mut reason = reason.to_owned();
        shorten(&mut reason);
        let label = label.to_string();
        self.note(now, Happening::InstallFailed, &label, &reason);
        self.troubles.retain(|trouble| trouble.root_hash != root_hash);
        let not_before = UnixSeconds(now.0.saturating_add(wait));
        self.troubles.push(Trouble { root_hash, label, attempts, reason, not_before });
        let drop = self.troubles.len().saturating_sub(MAX_FAILURES);
        self.troubles.drain(..drop);
    }

    /// Lets a version that failed be tried again. Says whether there was one.
    pub fn allow(&mut self, label: &str, now: UnixSeconds) -> bool {
        let before = self.failures.len() + self.troubles.len();
        self.failures.retain(|failure| failure.label != label);
        self.troubles.retain(|trouble| trouble.label != label);
        let allowed = self.failures.len() + self.troubles.len() < before;
        if allowed {
            self.note(now, Happening::Allowed, label, "");
        }
        allowed
    }

    /// Adds to the history.
    pub fn note(&mut self, at: UnixSeconds, what: Happening, label: &str, detail: &str) {
        self.history.push(Record { at, what, label: label.to_owned(), detail: detail.to_owned() });
        let drop = self.history.len().saturating_sub(MAX_RECORDS);
        self.history.drain(..drop);
    }
}

fn shorten(text: &mut String) {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

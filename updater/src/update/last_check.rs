//! What the last look at the repository came to, kept for `explain`: it says why a version is not taken without asking the
//! network again. Nothing is decided by it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Check;
use crate::ledger::UnixSeconds;
use crate::replace;
use crate::restart::{Urgency, Wait};

/// Where it is kept.
pub const LAST_CHECK_PATH: &str = "var/lib/slipway/last-check.json";

/// More than this is none of ours, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// Versions of which it is told.
const MAX_LINES: usize = 8;

/// What the last look at the repository came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// When it was.
    pub at: UnixSeconds,
    /// Where the repository was read; nothing when it couldn't be.
    pub place: Option<String>,
    /// What came of it, in a line.
    pub summary: String,
    /// Version by version, why each is not taken.
    pub reasons: Vec<String>,
    /// What the channel says of the version that is installed and waits for a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<Urgency>,
    /// What was waited for after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Wait>,
}

impl LastCheck {
    /// A look that came to a choice.
    pub fn of(at: UnixSeconds, check: &Check) -> Self {
        let choice = check.choice();
        let told = choice.considered.iter().filter_map(|considered| {
            let reason = considered.reason.as_ref()?;
            Some(format!("{} {reason}", considered.version))
        });
        Self {
            place: Some(check.place().to_string()),
            reasons: told.take(MAX_LINES).collect(),
            armed: check.armed().map(Urgency::from),
            ..Self::failed(at, choice.summary())
        }
    }

    /// A look that failed.
    pub fn failed(at: UnixSeconds, why: String) -> Self {
        Self { at, place: None, summary: why, reasons: Vec::new(), armed: None, waits: None }
    }

    /// The last look, in lines like those of [`View::explain`](crate::view::View::explain).
    pub fn explain(&self) -> String {
        let place = self.place.as_ref().map(|place| format!(" of {place}")).unwrap_or_default();
        let mut text = format!("  asked   {}{place}: {}\n", self.at, self.summary);
        for reason in &self.reasons {
            text.push_str("          ");
            text.push_str(reason);
            text.push('\n');
        }
        text
    }

    /// The last one on the host whose root is at `root`; none if it can't be read.
    pub fn load(root: &Path) -> Option<Self> {
        let path = root.join(LAST_CHECK_PATH);
        let short = fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= MAX_BYTES);
        short.then(|| fs::read(&path).ok())?.and_then(|bytes| serde_json::from_slice(&bytes).ok())
    }

    /// Keeps it.
    pub fn keep(&self, root: &Path) -> io::Result<()> {
        replace::for_now(&root.join(LAST_CHECK_PATH), &serde_json::to_vec(self)?)
    }
}

//! The channel into a guest: its second serial port, at whose other end `slipway-agent guest` listens.
//!
//! A line is a JSON object. The guest begins with `{"hello":"slipway-agent","version":"…"}`; then it answers each request in turn:
//!
//! | request | answer |
//! | --- | --- |
//! | `{"id":1,"ping":true}` | `{"id":1,…}` |
//! | `{"id":2,"run":["cmd","arg"],"timeout_ms":5000}` | `{"id":2,"status":0,"stdout":"…","stderr":"…","timed_out":false}`, status null if it was killed |
//! | `{"id":3,"checks":"smoke"}` | `{"id":3,"results":[{"name":"…","ok":true,"ms":12,"detail":"…"}]}` |
//!
//! An answer with `"error":"…"` says that the request was refused.

mod channel;
mod unit;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::QemuError;
use crate::running::Evidence;

pub(crate) use channel::Channel;
pub(crate) use unit::credentials;

/// What the channel may take longer than a command itself: lines pass a serial port, and the guest may be translated.
const GRACE: Duration = Duration::from_secs(15);

/// What went wrong on the channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// No answer came in time.
    #[error("the guest: no {waiting} within {} s{}", after.as_secs_f32(), noise_suffix(noise))]
    Deadline {
        /// What was awaited.
        waiting: String,
        /// For how long.
        after: Duration,
        /// Lines that came instead and weren't understood; the last few.
        noise: Vec<String>,
    },
    /// The machine ended.
    #[error("the guest's channel closed before {0} came")]
    Closed(String),
    /// The agent said hello in the midst of a request: it was restarted, or the machine was.
    #[error("the guest started anew before {0} came")]
    Restarted(String),
    /// The agent refused a request.
    #[error("the guest refused the request: {0}")]
    Refused(String),
    /// An answer is not what it must be.
    #[error("the guest's answer is not understood: {0}")]
    Answer(String),
    /// The request cannot be sent.
    #[error("the request cannot be sent to the guest: {0}")]
    Send(String),
}

fn noise_suffix(noise: &[String]) -> String {
    if noise.is_empty() { String::new() } else { format!("; it said instead: {}", noise.join(" | ")) }
}

/// What a command in the guest came to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Output {
    /// Its exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it wrote.
    #[serde(default)]
    pub stdout: String,
    /// What it wrote of errors.
    #[serde(default)]
    pub stderr: String,
    /// Whether it was killed because its time was up.
    #[serde(default)]
    pub timed_out: bool,
}

impl Output {
    /// Whether it ended by itself with status 0.
    pub fn succeeded(&self) -> bool {
        self.status == Some(0) && !self.timed_out
    }
}

/// What one of the recipe's checks came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Its name.
    pub name: String,
    /// Whether it held in time.
    pub ok: bool,
    /// Milliseconds from the start of the run until it held or was given up.
    pub ms: u64,
    /// What was found.
    #[serde(default)]
    pub detail: String,
}

/// The agent in a running guest. Borrowed from [`crate::Running::guest`].
pub struct Guest<'a> {
    channel: &'a mut Channel,
    evidence: &'a Evidence,
}

impl<'a> Guest<'a> {
    pub(crate) fn new(channel: &'a mut Channel, evidence: &'a Evidence) -> Self {
        Self { channel, evidence }
    }

    /// Waits for the next hello and returns the agent's version. One that ended a request with [`GuestError::Restarted`] counts.
    pub fn wait_for_hello(&mut self, within: Duration) -> Result<String, QemuError> {
        self.channel.wait_for_hello(Instant::now() + within, within).map_err(|error| self.evidence.guest(error))
    }

    /// Asks whether the agent listens.
    pub fn ping(&mut self, within: Duration) -> Result<(), QemuError> {
        self.request(json!({"ping": true}), "answer to ping", within).map(drop)
    }

    /// Runs a command. When `timeout` is over, the guest kills it and returns what it wrote so far.
    pub fn run(&mut self, command: &[&str], timeout: Duration) -> Result<Output, QemuError> {
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let request = json!({"run": command, "timeout_ms": milliseconds});
        let answer =
            self.request(request, &format!("answer to `{}`", command.join(" ")), timeout.saturating_add(GRACE))?;
        self.understood(answer)
    }

    /// Runs the recipe's checks of that set (`smoke` or `health`), which end by their own deadlines.
    pub fn checks(&mut self, set: &str, within: Duration) -> Result<Vec<CheckResult>, QemuError> {
        let mut answer = self.request(json!({"checks": set}), &format!("results of the {set} checks"), within)?;
        self.understood(answer.get_mut("results").map(Value::take).unwrap_or_default())
    }

    fn request(&mut self, request: Value, waiting: &str, within: Duration) -> Result<Value, QemuError> {
        self.channel.request(request, waiting, within).map_err(|error| self.evidence.guest(error))
    }

    fn understood<T: for<'de> Deserialize<'de>>(&self, answer: Value) -> Result<T, QemuError> {
        serde_json::from_value(answer).map_err(|error| self.evidence.guest(GuestError::Answer(error.to_string())))
    }
}

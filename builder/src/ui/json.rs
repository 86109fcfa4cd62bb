//! Progress as JSON, one object a line on stderr.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway_builder::progress::{Event, Phase};

/// Least time between two `advance` events of a phase.
const PACE: Duration = Duration::from_millis(250);

/// What runs.
pub struct JsonEvents {
    running: Mutex<BTreeMap<Phase, Running>>,
}

struct Running {
    started: Instant,
    spoke: Instant,
    done: u64,
}

impl JsonEvents {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self { running: Mutex::default() }
    }

    /// Prints the object for `event`; `advance` events are thinned out.
    pub fn event(&self, event: &Event<'_>) {
        if let Some(object) = self.object(event, Instant::now()) {
            // A pipe that was closed is no reason to stop a build.
            writeln!(io::stderr().lock(), "{object}").ok();
        }
    }

    fn object(&self, event: &Event<'_>, now: Instant) -> Option<Value> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match *event {
            Event::Start(phase, total) => {
                running.insert(phase, Running { started: now, spoke: now, done: 0 });
                Some(json!({ "event": "start", "phase": name(phase), "total": total }))
            }
            Event::Advance(phase, more) => {
                let state = running.get_mut(&phase)?;
                state.done = state.done.saturating_add(more);
                (now.duration_since(state.spoke) >= PACE).then(|| {
                    state.spoke = now;
                    json!({ "event": "advance", "phase": name(phase), "done": state.done })
                })
            }
            Event::Done(phase, outcome) => {
                let seconds = running.remove(&phase).map(|state| now.duration_since(state.started).as_secs_f64());
                Some(json!({ "event": "done", "phase": name(phase), "seconds": seconds, "outcome": outcome }))
            }
            Event::Note(text) => Some(json!({ "event": "note", "message": text })),
        }
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Index => "index",
        Phase::Solve => "solve",
        Phase::Fetch => "fetch",
        Phase::Unpack => "unpack",
        Phase::Compose => "compose",
        Phase::Seal => "seal",
        Phase::Write => "write",
        Phase::Patch => "patch",
        Phase::Pack => "pack",
        Phase::Verify => "verify",
        Phase::Export => "export",
        Phase::Boot => "boot",
    }
}

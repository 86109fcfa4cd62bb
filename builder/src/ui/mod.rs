//! Who watches long work, and how: bars on a terminal, plain lines elsewhere, JSON events, or not at all.

mod bars;
pub mod errors;
pub mod format;
mod json;
mod lines;
pub mod passphrase;

use std::env;
use std::io::{self, IsTerminal as _};

use slipway_builder::progress::{Event, Phase, Progress};

use bars::Bars;
use json::JsonEvents;
use lines::Lines;

/// Columns that a line may take when stderr is no terminal.
const WIDTH_WITHOUT_TERMINAL: usize = 100;

/// Whoever watches. Everything goes to stderr; results alone go to stdout.
pub enum Ui {
    /// A bar per phase.
    Bars(Bars),
    /// A line when a phase begins, one when it ends, and one every ten seconds between.
    Lines(Lines),
    /// An object a line.
    Json(JsonEvents),
    /// Nothing.
    Silent,
}

impl Ui {
    /// What the flags and the terminal call for.
    pub fn new(json: bool, quiet: bool, no_progress: bool) -> Self {
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        if quiet {
            Self::Silent
        } else if json {
            Self::Json(JsonEvents::new())
        } else if no_progress || dumb || !io::stderr().is_terminal() {
            Self::Lines(Lines::new())
        } else {
            Self::Bars(Bars::new())
        }
    }

    /// Runs `write` with the bars off the screen.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match self {
            Self::Bars(bars) => bars.suspend(write),
            _ => write(),
        }
    }

    /// Takes the bars off the screen for good.
    pub fn finish(&self) {
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

impl Progress for Ui {
    fn event(&self, event: Event<'_>) {
        match self {
            Self::Bars(bars) => bars.event(&event),
            Self::Lines(lines) => lines.event(&event),
            Self::Json(events) => events.event(&event),
            Self::Silent => {}
        }
    }
}

/// Columns of the terminal that stderr is; [`WIDTH_WITHOUT_TERMINAL`] if it is none, or doesn't say.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(WIDTH_WITHOUT_TERMINAL)
}

/// What a phase is called while it runs.
fn label(phase: Phase) -> &'static str {
    match phase {
        Phase::Index => "Reading the package index",
        Phase::Solve => "Choosing packages",
        Phase::Fetch => "Fetching packages",
        Phase::Unpack => "Unpacking",
        Phase::Compose => "Composing the root",
        Phase::Seal => "Committing to the store",
        Phase::Write => "Writing the image",
        Phase::Patch => "Making patches",
        Phase::Pack => "Compressing the image",
        Phase::Verify => "Verifying",
        Phase::Export => "Copying releases",
        Phase::Boot => "Booting",
    }
}

/// Whether a phase counts bytes (else it counts steps).
fn counts_bytes(phase: Phase) -> bool {
    !matches!(phase, Phase::Solve | Phase::Compose | Phase::Boot)
}

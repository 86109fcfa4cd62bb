//! A configuration on trial: in effect, but kept in memory only, until somebody confirms it. Who cut the wire they sit on can't, and
//! has the old configuration back when the time is up, or at the next boot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process;

/// The document on trial.
const PATH: &str = "run/slipway/config-on-trial.toml";
/// The timer that ends it.
const UNIT: &str = "slipway-config-revert";
const LIMIT: Duration = Duration::from_mins(1);

/// Why there is no trial.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// None is under way.
    #[error("no configuration waits to be confirmed")]
    None,
    /// The document can't be kept.
    #[error("can't keep the configuration on trial")]
    Keep(#[source] io::Error),
    /// The timer can't be started or stopped.
    #[error("no timer could be set that ends the trial, so nothing was changed: {0}")]
    Timer(String),
}

/// A trial on the host whose root is at `root`.
#[derive(Clone, Debug)]
pub struct Trial {
    path: PathBuf,
    /// What is on trial.
    pub text: String,
}

impl Trial {
    /// Begins one: the timer first, so that nothing is changed which nothing would change back.
    pub fn begin(root: &Path, text: &str, within: Duration) -> Result<Self, TrialError> {
        stop_timer();
        let seconds = within.as_secs().max(1);
        let argv = [
            "systemd-run",
            "--quiet",
            "--collect",
            &format!("--unit={UNIT}"),
            &format!("--on-active={seconds}s"),
            "--timer-property=AccuracySec=1s",
            "/usr/bin/slipway-agent",
            "config",
            "revert",
        ];
        match process::run(&argv, LIMIT, 4096) {
            Ok(finished) if finished.succeeded() => {}
            Ok(finished) => return Err(TrialError::Timer(format!("systemd-run {}", finished.failure()))),
            Err(error) => return Err(TrialError::Timer(error.to_string())),
        }
        let path = root.join(PATH);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder.and_then(|()| fs::write(&path, text)).map_err(TrialError::Keep)?;
        Ok(Self { path, text: text.to_owned() })
    }

    /// The one that is under way.
    pub fn current(root: &Path) -> Result<Self, TrialError> {
        let path = root.join(PATH);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(TrialError::None),
            Err(error) => Err(TrialError::Keep(error)),
        }
    }

    /// Whether one is under way.
    pub fn waiting(root: &Path) -> bool {
        root.join(PATH).exists()
    }

    /// Ends it, after the document was written for good or the old one is in effect again.
    pub fn end(self) -> Result<(), TrialError> {
        fs::remove_file(&self.path).map_err(TrialError::Keep)?;
        stop_timer();
        Ok(())
    }
}

/// There may be none.
fn stop_timer() {
    let _ = process::run(&["systemctl", "--quiet", "stop", &format!("{UNIT}.timer")], LIMIT, 4096);
}

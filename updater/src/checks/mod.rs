//! Running an image's checks: each is polled until it holds or its time is up, all at once; then, for the soak time, all
//! must go on to hold.

mod http;
mod probe;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use slipway_images::checks::{CHECKS_PATH, Check, CheckSet, ImageChecks};

use crate::host::below;

pub use probe::Phase;

/// The pauses between two looks at the same thing: from the first, doubling, to the second. A look costs a process or a
/// connection, on hosts that have enough to do while they start.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What a single look may take at least, also when the time is nearly up, so that each check is looked at in earnest.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// Why there are no checks to run.
#[derive(Debug, thiserror::Error)]
pub enum ChecksError {
    /// The file can't be read.
    #[error("can't read the image's checks {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what the builder writes.
    #[error("the image's checks {path} make no sense")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Its name.
    pub name: String,
    /// Whether it held in time, and through the soak time.
    pub ok: bool,
    /// Milliseconds from the start of the run until it held first, or until it was given up.
    pub ms: u64,
    /// What was seen; when it failed, the reason.
    pub detail: String,
}

/// What a set of checks came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all held.
    pub ok: bool,
    /// Milliseconds for which all held on after they held first.
    pub soaked_ms: u64,
    /// Each check, in the recipe's order.
    pub results: Vec<CheckResult>,
}

/// Reads the checks of the image that runs below `root`.
pub fn load(root: &Path) -> Result<ImageChecks, ChecksError> {
    let path = below(root, CHECKS_PATH);
    let text = std::fs::read(&path).map_err(|source| ChecksError::Read { path: path.clone(), source })?;
    serde_json::from_slice(&text).map_err(|source| ChecksError::Parse { path, source })
}

/// Whether a time service has set the clock of the host whose root is at `root`, and why it is thought so. Takes no longer than
/// `time`.
pub fn clock_is_set(root: &Path, time: Duration) -> Result<String, String> {
    probe::clock_is_set(&below(root, probe::SYNCHRONIZED), time)
}

/// Runs a set of checks to its end. Calls `each` for every result as it comes, in no order.
pub fn run(set: &CheckSet, phase: Phase, each: &(dyn Fn(&CheckResult) + Sync)) -> Report {
    let started = Instant::now();
    let mut results: Vec<CheckResult> = std::thread::scope(|scope| {
        let poll = |check| {
            scope.spawn(move || {
                let result = poll_until_it_holds(check, phase, started);
                each(&result);
                result
            })
        };
        let threads: Vec<_> = set.checks.iter().map(poll).collect();
        let join = |(thread, check): (std::thread::ScopedJoinHandle<'_, CheckResult>, &Check)| {
            thread.join().unwrap_or_else(|_| CheckResult {
                name: check.name.clone(),
                ok: false,
                ms: milliseconds(started.elapsed()),
                detail: "the check itself failed: a defect in the agent".to_owned(),
            })
        };
        threads.into_iter().zip(&set.checks).map(join).collect()
    });
    let mut soaked = Duration::ZERO;
    if results.iter().all(|result| result.ok) {
        soaked = soak(set, phase, &mut results);
    }
    Report { ok: results.iter().all(|result| result.ok), soaked_ms: milliseconds(soaked), results }
}

fn poll_until_it_holds(check: &Check, phase: Phase, started: Instant) -> CheckResult {
    let (mut pause, longest) = PAUSES;
    loop {
        let left = check.within.saturating_sub(started.elapsed());
        let seen = probe::look(&check.what, phase, left.max(SHORTEST_LOOK));
        let elapsed = started.elapsed();
        let result = |ok, detail| CheckResult { name: check.name.clone(), ok, ms: milliseconds(elapsed), detail };
        match seen {
            Ok(detail) => return result(true, detail),
            Err(reason) if elapsed >= check.within => return result(false, reason),
            Err(_) => {}
        }
        std::thread::sleep(pause.min(check.within.saturating_sub(elapsed)));
        pause = (pause * 2).min(longest);
    }
}

/// Looks at everything again and again for the soak time; the first failure ends it. Gives how long all held.
fn soak(set: &CheckSet, phase: Phase, results: &mut [CheckResult]) -> Duration {
    let started = Instant::now();
    while started.elapsed() < set.soak {
        std::thread::sleep(PAUSES.1.min(set.soak.saturating_sub(started.elapsed())));
        for (check, result) in set.checks.iter().zip(results.iter_mut()) {
            let held = started.elapsed();
            if let Err(reason) = probe::look(&check.what, phase, check.within.max(SHORTEST_LOOK)) {
                result.ok = false;
                let seconds = held.as_secs_f64();
                result.detail = format!("held after {} ms, and no more {seconds:.1} s later: {reason}", result.ms);
                return held;
            }
        }
    }
    set.soak
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use slipway_images::checks::CheckKind;

    use super::*;

    fn shell(name: &str, script: &str, within_ms: u64) -> Check {
        let argv = ["sh", "-c", script].map(ToOwned::to_owned).to_vec();
        let what = CheckKind::Command { argv, prints: None };
        Check { name: name.into(), what, within: Duration::from_millis(within_ms) }
    }

    fn run_all(checks: Vec<Check>, soak_ms: u64) -> Report {
        run(&CheckSet { soak: Duration::from_millis(soak_ms), checks }, Phase::Running, &|_| ())
    }

    #[test]
    fn a_check_is_looked_at_until_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let count = place.path().join("count");
        // Holds at the third look.
        let script = format!("echo >> {0}; test $(wc -l < {0}) -ge 3", count.display());
        let report = run_all(vec![shell("slow", &script, 30_000)], 0);
        assert!(report.ok, "{report:?}");
        assert_eq!(std::fs::read_to_string(&count).unwrap().lines().count(), 3);
        assert!(report.results[0].ms >= 400, "{report:?}");
    }

    #[test]
    fn a_check_fails_at_its_deadline_with_the_last_reason() {
        let started = Instant::now();
        let order = Mutex::new(Vec::new());
        let checks = vec![shell("bad", "echo why >&2; exit 1", 500), shell("good", "true", 30_000)];
        let set = CheckSet { soak: Duration::from_secs(50), checks };
        let report = run(&set, Phase::Running, &|result| order.lock().unwrap().push(result.name.clone()));
        assert!(!report.ok && report.soaked_ms == 0);
        let [bad, good] = &report.results[..] else { panic!() };
        assert_eq!((bad.ok, bad.detail.as_str()), (false, "ended with status 1: why"));
        assert!(bad.ms >= 500 && good.ok);
        assert_eq!(*order.lock().unwrap(), ["good", "bad"]);
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_holds_at_first_must_hold_through_the_soak_time() {
        let place = tempfile::tempdir().unwrap();
        let mark = place.path().join("mark");
        let script = format!("test ! -e {0} && touch {0}", mark.display());
        let report = run_all(vec![shell("good", "true", 1000), shell("flaps", &script, 1000)], 60_000);
        assert!(!report.ok && report.results[0].ok);
        let detail = &report.results[1].detail;
        assert!(detail.starts_with("held after") && detail.ends_with("ended with status 1"), "{detail}");
        let report = run_all(vec![shell("good", "true", 1000)], 300);
        assert!(report.ok && report.soaked_ms == 300);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named() {
        let root = tempfile::tempdir().unwrap();
        // As the agent's `main` tells it.
        let told = |error: ChecksError| format!("{:#}", anyhow::Error::from(error));
        let error = told(load(root.path()).unwrap_err());
        assert!(error.contains("can't read") && error.contains("usr/lib/slipway/checks.json"), "{error}");
        assert_eq!(error.matches("os error 2").count(), 1, "{error}");
        std::fs::create_dir_all(root.path().join("usr/lib/slipway")).unwrap();
        std::fs::write(root.path().join("usr/lib/slipway/checks.json"), "{}").unwrap();
        let error = told(load(root.path()).unwrap_err());
        assert!(error.contains("make no sense") && error.matches("missing field").count() == 1, "{error}");
    }
}

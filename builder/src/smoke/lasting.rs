//! What must last over a restart, and what must not: `/var` and the machine's identity do, edits under `/etc` don't.

use std::time::{Duration, Instant};

use slipway_qemu::{Output, QemuError};

use super::report::Outcome;

/// Runs a command in the guest.
pub(super) type RunIn<'a> = dyn FnMut(&[&str]) -> Result<Output, QemuError> + 'a;

const STATE_MARK: &str = "/var/lib/slipway-smoke-mark";
const ETC_MARK: &str = "/etc/slipway-smoke-mark";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const MACHINE_ID: &str = "/etc/machine-id";

/// How long one of the small commands may take.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

/// What was left in the guest before its restart.
pub(super) struct Marks {
    boot_id: String,
    machine_id: String,
}

impl Marks {
    /// Leaves marks that the next boot is asked for. What cannot be left is an outcome that failed.
    pub(super) fn leave(run: &mut RunIn<'_>) -> Result<(Self, Vec<Outcome>), QemuError> {
        let mut outcomes = Vec::new();
        for (name, mark) in [("state can be written", STATE_MARK), ("/etc can be edited", ETC_MARK)] {
            outcomes.push(timed(name, || {
                let output = run(&["cp", BOOT_ID, mark])?;
                Ok((output.succeeded(), if output.succeeded() { String::new() } else { told(&output) }))
            })?);
        }
        let marks = Self { boot_id: read(run, BOOT_ID)?, machine_id: read(run, MACHINE_ID)? };
        Ok((marks, outcomes))
    }

    /// Looks for them after the restart.
    pub(super) fn look(&self, run: &mut RunIn<'_>) -> Result<Vec<Outcome>, QemuError> {
        let restarted = timed("it is another boot", || {
            let id = read(run, BOOT_ID)?;
            let other = !id.is_empty() && id != self.boot_id;
            Ok((other, if other { String::new() } else { format!("boot id {id:?}, as before") }))
        })?;
        let kept = timed("state lasts over a restart", || {
            let output = run(&["cat", STATE_MARK])?;
            let same = output.succeeded() && !self.boot_id.is_empty() && output.stdout.trim() == self.boot_id;
            Ok((same, if same { String::new() } else { format!("{STATE_MARK}: {}", told(&output)) }))
        })?;
        let gone = timed("edits of /etc are gone", || {
            let output = run(&["ls", ETC_MARK])?;
            let absent = output.status.is_some_and(|status| status != 0);
            Ok((absent, if absent { String::new() } else { format!("{ETC_MARK} is still there") }))
        })?;
        let identity = timed("the machine id lasts", || {
            let id = read(run, MACHINE_ID)?;
            let same = !id.is_empty() && id == self.machine_id;
            Ok((same, if same { String::new() } else { format!("was {:?}, is {id:?}", self.machine_id) }))
        })?;
        Ok(vec![restarted, kept, gone, identity])
    }
}

fn read(run: &mut RunIn<'_>, path: &str) -> Result<String, QemuError> {
    let output = run(&["cat", path])?;
    Ok(if output.succeeded() { output.stdout.trim().to_owned() } else { String::new() })
}

fn told(output: &Output) -> String {
    let words = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let status = output.status.map_or_else(|| "killed".to_owned(), |status| format!("status {status}"));
    format!("{status}: {}", words.trim())
}

/// Runs a look at something and times it.
pub(super) fn timed(
    name: &str,
    look: impl FnOnce() -> Result<(bool, String), QemuError>,
) -> Result<Outcome, QemuError> {
    let start = Instant::now();
    let (ok, detail) = look()?;
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Outcome { name: name.to_owned(), ok, ms, detail })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::unnecessary_wraps)]
    use std::collections::BTreeMap;

    use super::*;

    /// A guest with a few files.
    struct Fake(BTreeMap<String, String>);

    impl Fake {
        fn new() -> Self {
            Self(
                [(BOOT_ID, "boot-1\n"), (MACHINE_ID, "machine\n")]
                    .map(|(path, text)| (path.into(), text.into()))
                    .into(),
            )
        }

        fn run(&mut self, command: &[&str]) -> Result<Output, QemuError> {
            let answer = match *command {
                ["cp", from, to] => self.0.get(from).cloned().map(|text| {
                    self.0.insert(to.to_owned(), text);
                    String::new()
                }),
                ["cat", path] => self.0.get(path).cloned(),
                ["ls", path] => self.0.contains_key(path).then(|| path.to_owned()),
                _ => panic!("{command:?}"),
            };
            Ok(Output {
                status: Some(i32::from(answer.is_none())),
                stderr: if answer.is_none() { "no such file".into() } else { String::new() },
                stdout: answer.unwrap_or_default(),
                timed_out: false,
            })
        }

        fn restart(&mut self) {
            self.0.insert(BOOT_ID.into(), "boot-2\n".into());
            self.0.remove(ETC_MARK);
        }
    }

    fn failed_after(break_it: impl FnOnce(&mut Fake)) -> Vec<String> {
        let mut guest = Fake::new();
        let (marks, outcomes) = Marks::leave(&mut |command| guest.run(command)).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.ok), "{outcomes:?}");
        guest.restart();
        break_it(&mut guest);
        let outcomes = marks.look(&mut |command| guest.run(command)).unwrap();
        outcomes
            .into_iter()
            .filter(|outcome| !outcome.ok)
            .map(|outcome| format!("{}: {}", outcome.name, outcome.detail))
            .collect()
    }

    #[test]
    fn a_good_guest_passes() {
        assert_eq!(failed_after(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_found_and_named() {
        let lost = failed_after(|guest| drop(guest.0.remove(STATE_MARK)));
        assert_eq!(lost, [format!("state lasts over a restart: {STATE_MARK}: status 1: no such file")]);
        let kept = failed_after(|guest| drop(guest.0.insert(ETC_MARK.into(), "boot-1".into())));
        assert_eq!(kept, [format!("edits of /etc are gone: {ETC_MARK} is still there")]);
        let other = failed_after(|guest| drop(guest.0.insert(MACHINE_ID.into(), "other".into())));
        assert_eq!(other, [r#"the machine id lasts: was "machine", is "other""#]);
        let same = failed_after(|guest| drop(guest.0.insert(BOOT_ID.into(), "boot-1".into())));
        assert_eq!(same, [r#"it is another boot: boot id "boot-1", as before"#]);
    }

    #[test]
    fn a_guest_without_ids_does_not_pass_by_accident() {
        let mut guest = Fake(BTreeMap::new());
        let (marks, outcomes) = Marks::leave(&mut |command| guest.run(command)).unwrap();
        assert!(outcomes.iter().all(|outcome| !outcome.ok));
        let outcomes = marks.look(&mut |command| guest.run(command)).unwrap();
        let passed: Vec<&str> =
            outcomes.iter().filter(|outcome| outcome.ok).map(|outcome| outcome.name.as_str()).collect();
        assert_eq!(passed, ["edits of /etc are gone"]);
    }
}

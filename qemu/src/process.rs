//! A child process that is awaited with deadlines, through a pidfd, and never outlives its handle.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A child process. Dropping it kills it, by its id.
pub(crate) struct Process {
    child: Child,
    /// Readable once the child has ended, reaped or not.
    handle: OwnedFd,
    ended: Option<ExitStatus>,
    cpu_time: Duration,
}

impl Process {
    /// Starts it.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(handle) => Ok(Self { child, handle, ended: None, cpu_time: Duration::ZERO }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended, waiting for that until `deadline`.
    pub(crate) fn ended_by(&mut self, deadline: Instant) -> io::Result<bool> {
        if self.ended.is_some() || readable_by(&[self.handle.as_fd()], Some(deadline))?[0] {
            self.reap()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Waits until it ends, however long that takes.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        readable_by(&[self.handle.as_fd()], None)?;
        self.reap()
    }

    /// Kills it if it still runs: at once, without a chance to flush anything.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        if self.ended.is_none() {
            self.child.kill()?;
            readable_by(&[self.handle.as_fd()], None)?;
        }
        self.reap()
    }

    /// How it ended, once it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// CPU time, of user and system, that it and its threads used; the last known once it has ended.
    pub(crate) fn cpu_time(&self) -> Duration {
        if self.ended.is_some() { self.cpu_time } else { cpu_time_of(self.child.id()).unwrap_or(self.cpu_time) }
    }

    /// The next connection to `listener`, `None` if the process ended or the deadline passed first.
    pub(crate) fn accept(&mut self, listener: &UnixListener, deadline: Instant) -> io::Result<Option<UnixStream>> {
        let ready = readable_by(&[listener.as_fd(), self.handle.as_fd()], Some(deadline))?;
        if ready[0] {
            return listener.accept().map(|(stream, _)| Some(stream));
        }
        if ready[1] {
            self.reap()?;
        }
        Ok(None)
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        // A zombie still has its times.
        self.cpu_time = cpu_time_of(self.child.id()).unwrap_or_default();
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.kill();
    }
}

/// Which of the descriptors can be read, waiting for the first until `deadline`, or for ever.
fn readable_by(descriptors: &[BorrowedFd<'_>], deadline: Option<Instant>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => return Ok(polled.iter().map(|entry| !entry.revents().is_empty()).collect()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// User and system time of a process, from `/proc/PID/stat`, fields 14 and 15 of `proc_pid_stat(5)`.
fn cpu_time_of(id: u32) -> Option<Duration> {
    parse_cpu_ticks(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
        .and_then(|ticks| ticks.checked_mul(1000))
        .map(|ticks| Duration::from_millis(ticks / rustix::param::clock_ticks_per_second().max(1)))
}

fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    // The name, field 2, stands in parentheses and may hold anything, these too.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Stdio;

    fn shell(script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]).stdin(Stdio::piped())).unwrap()
    }

    #[test]
    fn an_end_is_noticed_and_keeps_its_status() {
        let mut process = shell("exit 7");
        assert!(process.ended_by(Instant::now() + Duration::from_secs(10)).unwrap());
        assert_eq!(process.status().unwrap().code(), Some(7));
        assert_eq!(process.kill().unwrap().code(), Some(7), "nothing is left to be killed");
    }

    #[test]
    fn a_deadline_passes_and_a_kill_ends_it() {
        let mut process = shell("read line");
        assert!(!process.ended_by(Instant::now() + Duration::from_millis(20)).unwrap());
        assert_eq!(process.status(), None);
        assert!(!process.kill().unwrap().success());
    }

    #[test]
    fn dropping_leaves_no_process() {
        let process = shell("read line");
        let entry = format!("/proc/{}/stat", process.id());
        assert!(fs::exists(&entry).unwrap());
        drop(process);
        assert!(!fs::exists(&entry).unwrap());
    }

    #[test]
    fn ticks_are_read_past_a_nasty_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0";
        assert_eq!(parse_cpu_ticks(stat), Some(300));
        assert_eq!(parse_cpu_ticks("42 (a) S 1"), None);
        assert_eq!(parse_cpu_ticks(""), None);
    }
}

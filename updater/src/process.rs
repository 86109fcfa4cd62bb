//! Programs that are run for their result: with a deadline that holds, and with output that can't fill the memory.

use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long to wait for output after the program's end: something that it left behind may hold the pipe for ever.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// What a program came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it wrote to its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// Whether it, and all that it had started, was killed because its time was up.
    pub timed_out: bool,
}

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No program was named.
    #[error("no program is named")]
    Empty,
    /// It could not be started.
    #[error("can't run `{program}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// The system refused to tell of its end.
    #[error("can't wait for `{program}`: {source}")]
    Wait {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs `argv` without input, for at most `timeout`, and keeps up to `limit` bytes of each output; what comes after that
/// is read and dropped. It runs in a process group of its own, which is killed as a whole when the time is up.
pub fn run(argv: &[impl AsRef<str>], timeout: Duration, limit: usize) -> Result<Finished, ProcessError> {
    let mut words = argv.iter().map(AsRef::as_ref);
    let program = words.next().ok_or(ProcessError::Empty)?;
    let deadline = Instant::now().checked_add(timeout);
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|source| ProcessError::Start { program: program.to_owned(), source })?;
    let (done, ended) = channel();
    let stdout = keep(child.stdout.take(), limit, done.clone());
    let stderr = keep(child.stderr.take(), limit, done);
    let (status, timed_out) =
        wait(&mut child, deadline).map_err(|source| ProcessError::Wait { program: program.to_owned(), source })?;
    wait_for_output(&ended);
    Ok(Finished { status: status.code(), stdout: taken(&stdout), stderr: taken(&stderr), timed_out })
}

impl Finished {
    /// Whether it ended by itself with code 0.
    pub fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Why it did not succeed, in one line: how it ended, and the last line that it wrote.
    pub fn failure(&self) -> String {
        let ended = match self.status {
            _ if self.timed_out => "was killed when its time was up".to_owned(),
            Some(status) => format!("ended with status {status}"),
            None => "was ended by a signal".to_owned(),
        };
        let said = [&self.stderr, &self.stdout].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
        match said.iter().find(|text| !text.is_empty()).and_then(|text| text.lines().last()) {
            Some(line) => format!("{ended}: {line}"),
            None => ended,
        }
    }
}

type Kept = Arc<Mutex<Vec<u8>>>;

/// Reads to the end in a thread of its own, so that neither pipe can block the program.
fn keep(pipe: Option<impl Read + Send + 'static>, limit: usize, done: Sender<()>) -> Kept {
    let kept = Kept::default();
    let Some(mut pipe) = pipe else { return kept };
    let sink = Arc::clone(&kept);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            let room = limit.saturating_sub(sink.len());
            sink.extend_from_slice(&buffer[..count.min(room)]);
        }
        // The other end is gone when nobody waits for it any more.
        let _ = done.send(());
    });
    kept
}

fn taken(kept: &Kept) -> Vec<u8> {
    std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner))
}

fn wait_for_output(ended: &Receiver<()>) {
    let until = Instant::now() + OUTPUT_GRACE;
    // Until both have said that they are done, and with that dropped their end, or time is up.
    while ended.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
}

/// Waits for the end; at the deadline kills the group. No deadline means one beyond what the clock can count.
fn wait(child: &mut Child, deadline: Option<Instant>) -> std::io::Result<(ExitStatus, bool)> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidInput)?;
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, false));
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            // It may have ended at this very moment: then there is nothing to kill.
            let _ = kill_process_group(pid, Signal::KILL);
            let status = child.wait()?;
            return Ok((status, status.signal().is_some()));
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&ended, PollFlags::IN)], left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str, timeout: Duration, limit: usize) -> Finished {
        run(&["sh", "-c", script], timeout, limit).unwrap()
    }

    #[test]
    fn output_and_status_are_kept_apart() {
        let finished = shell("echo out; echo err >&2; exit 3", LONG, 100);
        assert_eq!((finished.status, finished.timed_out), (Some(3), false));
        assert_eq!((finished.text().as_str(), &finished.stderr[..]), ("out\n", &b"err\n"[..]));
        assert_eq!(finished.failure(), "ended with status 3: err");
    }

    #[test]
    fn what_is_over_the_limit_is_read_and_dropped() {
        let finished = shell("head -c 1000000 /dev/zero; echo end >&2", LONG, 1000);
        assert_eq!((finished.stdout.len(), finished.status), (1000, Some(0)));
        assert_eq!(finished.stderr, b"end\n");
    }

    #[test]
    fn the_deadline_ends_the_program_and_what_it_started() {
        let started = Instant::now();
        let finished = shell("echo before; sleep 60 & sleep 60", Duration::from_millis(200), 100);
        assert!(finished.timed_out && finished.status.is_none());
        assert_eq!(finished.text(), "before\n");
        assert_eq!(finished.failure(), "was killed when its time was up: before");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_is_not_waited_for() {
        let started = Instant::now();
        let finished = shell("setsid sleep 20 & echo started", LONG, 100);
        assert_eq!((finished.text().as_str(), finished.status), ("started\n", Some(0)));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&["/nonexistent/program"], LONG, 1).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/program"), "{error}");
        assert!(matches!(run(&[] as &[&str], LONG, 1), Err(ProcessError::Empty)));
    }
}

//! What happens when the root can't be opened: one line that says why, time to read it, and a restart, so that the boot
//! loader's counting can act. A machine that waits for ever in its initrd would never fall back by itself.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::system::RebootCommand;
use slipway_images::verity::VerityError;

use crate::cmdline::CmdlineError;
use crate::pick::PickError;

/// How long the line stays before the restart.
const TIME_TO_READ: Duration = Duration::from_secs(3);

/// Why the root could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A system call failed.
    #[error("can't {what} ({target}): {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// The file, device or folder it was to be done with.
        target: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The command line.
    #[error(transparent)]
    Cmdline(#[from] CmdlineError),
    /// The disk.
    #[error(transparent)]
    Pick(#[from] PickError),
    /// The hash tree.
    #[error("hash tree on {partition}: {source}")]
    Verity {
        /// The verity partition.
        partition: PathBuf,
        /// What is wrong.
        source: VerityError,
    },
    /// The partition is in the table, and the kernel has no device for it.
    #[error("{disk} has partition {number} and the kernel made no device for it")]
    NoDevice {
        /// The disk.
        disk: String,
        /// The partition's number.
        number: u32,
    },
}

/// Says what was being done when a system call failed.
pub trait Context<T> {
    /// The error, with what was to be done to what.
    fn at(self, what: &'static str, target: impl AsRef<Path>) -> Result<T, BootError>;
}

impl<T, E: Into<std::io::Error>> Context<T> for Result<T, E> {
    fn at(self, what: &'static str, target: impl AsRef<Path>) -> Result<T, BootError> {
        self.map_err(|error| BootError::System { what, target: target.as_ref().to_owned(), source: error.into() })
    }
}

/// How urgent a line is, as the kernel counts.
#[derive(Clone, Copy, Debug)]
pub enum Severity {
    /// Reaches every console, even with `quiet`.
    Critical = 2,
    /// For the log; on the consoles unless `quiet`.
    Warning = 4,
    /// For the log.
    Notice = 5,
}

/// Writes one line to the kernel's log, and with it to every console; to standard error where there is no log.
pub fn say(severity: Severity, message: &str) {
    let line = log_line(severity, message);
    // One write is one record. `/dev/kmsg` moves with `/dev` into the new root.
    let logged = ["/dev/kmsg", "/sysroot/dev/kmsg"].iter().any(|path| {
        OpenOptions::new().write(true).open(path).and_then(|mut log| log.write_all(line.as_bytes())).is_ok()
    });
    if !logged {
        // Nothing is left to do when this fails too.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

fn log_line(severity: Severity, message: &str) -> String {
    let message = message.replace(['\n', '\r'], " ");
    format!("<{}>slipway-initrd: {message}\n", severity as u8)
}

/// Says why, waits until it can have been read, and restarts the machine.
pub fn stop(reason: &dyn fmt::Display) -> ! {
    static STOPPING: AtomicBool = AtomicBool::new(false);
    // Of several failures, in other threads or while this one is told, the first one is told. None waits for another.
    if !STOPPING.swap(true, Ordering::SeqCst) {
        say(Severity::Critical, &format!("{reason}; restarting"));
    }
    loop {
        std::thread::sleep(TIME_TO_READ);
        if let Err(error) = rustix::system::reboot(RebootCommand::Restart) {
            say(Severity::Critical, &format!("can't restart: {error}"));
        }
    }
}

/// Makes a panic end like any other failure.
pub fn stop_on_panic() {
    std::panic::set_hook(Box::new(|panic| stop(&format!("defect in the initrd: {panic}"))));
}

/// Restarts the machine if this process is not another program by then.
pub fn limit_time(limit: Duration) {
    let watch = move || {
        std::thread::sleep(limit);
        stop(&format!("not done after {} s", limit.as_secs()));
    };
    if let Err(error) = std::thread::Builder::new().spawn(watch) {
        say(Severity::Warning, &format!("no time limit: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_that_says_what_and_where() {
        let result: Result<(), _> = Err(rustix::io::Errno::NODEV);
        let error = result.at("mount the root", "/dev/dm-0").map_err(|error| error.to_string());
        let message = "can't mount the root (/dev/dm-0): No such device (os error 19)";
        assert_eq!(error, Err(message.to_owned()));
        assert_eq!(log_line(Severity::Critical, "a\nb"), "<2>slipway-initrd: a b\n");
    }
}

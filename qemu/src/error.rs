//! What can go wrong with a machine.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::guest::GuestError;

/// What was known of a machine when something went wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The command line, quoted for a shell.
    pub command: String,
    /// The last lines that QEMU itself wrote to stderr.
    pub stderr: Vec<String>,
    /// The last lines of the first serial port.
    pub serial: Vec<String>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, lines) in [("stderr", &self.stderr), ("serial console", &self.serial)] {
            if !lines.is_empty() {
                write!(f, "\n  last lines of the {title}:")?;
                for line in lines {
                    write!(f, "\n    {line}")?;
                }
            }
        }
        if !self.command.is_empty() {
            write!(f, "\n  command: {}", self.command)?;
        }
        Ok(())
    }
}

/// What can go wrong with a machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QemuError {
    /// A program is not installed.
    #[error("no `{program}` in PATH; install the package {package}, or name the program in {variable}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// Packages that bring it.
        package: &'static str,
        /// The environment variable that can name it.
        variable: &'static str,
    },
    /// QEMU is too old to be trusted.
    #[error(
        "{} is QEMU {found}, and {least} is the least that runs these guests soundly (7.2 without KVM corrupts their \
         registers); install a newer one, on Debian 12 from its backports",
        program.display()
    )]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: crate::Version,
        /// What is needed.
        least: crate::Version,
    },
    /// A program was run and failed, or said something that isn't understood.
    #[error("`{command}` {what}{}", indented(stderr))]
    Program {
        /// The command line.
        command: String,
        /// What was wrong.
        what: String,
        /// What it wrote to stderr.
        stderr: String,
    },
    /// The accelerator that was asked for by name cannot be had.
    #[error("KVM was asked for, but {0}")]
    NoKvm(String),
    /// No UEFI firmware was found.
    #[error(
        "no UEFI firmware for virtual machines; looked for {}; install ovmf (Debian), edk2-ovmf (Fedora, Arch), or set \
         SLIPWAY_OVMF_CODE and SLIPWAY_OVMF_VARS",
        looked_at.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoFirmware {
        /// The code files looked for.
        looked_at: Vec<PathBuf>,
    },
    /// The description contradicts itself, or names what isn't there.
    #[error("machine `{machine}`: {what}")]
    Description {
        /// Its name.
        machine: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file or socket of the machine.
    #[error("cannot {act} {}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// QEMU ended when it should not have.
    #[error("QEMU ended ({status}) while {waiting}{context}")]
    Ended {
        /// What was awaited.
        waiting: String,
        /// How it ended.
        status: String,
        /// What was known.
        context: Box<Context>,
    },
    /// Something did not happen in time.
    #[error("{waiting}: nothing after {} s{context}", after.as_secs_f32())]
    Deadline {
        /// What was awaited.
        waiting: String,
        /// For how long.
        after: Duration,
        /// What was known.
        context: Box<Context>,
    },
    /// QEMU refused a command, or broke its protocol.
    #[error("QMP {what}{context}")]
    Monitor {
        /// What was wrong.
        what: String,
        /// What was known.
        context: Box<Context>,
    },
    /// The channel into the guest.
    #[error("{error}{context}")]
    Guest {
        /// What was wrong.
        error: GuestError,
        /// What was known.
        context: Box<Context>,
    },
}

impl QemuError {
    /// Turns an I/O error into one that names what was tried on which path.
    pub(crate) fn io(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { act, path, source }
    }

    /// Whether something is missing on this machine (a program, the firmware), rather than wrong with the guest.
    pub fn is_missing_tool(&self) -> bool {
        matches!(self, Self::NoProgram { .. } | Self::TooOld { .. } | Self::NoFirmware { .. } | Self::NoKvm(_))
    }
}

fn indented(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("\n    {}", stderr.replace('\n', "\n    ")) }
}

//! How `slipway-agent` ends. The numbers are stable.

/// What the program's exit status says. A mistake on the command line ends it with 2, by clap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All that was asked for was done, and all that was looked at is well.
    Done = 0,
    /// It could not be done; the reason is on standard error.
    Failed = 1,
    /// It was done, and what was looked at is not as it should be: a check failed, or `status` has a problem to tell.
    NotWell = 3,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        (code as u8).into()
    }
}

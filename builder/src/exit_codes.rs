//! What the exit status of `slipway` means. Stable: a number is never given a new meaning. Listed in `docs/cli.md`.

use std::error::Error;
use std::{fmt, io};

use slipway_builder::fault::Fault;
use slipway_builder::recipe::RecipeError;

/// The exit status of `slipway`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All that was asked for was done.
    Success = 0,
    /// Something went wrong that no other code names: a disk that is full, a file that cannot be read.
    Failure = 1,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// The recipe is wrong. Nothing was done.
    Recipe = 3,
    /// There is no lock, it doesn't match the recipe, or it cannot be read.
    Lock = 4,
    /// No set of packages satisfies the recipe, or a package is unknown.
    Unsatisfiable = 5,
    /// A signature, digest or size is not what it must be. What was fetched was dropped.
    Untrusted = 6,
    /// A build or a publication refuses to go on: a script that nobody modelled, a missing library, an image that doesn't fit,
    /// a version that is published already.
    Refused = 7,
    /// A smoke check, or the verification of an image or a repository, failed.
    CheckFailed = 8,
    /// The network or the mirror cannot be reached.
    Unreachable = 9,
    /// A program or component that the command needs is missing (QEMU, OVMF, the agent).
    Missing = 10,
}

/// Every code, in order.
#[cfg(test)]
const ALL: [ExitCode; 11] = [
    ExitCode::Success,
    ExitCode::Failure,
    ExitCode::Usage,
    ExitCode::Recipe,
    ExitCode::Lock,
    ExitCode::Unsatisfiable,
    ExitCode::Untrusted,
    ExitCode::Refused,
    ExitCode::CheckFailed,
    ExitCode::Unreachable,
    ExitCode::Missing,
];

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl ExitCode {
    /// The code that `error` asks for: that given with [`OrExit::or_exit`], else by the kind of error.
    pub fn of(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(|cause| match cause.downcast_ref::<Coded>() {
                Some(coded) => Some(coded.code),
                None => cause.is::<RecipeError>().then_some(Self::Recipe),
            })
            .unwrap_or(Self::Failure)
    }
}

impl From<Fault> for ExitCode {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Other => Self::Failure,
            Fault::Recipe => Self::Recipe,
            Fault::Lock => Self::Lock,
            Fault::Unsatisfiable => Self::Unsatisfiable,
            Fault::Untrusted => Self::Untrusted,
            Fault::Refused => Self::Refused,
            Fault::Unreachable => Self::Unreachable,
            Fault::Missing => Self::Missing,
        }
    }
}

/// Says which exit code a failure is to have.
pub trait OrExit<T> {
    /// If this is an error, the program is to end with `code`. The message stays what it is.
    fn or_exit(self, code: ExitCode) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, code: ExitCode) -> anyhow::Result<T> {
        self.map_err(|error| Coded { code, error: error.into() }.into())
    }
}

/// Gives a failure the exit code of its kind.
pub trait OrFault<T> {
    /// If this is an error, the program is to end with the code of its [`Fault`]. The message stays what it is.
    fn or_fault(self) -> anyhow::Result<T>;
}

impl<T, E> OrFault<T> for Result<T, E>
where
    E: Into<anyhow::Error>,
    for<'a> Fault: From<&'a E>,
{
    fn or_fault(self) -> anyhow::Result<T> {
        let code = self.as_ref().err().map_or(ExitCode::Success, |error| Fault::from(error).into());
        self.or_exit(code)
    }
}

/// An error with its exit code. Shows as the error itself, so that nothing is said twice in a chain.
#[derive(Debug)]
struct Coded {
    code: ExitCode,
    error: anyhow::Error,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Coded {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The first error of this kind in the chain, also where it was given an exit code.
pub fn find<E: Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| match cause.downcast_ref::<Coded>() {
        Some(coded) => coded.error.downcast_ref(),
        None => cause.downcast_ref(),
    })
}

/// Whether `error` only says that whoever read our output went away (`slipway … | head`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_stable_and_in_the_manual() {
        let manual = include_str!("../../docs/cli.md");
        for (number, code) in ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            assert!(manual.contains(&format!("| {number} | `{code:?}` |")), "{code:?} is not in docs/cli.md");
        }
    }

    #[test]
    fn a_code_outlives_added_context_and_changes_no_words() {
        use anyhow::Context as _;
        let error =
            Err::<(), _>(io::Error::other("disk on fire")).context("writing").or_exit(ExitCode::Lock).unwrap_err();
        let error = error.context("outer");
        assert_eq!(ExitCode::of(&error), ExitCode::Lock);
        assert_eq!(format!("{error:#}"), "outer: writing: disk on fire");
        assert_eq!(ExitCode::of(&anyhow::anyhow!("plain")), ExitCode::Failure);
    }
}

//! The programs of QEMU: where they are and which version.

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::error::QemuError;

/// The least version of QEMU: 7.2 without KVM was seen to corrupt flags and to jump to NULL in guests' kernels.
const LEAST: Version = Version { major: 8, minor: 0 };

/// A version of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The 10 of 10.0.2.
    pub major: u32,
    /// The 0 of 10.0.2.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Version {
    /// Reads the first line of `qemu-system-x86_64 --version`.
    fn parse(text: &str) -> Option<Self> {
        let number = text.split_once("version ")?.1.split([' ', '\n', '(']).next()?;
        let mut parts = number.split('.');
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

/// `qemu-system-x86_64`, recent enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    version: Version,
}

impl Program {
    /// Finds it in `SLIPWAY_QEMU` or PATH and asks it for its version (once per process and file).
    pub fn find() -> Result<Self, QemuError> {
        let path = locate(
            "qemu-system-x86_64",
            "SLIPWAY_QEMU",
            "qemu-system-x86 (Debian), qemu-system-x86-core (Fedora), qemu-base (Arch)",
        )?;
        Self::at(&path)
    }

    /// The program at `path`.
    pub fn at(path: &Path) -> Result<Self, QemuError> {
        static KNOWN: Mutex<Option<HashMap<PathBuf, Version>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(HashMap::new);
        let version = if let Some(version) = known.get(path) {
            *version
        } else {
            let version = ask_version(path)?;
            known.insert(path.to_owned(), version);
            version
        };
        if version < LEAST {
            return Err(QemuError::TooOld { program: path.to_owned(), found: version, least: LEAST });
        }
        Ok(Self { path: path.to_owned(), version })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which it is.
    pub fn version(&self) -> Version {
        self.version
    }
}

fn ask_version(path: &Path) -> Result<Version, QemuError> {
    let text = output(Command::new(path).arg("--version"))?;
    Version::parse(&text).ok_or_else(|| QemuError::Program {
        command: format!("{} --version", path.display()),
        what: "doesn't say which version of QEMU it is".into(),
        stderr: text,
    })
}

/// Finds a program by its variable, else in PATH.
fn locate(program: &'static str, variable: &'static str, package: &'static str) -> Result<PathBuf, QemuError> {
    if let Some(path) = env::var_os(variable).filter(|value| !value.is_empty()) {
        return Ok(path.into());
    }
    env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(QemuError::NoProgram { program, package, variable })
}

/// Makes a qcow2 file at `overlay` that holds what differs from `base`.
pub(crate) fn make_overlay(base: &Path, base_format: &str, overlay: &Path) -> Result<(), QemuError> {
    let image_program = locate("qemu-img", "SLIPWAY_QEMU_IMG", "qemu-utils (Debian), qemu-img (Fedora, Arch)")?;
    // A relative backing file would be looked for beside the overlay.
    let base = std::path::absolute(base).map_err(QemuError::io("find", base))?;
    output(
        Command::new(image_program)
            .args(["create", "-q", "-f", "qcow2", "-F", base_format, "-b"])
            .arg(base)
            .arg(overlay),
    )
    .map(drop)
}

/// Runs a program to its end and returns its stdout.
fn output(command: &mut Command) -> Result<String, QemuError> {
    let line = crate::command::shell_quoted(command);
    let failed = |what: String, stderr: &[u8]| QemuError::Program {
        command: line.clone(),
        what,
        stderr: String::from_utf8_lossy(stderr).trim_end().to_owned(),
    };
    let result =
        command.stdin(Stdio::null()).output().map_err(|error| failed(format!("cannot be started: {error}"), &[]))?;
    if !result.status.success() {
        return Err(failed(format!("failed ({})", result.status), &result.stderr));
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_versions() {
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright";
        assert_eq!(Version::parse(debian), Some(Version { major: 10, minor: 0 }));
        assert_eq!(Version::parse("QEMU emulator version 9.2.0\n"), Some(Version { major: 9, minor: 2 }));
        assert_eq!(Version::parse("something else"), None);
        assert_eq!(Version::parse("QEMU emulator version x.y"), None);
    }

    #[test]
    fn an_old_one_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let fake = folder.path().join("qemu");
        std::fs::write(&fake, "#!/bin/sh\necho 'QEMU emulator version 7.2.17 (Debian)'\n").unwrap();
        std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = Program::at(&fake).unwrap_err();
        assert!(error.is_missing_tool());
        let text = error.to_string();
        assert!(text.contains("QEMU 7.2") && text.contains("8.0") && text.contains("backports"), "{text}");
    }

    #[test]
    fn a_program_that_fails_is_shown_with_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err().to_string();
        assert!(
            error.contains("sh -c 'echo broken >&2; exit 3'") && error.contains("broken\n") | error.ends_with("broken"),
            "{error}"
        );
        assert!(error.contains("exit status: 3"), "{error}");
    }
}

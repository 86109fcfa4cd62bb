//! What executes the guest: KVM where it works, else QEMU's own translator (TCG).
//!
//! A `/dev/kvm` that opens proves nothing: inside some virtual machines it is there, and guests die at the first
//! instruction that its emulation doesn't know. KVM is chosen only if the processor's flags say that it can virtualise, the
//! device opens, and a [`probe`] guest ran to its end.

mod probe;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use crate::error::QemuError;
use crate::program::Program;

/// What the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// KVM if it works.
    #[default]
    Auto,
    /// KVM, or an error. Trusts the user: no probe.
    Kvm,
    /// TCG.
    Tcg,
}

impl FromStr for Accel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            _ => Err(format!("no accelerator `{text}`; there are auto, kvm and tcg")),
        }
    }
}

/// What executes the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// An accelerator, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why, in a few words.
    pub reason: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.accelerator, self.reason)
    }
}

impl Choice {
    /// Chooses. The answer for [`Accel::Auto`] is found once per process.
    pub fn new(wanted: Accel, program: &Program) -> Result<Self, QemuError> {
        static AUTO: Mutex<Option<Choice>> = Mutex::new(None);
        match wanted {
            Accel::Tcg => Ok(Self { accelerator: Accelerator::Tcg, reason: "asked for".into() }),
            Accel::Kvm => match device_opens() {
                Ok(()) => Ok(Self { accelerator: Accelerator::Kvm, reason: "asked for".into() }),
                Err(why) => Err(QemuError::NoKvm(why)),
            },
            Accel::Auto => {
                let mut known = AUTO.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(known.get_or_insert_with(|| Self::from_findings(findings(program))).clone())
            }
        }
    }

    fn from_findings(findings: Result<(), String>) -> Self {
        match findings {
            Ok(()) => Self { accelerator: Accelerator::Kvm, reason: "a probe guest ran".into() },
            Err(why) => Self { accelerator: Accelerator::Tcg, reason: format!("no KVM: {why}") },
        }
    }
}

/// Why KVM cannot be used, cheapest question first.
fn findings(program: &Program) -> Result<(), String> {
    let flags =
        fs::read_to_string("/proc/cpuinfo").map_err(|error| format!("/proc/cpuinfo cannot be read: {error}"))?;
    if !can_virtualise(&flags) {
        return Err("the processor's flags have neither vmx nor svm".into());
    }
    device_opens()?;
    probe::run(program, Accelerator::Kvm)
}

fn can_virtualise(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

fn device_opens() -> Result<(), String> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map(drop)
        .map_err(|error| format!("/dev/kvm cannot be opened: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_decide_first() {
        assert!(can_virtualise("processor : 0\nflags\t\t: fpu vme svm sse\n"));
        assert!(can_virtualise("flags : vmx\n"));
        assert!(!can_virtualise("flags : fpu svm_lock avx\nbugs : vmx\n"));
    }

    #[test]
    fn a_choice_says_why() {
        assert_eq!(Choice::from_findings(Ok(())).to_string(), "kvm (a probe guest ran)");
        assert_eq!(Choice::from_findings(Err("it died".into())).to_string(), "tcg (no KVM: it died)");
    }
}

//! Firmware of a machine: where distributions keep OVMF, and what starts first.

use std::env;
use std::path::{Path, PathBuf};

use crate::disk::Format;
use crate::error::QemuError;

/// Code and variable template, by distribution; the first pair of which both are there is taken. 4 MiB builds come first, for
/// their variable store holds Secure Boot's databases.
const KNOWN: [(&str, &str); 8] = [
    // Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Fedora
    ("/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2", "/usr/share/edk2/ovmf/OVMF_VARS_4M.qcow2"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Arch, now and before
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.4m.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    // openSUSE
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
];

/// What starts first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI (OVMF), which boots a disk.
    Uefi(Variables),
    /// QEMU's own `SeaBIOS`, which boots a disk's first sector.
    Bios,
    /// A Linux kernel, loaded by QEMU.
    Kernel {
        /// The kernel (bzImage).
        kernel: PathBuf,
        /// Its initial RAM disk.
        initrd: Option<PathBuf>,
        /// Its command line.
        command_line: String,
    },
}

/// Where UEFI keeps its variables (boot entries, keys).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Variables {
    /// In a copy of the template that is gone with the machine.
    #[default]
    Fresh,
    /// In this file, made from the template if it isn't there, and kept.
    At(PathBuf),
}

/// The two files of a UEFI firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ovmf {
    /// Code, mapped read-only.
    pub code: PathBuf,
    /// Template of the variable store.
    pub variables: PathBuf,
}

impl Ovmf {
    /// Finds it: `SLIPWAY_OVMF_CODE` and `SLIPWAY_OVMF_VARS`, else where distributions keep it.
    pub fn find() -> Result<Self, QemuError> {
        let named = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self::find_among(named("SLIPWAY_OVMF_CODE").zip(named("SLIPWAY_OVMF_VARS")), Path::new("/"))
    }

    fn find_among(named: Option<(PathBuf, PathBuf)>, root: &Path) -> Result<Self, QemuError> {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let candidates: Vec<Self> = match named {
            Some((code, variables)) => vec![Self { code, variables }],
            None => {
                KNOWN.iter().map(|(code, variables)| Self { code: below(code), variables: below(variables) }).collect()
            }
        };
        candidates
            .iter()
            .find(|pair| pair.code.is_file() && pair.variables.is_file())
            .cloned()
            .ok_or_else(|| QemuError::NoFirmware { looked_at: candidates.into_iter().map(|pair| pair.code).collect() })
    }

    /// The format of both files, by their name.
    pub(crate) fn format(&self) -> Format {
        if self.code.extension().is_some_and(|extension| extension == "qcow2") { Format::Qcow2 } else { Format::Raw }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn install(root: &Path, file: &str) {
        let path = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn finds_each_distribution_and_needs_both_files() {
        for (code, variables) in KNOWN {
            let root = tempfile::tempdir().unwrap();
            install(root.path(), code);
            assert!(Ovmf::find_among(None, root.path()).is_err(), "{code} alone is not enough");
            install(root.path(), variables);
            let found = Ovmf::find_among(None, root.path()).unwrap();
            assert!(found.code.ends_with(code.trim_start_matches('/')), "{found:?}");
            assert_eq!(found.format() == Format::Qcow2, code.ends_with("qcow2"));
        }
    }

    #[test]
    fn what_is_named_is_taken_or_nothing_is() {
        let root = tempfile::tempdir().unwrap();
        install(root.path(), KNOWN[0].0);
        install(root.path(), KNOWN[0].1);
        let error = Ovmf::find_among(Some(("/nowhere/CODE".into(), "/nowhere/VARS".into())), root.path()).unwrap_err();
        assert!(error.to_string().contains("looked for /nowhere/CODE;"), "{error}");
    }

    #[test]
    fn says_where_it_looked_and_what_to_install() {
        let root = tempfile::tempdir().unwrap();
        let text = Ovmf::find_among(None, root.path()).unwrap_err().to_string();
        for word in ["OVMF_CODE_4M.fd", "edk2-ovmf/x64", "install ovmf (Debian)", "SLIPWAY_OVMF_CODE"] {
            assert!(text.contains(word), "{word} not in {text}");
        }
    }
}

//! An image on the command line, and the machine it is to run in: what `slipway run` and `slipway test` have in common.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use slipway_qemu::{Accel, Bus, QemuError};

use super::build::build_recipe;
use crate::context::Context;
use crate::exit_codes::{ExitCode, OrExit as _};

/// The disk image among the outputs of a build.
const DISK: &str = "disk.raw";

/// The machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// Memory: MiB, or with a unit (512M, 4G)
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = memory)]
    pub memory: u32,
    /// Processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub cpus: u32,
    /// What executes the guest: auto (KVM if a probe says that it works), kvm or tcg
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    pub accel: Accel,
    /// What the disk is attached to: virtio, nvme or sata
    #[arg(long, value_name = "BUS", default_value = "virtio")]
    pub disk_bus: Bus,
}

/// An image that was built.
#[derive(Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// `id_version`, or the disk's file name.
    pub name: String,
    /// The folder it lies in.
    pub folder: PathBuf,
    /// The disk image.
    pub disk: PathBuf,
}

impl BuiltImage {
    /// The image that `path` means: an output folder, a disk image, or a recipe, which is built if it isn't.
    pub fn find(context: &Context, path: &Path) -> anyhow::Result<Self> {
        if path.extension().is_some_and(|extension| extension == "toml") {
            return Self::of_folder(&build_recipe(context, path)?.folder);
        }
        if path.is_dir() {
            return Self::of_folder(path);
        }
        if !path.is_file() {
            bail!("there is no image or recipe {}", path.display());
        }
        let disk = std::path::absolute(path)?;
        let folder = disk.parent().map(Path::to_owned).unwrap_or_default();
        let is_output = disk.file_name().is_some_and(|name| name == DISK);
        let named_by = if is_output { folder.file_name() } else { disk.file_stem() };
        let name = named_by.unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, folder, disk })
    }

    fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let disk = folder.join(DISK);
        if !disk.is_file() {
            bail!("{} is no output folder of a build: it has no {DISK}", folder.display());
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, folder, disk })
    }
}

/// Gives an error of QEMU the exit code that it calls for.
pub fn coded<T>(result: Result<T, QemuError>) -> anyhow::Result<T> {
    match result {
        Err(error) if error.is_missing_tool() => Err(error).or_exit(ExitCode::Missing),
        other => other.context("the machine"),
    }
}

/// MiB, from `2048`, `512M` or `2G`.
fn memory(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 1024),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 1),
    };
    let size = digits.parse::<u32>().ok().and_then(|size| size.checked_mul(factor));
    size.filter(|size| *size >= 128).ok_or_else(|| "write MiB, 128 at least, or a unit: 2048, 512M, 4G".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn memory_has_units() {
        assert_eq!(memory("2048"), Ok(2048));
        assert_eq!(memory("512M"), Ok(512));
        assert_eq!(memory("4G"), Ok(4096));
        for bad in ["", "G", "0", "127", "2T", "-1", "4194304G", "1.5G"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn folder_disk_and_other_disks_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("host_1");
        assert!(BuiltImage::of_folder(folder.path()).unwrap_err().to_string().contains("no disk.raw"));
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join(DISK), "").unwrap();
        let image = BuiltImage::of_folder(&out).unwrap();
        assert_eq!((image.name.as_str(), &image.disk), ("host_1", &out.join(DISK)));
    }
}

//! Disks of a machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How the bytes of a disk lie in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One to one.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What a disk is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk over PCI: `/dev/vda`.
    #[default]
    Virtio,
    /// `NVMe`: `/dev/nvme0n1`.
    Nvme,
    /// SATA over AHCI: `/dev/sda`.
    Sata,
}

impl FromStr for Bus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "virtio" => Ok(Self::Virtio),
            "nvme" => Ok(Self::Nvme),
            "sata" => Ok(Self::Sata),
            _ => Err(format!("no disk bus `{text}`; there are virtio, nvme and sata")),
        }
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virtio => "virtio",
            Self::Nvme => "nvme",
            Self::Sata => "sata",
        })
    }
}

/// What becomes of that which the guest writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Into the file itself.
    Direct,
    /// Nowhere: the guest may not write.
    ReadOnly,
    /// Into a temporary overlay that is gone with the machine. Flushes are ignored, so it is fast.
    ThrownAway,
    /// Into a qcow2 overlay at this path, made if it isn't there, and kept: the next machine goes on from it. Flushes count, so
    /// what a guest flushed survives a power cut.
    Overlay(PathBuf),
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) bus: Bus,
    pub(crate) access: Access,
}

impl Disk {
    /// A raw image, on virtio, written directly.
    pub fn raw(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), format: Format::Raw, bus: Bus::default(), access: Access::Direct }
    }

    /// A qcow2 image, on virtio, written directly.
    pub fn qcow2(path: impl Into<PathBuf>) -> Self {
        Self { format: Format::Qcow2, ..Self::raw(path) }
    }

    /// Attaches it to another bus.
    #[must_use]
    pub fn on(self, bus: Bus) -> Self {
        Self { bus, ..self }
    }

    /// What the guest writes is gone when the machine is.
    #[must_use]
    pub fn thrown_away(self) -> Self {
        Self { access: Access::ThrownAway, ..self }
    }

    /// The guest may not write.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { access: Access::ReadOnly, ..self }
    }

    /// What the guest writes goes to a qcow2 file that is kept.
    #[must_use]
    pub fn overlay(self, path: impl Into<PathBuf>) -> Self {
        Self { access: Access::Overlay(path.into()), ..self }
    }

    /// The image file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bus_reads_as_it_prints() {
        for bus in [Bus::Virtio, Bus::Nvme, Bus::Sata] {
            assert_eq!(bus.to_string().parse::<Bus>().unwrap(), bus);
        }
        assert!("scsi".parse::<Bus>().unwrap_err().contains("virtio, nvme and sata"));
    }
}

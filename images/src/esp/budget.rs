//! Whether an ESP has room for a life of updates, not only for the first image.

use std::fmt;

use super::clusters;

/// What an ESP must hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspNeeds {
    /// One unified kernel image. There are three: one per slot, and a new one beside them before an old one goes.
    pub uki: u64,
    /// The boot loader. There are four: at its own place and at the firmware's, and a new one beside each.
    pub loader: u64,
}

/// Unified kernel images at once.
const UKIS: u64 = 3;
/// Boot loaders at once.
const LOADERS: u64 = 4;
/// For folders, configuration, the random seed, and files that firmware or an administrator puts there.
const OTHER: u64 = 1 << 20;

/// An ESP that is too small.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BudgetError {
    /// Too small for what it is to hold.
    #[error(
        "an ESP of {} leaves {} for files, and {} are needed: {UKIS} unified kernels of {}, {LOADERS} boot loaders of {}, {} for the rest",
        Mib(*.esp), Mib(*.available), Mib(*.needed), Mib(.needs.uki), Mib(.needs.loader), Mib(OTHER)
    )]
    TooSmall {
        /// Bytes of the partition.
        esp: u64,
        /// Bytes for files.
        available: u64,
        /// Bytes needed.
        needed: u64,
        /// For what.
        needs: EspNeeds,
    },
    /// Too small for a FAT32 at all.
    #[error("an ESP of {} is too small for a FAT32 file system, which takes 34 MiB", Mib(*.0))]
    NoFat32(u64),
}

/// Checks that an ESP of `esp` bytes has room for three unified kernels and for new boot loaders beside the old.
/// Gives the bytes that are left beyond that.
pub fn check_budget(esp: u64, needs: EspNeeds) -> Result<u64, BudgetError> {
    let (cluster, count) = clusters(esp).ok_or(BudgetError::NoFat32(esp))?;
    let cluster = u64::from(cluster);
    let whole = |bytes: u64| bytes.div_ceil(cluster).saturating_mul(cluster);
    let needed = (whole(needs.uki).saturating_mul(UKIS))
        .saturating_add(whole(needs.loader).saturating_mul(LOADERS))
        .saturating_add(OTHER);
    let available = count * cluster;
    available.checked_sub(needed).ok_or(BudgetError::TooSmall { esp, available, needed, needs })
}

/// Bytes, shown in MiB with one decimal.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = u128::from(self.0) * 10 / (1 << 20);
        write!(f, "{}.{} MiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_default_esp_holds_three_unified_kernels_of_the_largest_kind() {
        let needs = EspNeeds { uki: 13 * MIB, loader: MIB / 8 };
        assert!(check_budget(512 * MIB, needs).unwrap() > 400 * MIB);
    }

    #[test]
    fn an_esp_for_two_kernels_is_too_small_and_says_for_what() {
        let needs = EspNeeds { uki: 25 * MIB, loader: MIB };
        let error = check_budget(64 * MIB, needs).unwrap_err().to_string();
        assert!(error.starts_with("an ESP of 64.0 MiB leaves 6"), "{error}");
        assert!(
            error.contains("80.0 MiB are needed: 3 unified kernels of 25.0 MiB, 4 boot loaders of 1.0 MiB"),
            "{error}"
        );
        assert_eq!(check_budget(16 * MIB, needs), Err(BudgetError::NoFat32(16 * MIB)));
        assert!(check_budget(512 * MIB, EspNeeds { uki: u64::MAX, loader: u64::MAX }).is_err());
    }
}

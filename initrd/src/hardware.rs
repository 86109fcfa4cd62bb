//! The devices that the kernel found, by the aliases that drivers name them with, and which of them the firmware booted
//! from.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::efi::PciAddress;
use crate::pick::is_at;

const SYS_BUS: &str = "/sys/bus";

/// A bus by the kernel's name for it, which is also how the aliases of its devices begin: `pci`, `virtio`, `scsi`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bus(String);

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device that a driver may be for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its modalias: `virtio:d00000002v00001AF4`.
    pub alias: String,
    /// Its place in the device tree, as sysfs has it.
    pub path: PathBuf,
}

impl Device {
    /// Whether it is the controller at that place, or behind it. An empty place says nothing.
    pub fn is_behind(&self, controller: &[PciAddress]) -> bool {
        self.path.ancestors().any(|path| is_at(&path.to_string_lossy(), controller))
    }
}

/// An alias of a driver: a text with the wildcards of fnmatch(3).
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern, if it is about devices: other aliases name file systems, algorithms and nodes.
    pub fn of_device(alias: &str) -> Option<Self> {
        let (bus, _) = alias.split_once(':')?;
        // `devname:` is a node in `/dev`, which kmod makes from a list; `cpu:` is what accelerators ask of processors.
        let is_bus = !bus.is_empty() && bus.bytes().all(|byte| byte.is_ascii_lowercase());
        (is_bus && !["devname", "cpu"].contains(&bus)).then(|| Self(alias.to_owned()))
    }

    /// The bus that its devices are on.
    pub fn bus(&self) -> Option<Bus> {
        self.0.split_once(':').map(|(bus, _)| Bus(bus.to_owned()))
    }

    /// Whether it names this device.
    pub fn fits(&self, alias: &str) -> bool {
        fits(self.0.as_bytes(), alias.as_bytes())
    }
}

/// Wildcards as drivers' aliases have them: `*`, `?` and sets like `[0-9a]`. Linear but for the last `*`.
fn fits(mut pattern: &[u8], mut text: &[u8]) -> bool {
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let rest = match (pattern, text) {
            ([], []) => return true,
            ([b'*', after @ ..], _) => {
                retry = Some((after, text));
                Some((after, text))
            }
            ([b'?', after @ ..], [_, text @ ..]) => Some((after, text)),
            ([b'[', set @ ..], [byte, text @ ..]) => in_set(set, *byte).map(|after| (after, text)),
            ([one, after @ ..], [byte, text @ ..]) if one == byte => Some((after, text)),
            _ => None,
        };
        (pattern, text) = match (rest, retry) {
            (Some(rest), _) => rest,
            // The last `*` takes one byte more.
            (None, Some((after, [_, longer @ ..]))) => {
                retry = Some((after, longer));
                (after, longer)
            }
            (None, _) => return false,
        };
    }
}

/// What follows the set, if the byte is in it.
fn in_set(set: &[u8], byte: u8) -> Option<&[u8]> {
    let end = set.iter().position(|byte| *byte == b']')?;
    let mut members = &set[..end];
    let mut found = false;
    while let [first, rest @ ..] = members {
        (found, members) = match rest {
            [b'-', last, rest @ ..] => (found || (*first..=*last).contains(&byte), rest),
            _ => (found || *first == byte, rest),
        };
    }
    found.then(|| &set[end + 1..])
}

/// All devices on these buses, whether somebody drives them or not.
pub fn devices(buses: &BTreeSet<Bus>) -> BTreeSet<Device> {
    let mut devices = BTreeSet::new();
    for bus in buses {
        // A bus that the kernel doesn't have has no devices.
        for entry in fs::read_dir(Path::new(SYS_BUS).join(&bus.0).join("devices")).into_iter().flatten().flatten() {
            let Ok(alias) = fs::read_to_string(entry.path().join("modalias")) else { continue };
            let path = fs::canonicalize(entry.path()).unwrap_or_default();
            devices.insert(Device { alias: alias.trim_end().to_owned(), path });
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_fit_as_the_kernel_s_tools_have_it() {
        let sata = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        for (pattern, alias, expected) in [
            ("pci:v*d*sv*sd*bc01sc06i01*", sata, true),
            ("pci:v00008086d00002922sv*sd*bc*sc*i*", sata, true),
            ("pci:v00008086d00002923sv*sd*bc*sc*i*", sata, false),
            ("pci:v*d*sv*sd*bc01sc08i02*", sata, false),
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("virtio:d00000002v*", "virtio:d00000012v00001AF4", false),
            ("scsi:t-0x0[07e]*", "scsi:t-0x0e", true),
            ("scsi:t-0x0[0-3]*", "scsi:t-0x07", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
            ("a[b", "ab", false),
        ] {
            assert_eq!(Pattern(pattern.to_owned()).fits(alias), expected, "{pattern} {alias}");
        }
    }

    #[test]
    fn only_aliases_of_devices_are_about_devices() {
        let bus = |alias| Pattern::of_device(alias).and_then(|pattern| pattern.bus()).map(|bus| bus.to_string());
        assert_eq!(bus("pci:v*d*"), Some("pci".to_owned()));
        assert_eq!(bus("xen:vbd"), Some("xen".to_owned()));
        for other in
            ["fs-erofs", "devname:mapper/control", "crypto-sha256", "cpu:type:x86,ven*", "char-major-10-236", ":x"]
        {
            assert_eq!(bus(other), None, "{other}");
        }
    }

    #[test]
    fn a_device_behind_the_firmware_s_controller_is_told_from_others() {
        let device = |path: &str| Device { alias: String::new(), path: path.into() };
        let controller = [PciAddress { device: 3, function: 0 }];
        assert!(device("/sys/devices/pci0000:00/0000:00:03.0").is_behind(&controller));
        assert!(device("/sys/devices/pci0000:00/0000:00:03.0/virtio0").is_behind(&controller));
        assert!(!device("/sys/devices/pci0000:00/0000:00:1f.2").is_behind(&controller));
        assert!(!device("/sys/devices/pci0000:00/0000:00:03.0/virtio0").is_behind(&[]));
    }

    proptest! {
        #[test]
        fn a_pattern_without_wildcards_fits_itself_alone(text in "[a-z:0-9]{0,20}", other in "[a-z:0-9]{0,20}") {
            prop_assert!(Pattern(text.clone()).fits(&text));
            prop_assert_eq!(Pattern(text.clone()).fits(&other), text == other);
            let (open, longer) = (format!("{text}*"), format!("{text}{other}"));
            prop_assert!(Pattern(open).fits(&longer));
        }

        #[test]
        fn any_pattern_comes_to_an_end(pattern in "[a\\[\\]*?-]{0,24}", text in "[a-b]{0,24}") {
            let _ = Pattern(pattern).fits(&text);
        }
    }
}

//! What the firmware and the boot loader say about the disk they started from.
//!
//! The variables can be written by whoever has the run of the machine's previous system: they are read as bounded bytes
//! with checked offsets, and all they decide is which disk is looked at; what is opened there is checked against the root
//! hash.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use slipway_images::disk::PartGuid;
use uuid::Uuid;

const LOADER_GUID: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const GLOBAL_GUID: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// More than any of these variables has.
const MAX_VARIABLE_BYTES: u64 = 4096;

/// The kernel stores a variable's attributes in front of its data.
const ATTRIBUTE_BYTES: usize = 4;

/// A PCI device on its bus, as both a UEFI device path and a sysfs path name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciAddress {
    /// Device, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

/// What is known about where the machine was started from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootedFrom {
    /// The GUID of the ESP (`LoaderDevicePartUUID`, systemd boot loader interface).
    pub esp: Option<PartGuid>,
    /// The PCI devices on the way from the root bus to the disk's controller, from the entry that the firmware booted
    /// (UEFI specification 2.10, chapters 3.1.3 and 10.3.2.1); empty when it doesn't say.
    pub controller: Vec<PciAddress>,
}

impl BootedFrom {
    /// Reads the variables below an efivarfs. What is missing or makes no sense is not known.
    pub fn read(efivars: &Path) -> Self {
        let variable = |name: &str, guid: &str| read_variable(&efivars.join(format!("{name}-{guid}")));
        let esp = variable("LoaderDevicePartUUID", LOADER_GUID).and_then(|data| parse_part_guid(&data));
        let controller = variable("BootCurrent", GLOBAL_GUID)
            .and_then(|data| data.first_chunk().map(|number| u16::from_le_bytes(*number)))
            .and_then(|number| variable(&format!("Boot{number:04X}"), GLOBAL_GUID))
            .and_then(|data| parse_controller(&data))
            .unwrap_or_default();
        Self { esp, controller }
    }
}

fn read_variable(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_VARIABLE_BYTES).read_to_end(&mut bytes).ok()?;
    bytes.get(ATTRIBUTE_BYTES..).map(<[u8]>::to_vec)
}

/// A GUID as UTF-16 text.
fn parse_part_guid(data: &[u8]) -> Option<PartGuid> {
    let units = data.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    Uuid::try_parse(text.trim()).ok().map(PartGuid)
}

/// The PCI nodes of the device path in an `EFI_LOAD_OPTION`.
fn parse_controller(option: &[u8]) -> Option<Vec<PciAddress>> {
    const HEADER: usize = 6;
    let path_bytes = usize::from(u16::from_le_bytes(*option.get(4..)?.first_chunk()?));
    let description_units = option.get(HEADER..)?.chunks_exact(2).position(|unit| unit == [0, 0])?;
    let start = HEADER + (description_units + 1) * 2;
    let mut path = option.get(start..start.checked_add(path_bytes)?)?;
    let mut controller = Vec::new();
    // A node is type, subtype, length with these four bytes, and data; type 0x7f ends the path.
    while let [kind, subtype, low, high, ..] = *path {
        let length = usize::from(u16::from_le_bytes([low, high]));
        if kind == 0x7f {
            break;
        }
        // A length below four would never get on.
        let data = path.get(4..length)?;
        if let (1, 1, [function, device]) = (kind, subtype, data) {
            controller.push(PciAddress { device: *device, function: *function });
        }
        path = &path[length..];
    }
    Some(controller)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    /// What OVMF stores for `-device virtio-blk-pci,addr=3`: PciRoot(0x0)/Pci(0x3,0x0).
    fn load_option() -> Vec<u8> {
        let path =
            [&[2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0][..], &[1, 1, 6, 0, 0, 3], &[0x7f, 0xff, 4, 0]].concat();
        let length = u16::try_from(path.len()).unwrap().to_le_bytes();
        [&1_u32.to_le_bytes()[..], &length, &utf16("UEFI Misc Device"), &path, b"optional data"].concat()
    }

    #[test]
    fn variables_are_read_with_their_attributes_in_front() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, data: &[u8]| {
            std::fs::write(folder.path().join(name), [&7_u32.to_le_bytes()[..], data].concat()).unwrap();
        };
        assert_eq!(BootedFrom::read(folder.path()), BootedFrom::default());
        let esp = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
        write(&format!("LoaderDevicePartUUID-{LOADER_GUID}"), &utf16(esp));
        write(&format!("BootCurrent-{GLOBAL_GUID}"), &[0x0a, 0]);
        write(&format!("Boot000A-{GLOBAL_GUID}"), &load_option());
        let booted = BootedFrom::read(folder.path());
        assert_eq!(booted.esp.unwrap().to_string(), esp.to_lowercase());
        assert_eq!(booted.controller, [PciAddress { device: 3, function: 0 }]);
    }

    proptest! {
        #[test]
        fn damaged_variables_are_not_known_or_read(
            place in 0..70_usize, byte: u8, length in 0..100_usize, noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut option = load_option();
            option[place] = byte;
            option.truncate(length);
            let _ = parse_controller(&option);
            let _ = parse_controller(&noise);
            let _ = parse_part_guid(&noise);
        }
    }
}

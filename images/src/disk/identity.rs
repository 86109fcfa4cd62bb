//! Identifiers that are derived rather than drawn, so that the same image has the same ones wherever it is built.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::PartGuid;
use super::layout::{Part, Slot};
use crate::names::PartitionLabel;

/// The UUID (RFC 9562, version 8) of `purpose` for what `parts` name: the first 128 bits of a SHA-256 over all of them,
/// each with its length.
pub fn derived_uuid(purpose: &str, parts: &[&str]) -> Uuid {
    let mut hasher = Sha256::new();
    for part in ["slipway", purpose].iter().chain(parts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// What the disk, its ESP and its empty slots are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskIdentity {
    /// The disk's GUID.
    pub disk: Uuid,
    /// The ESP's GUID.
    pub esp: PartGuid,
    /// The serial number of the ESP's file system.
    pub esp_serial: u32,
    /// GUIDs of the partitions of slot A and B while they are empty: root, verity.
    empty: [[PartGuid; 2]; 2],
}

impl DiskIdentity {
    /// The identity of the disk image that is built for this image.
    pub fn derive(label: &PartitionLabel) -> Self {
        let uuid = |purpose| derived_uuid(purpose, &[label.id().as_str(), label.version().as_str()]);
        let guid = |purpose| PartGuid(uuid(purpose));
        let [a, b, c, d, ..] = *uuid("esp-serial").as_bytes();
        Self {
            disk: uuid("disk"),
            esp: guid("esp"),
            esp_serial: u32::from_be_bytes([a, b, c, d]),
            empty: [[guid("empty-root-a"), guid("empty-verity-a")], [guid("empty-root-b"), guid("empty-verity-b")]],
        }
    }

    /// The GUID of a partition as long as its slot holds no image.
    pub fn empty_guid(&self, part: Part) -> PartGuid {
        let of_slot = |slot| match slot {
            Slot::A => self.empty[0],
            Slot::B => self.empty[1],
        };
        match part {
            Part::Esp => self.esp,
            Part::Root(slot) => of_slot(slot)[0],
            Part::Verity(slot) => of_slot(slot)[1],
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn derived_uuids_are_version_8_and_depend_on_every_part_and_border() {
        let uuid = derived_uuid("disk", &["web", "1"]);
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
        assert_eq!(uuid, derived_uuid("disk", &["web", "1"]));
        let others = [("esp", ["web", "1"]), ("disk", ["we", "b1"]), ("disk", ["web", "2"])];
        assert!(others.iter().all(|(purpose, parts)| derived_uuid(purpose, parts) != uuid));
    }

    #[test]
    fn derived_uuids_do_not_change_from_release_to_release() {
        assert_eq!(derived_uuid("disk", &["web", "1"]).to_string(), "dbc3dfa5-c1ca-8eec-82f5-fc846aa1ac06");
    }

    #[test]
    fn every_partition_has_a_guid_of_its_own() {
        let identity = DiskIdentity::derive(&"web_1".parse().unwrap());
        let guids: BTreeSet<_> = Part::ALL.iter().map(|&part| identity.empty_guid(part)).collect();
        assert_eq!(guids.len(), Part::ALL.len());
    }
}

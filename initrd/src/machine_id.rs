//! The machine id, derived from the state partition's GUID: as stable as the state it belongs to, and known before that
//! is mounted (docs/adr/0003-machine-id-from-state-partition.md).

use std::fmt;

use sha2::{Digest as _, Sha256};
use slipway_images::disk::PartGuid;
use uuid::{Builder, Uuid};

const DOMAIN: &[u8] = b"slipway machine-id v1";

/// Where systemd-repart looks for additions to the image's definition of the state partition.
pub const REPART_DROP_IN: &str = "/run/repart.d/50-state.conf.d/uuid.conf";

/// A machine id, machine-id(5). Shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineId(Uuid);

impl MachineId {
    /// The first 16 bytes of SHA-256 over the domain text and the GUID's 16 bytes in the order of its text, marked as a
    /// random UUID (version 4), which is what systemd wants a machine id to look like.
    pub fn of_state(guid: PartGuid) -> Self {
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(guid.0.as_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Self(Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// A GUID for a state partition that has still to be made, from 16 random bytes.
pub fn new_state_guid(random: [u8; 16]) -> PartGuid {
    PartGuid(Builder::from_random_bytes(random).into_uuid())
}

/// The drop-in that makes systemd-repart give the state partition this GUID.
pub fn repart_drop_in(guid: PartGuid) -> String {
    format!("# The machine id of this boot derives from this GUID.\n[Partition]\nUUID={guid}\n")
}

#[cfg(test)]
mod tests {
    use uuid::uuid;

    use super::*;

    #[test]
    fn the_id_is_a_version_4_uuid_of_the_documented_hash() {
        let guid = PartGuid(uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"));
        // `printf 'slipway machine-id v1\x4d\x21\xb0\x16\xb5\x34\x45\xc2\xa9\xfb\x5c\x16\xe0\x91\xfd\x2d' | sha256sum`
        // gives 4f29dba4dc5288198d81d4b19197340e…, here with the version and variant digits set.
        assert_eq!(MachineId::of_state(guid).to_string(), "4f29dba4dc5248198d81d4b19197340e");
    }

    #[test]
    fn the_drop_in_is_what_repart_reads() {
        let guid = new_state_guid([0; 16]);
        assert!(repart_drop_in(guid).ends_with("[Partition]\nUUID=00000000-0000-4000-8000-000000000000\n"));
    }
}

//! What userspace is told of the boot: the facts as JSON, and names for the partitions of this very disk.

use std::fmt::Write as _;

use slipway_images::boot::{BootFacts, BootPartition};
use slipway_images::disk::TypeGuid;

/// Where the names go.
pub const UDEV_RULES: &str = "/run/udev/rules.d/61-slipway.rules";

/// A link to the node of the disk that was booted from. Unlike udev's links it is there from the start.
pub const DISK_LINK: &str = "/run/slipway/disk";

/// A link to the node of the state partition; where that has still to be made, to the node that it will have.
pub const STATE_LINK: &str = "/run/slipway/state";

/// udev rules that give the partitions of the booted disk their links below `/dev/slipway`. Another disk with a copy of
/// the image gets none. The state partition goes by its type, since it may be made later.
pub fn udev_rules(facts: &BootFacts) -> String {
    let disk = &facts.disk;
    let partitions = &facts.partitions;
    let mut rules = format!(
        "# The disk that this machine was started from, as the initrd found it.\n\
         SUBSYSTEM!=\"block\", GOTO=\"slipway_end\"\n\
         KERNEL==\"{disk}\", SYMLINK+=\"slipway/disk\"\n"
    );
    let mut link = |partition: &Option<BootPartition>, name: &str| {
        if let Some(BootPartition { device, .. }) = partition {
            // Writing to a string does not fail.
            let _ = writeln!(rules, "KERNEL==\"{device}\", SYMLINK+=\"slipway/{name}\"");
        }
    };
    link(&partitions.esp, "esp");
    link(&partitions.root_a, "root-a");
    link(&partitions.verity_a, "verity-a");
    link(&partitions.root_b, "root-b");
    link(&partitions.verity_b, "verity-b");
    let _ = writeln!(
        rules,
        "KERNELS==\"{disk}\", ENV{{DEVTYPE}}==\"partition\", ENV{{ID_PART_ENTRY_TYPE}}==\"{}\", \
         SYMLINK+=\"slipway/state\"\n\
         LABEL=\"slipway_end\"",
        TypeGuid::VAR
    );
    rules
}

/// The line for the log.
pub fn summary(facts: &BootFacts) -> String {
    let hash = facts.root_hash.to_hex();
    let took = facts.switch_root_ms.saturating_sub(facts.initrd_started_ms);
    format!("root of slot {} on {}, root hash {}…, in {took} ms", facts.slot, facts.disk, &hash[..16])
}

#[cfg(test)]
mod tests {
    use slipway_images::boot::{BootPartitions, GptUsed};
    use slipway_images::disk::{PartGuid, Slot};
    use slipway_images::verity::RootHash;

    use super::*;

    #[test]
    fn the_rules_name_the_partitions_of_the_booted_disk_only() {
        let partition =
            |number| Some(BootPartition { number, device: format!("vda{number}"), guid: PartGuid(uuid::Uuid::nil()) });
        let partitions = BootPartitions {
            esp: partition(1),
            root_a: partition(2),
            verity_a: partition(3),
            root_b: partition(4),
            verity_b: partition(5),
            state: None,
        };
        let facts = BootFacts {
            disk: "vda".into(),
            slot: Slot::A,
            root_hash: RootHash::from_bytes([0xba; 32]),
            root_partition: 2,
            partitions,
            gpt_used: GptUsed::Primary,
            initrd_started_ms: 2_000,
            switch_root_ms: 2_345,
        };
        let expected = r#"# The disk that this machine was started from, as the initrd found it.
SUBSYSTEM!="block", GOTO="slipway_end"
KERNEL=="vda", SYMLINK+="slipway/disk"
KERNEL=="vda1", SYMLINK+="slipway/esp"
KERNEL=="vda2", SYMLINK+="slipway/root-a"
KERNEL=="vda3", SYMLINK+="slipway/verity-a"
KERNEL=="vda4", SYMLINK+="slipway/root-b"
KERNEL=="vda5", SYMLINK+="slipway/verity-b"
KERNELS=="vda", ENV{DEVTYPE}=="partition", ENV{ID_PART_ENTRY_TYPE}=="4d21b016-b534-45c2-a9fb-5c16e091fd2d", SYMLINK+="slipway/state"
LABEL="slipway_end"
"#;
        assert_eq!(udev_rules(&facts), expected);
        assert_eq!(summary(&facts), "root of slot a on vda, root hash babababababababa…, in 345 ms");
    }
}

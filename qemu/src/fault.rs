//! Disks that fail under a running machine: QEMU's `blkdebug` driver between a disk and its file.

use serde_json::{Value, json};

use crate::disk::{Access, Disk, Format};

/// What a disk can't do: it answers with an I/O error (`EIO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Reads that include this sector of 512 bytes.
    Read {
        /// Counted from the start of the disk.
        sector: u64,
    },
    /// Writes that include this sector of 512 bytes; nothing of them is written.
    Write {
        /// Counted from the start of the disk.
        sector: u64,
    },
    /// Flushes.
    Flush,
}

impl DiskFault {
    /// As `blkdebug` has it. The event `none` is always.
    fn rule(self) -> Value {
        let (kind, sector) = match self {
            Self::Read { sector } => ("read", json!(sector)),
            Self::Write { sector } => ("write", json!(sector)),
            Self::Flush => ("flush", Value::Null),
        };
        let mut rule = json!({ "event": "none", "iotype": kind });
        if !sector.is_null() {
            rule["sector"] = sector;
        }
        rule
    }
}

/// The nodes of a disk in QEMU's block layer: what the device has, its file, and `blkdebug` when it is between them.
pub(crate) struct Nodes {
    pub(crate) format: String,
    pub(crate) file: String,
    faults: String,
}

impl Nodes {
    pub(crate) fn of(index: usize) -> Self {
        let name = |what: &str| format!("disk{index}-{what}");
        Self { format: name("format"), file: name("file"), faults: name("faults") }
    }

    /// QMP commands, with arguments, that leave the disk with these faults and no others. `broken`: it has some now.
    pub(crate) fn commands(&self, faults: &[DiskFault], broken: bool) -> Vec<(&'static str, Value)> {
        let mut commands = Vec::new();
        if broken {
            commands.push(self.put_upon(&self.file));
            commands.push(("blockdev-del", json!({ "node-name": self.faults })));
        }
        if !faults.is_empty() {
            let rules: Vec<Value> = faults.iter().map(|fault| fault.rule()).collect();
            let node = json!({
                "driver": "blkdebug", "node-name": self.faults, "image": self.file, "inject-error": rules,
            });
            commands.push(("blockdev-add", node));
            commands.push(self.put_upon(&self.faults));
        }
        commands
    }

    /// What isn't said again is as if it had never been said.
    fn put_upon(&self, node: &str) -> (&'static str, Value) {
        let disk = json!({
            "driver": Format::Raw.name(), "node-name": self.format, "file": node,
            "discard": "unmap", "detect-zeroes": "unmap",
        });
        ("blockdev-reopen", json!({ "options": [disk] }))
    }
}

/// Whether faults can be had of this disk: of others, more options would have to be said again.
pub(crate) fn can_break(disk: &Disk) -> bool {
    disk.format == Format::Raw && disk.access == Access::Direct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_put_in_between_and_taken_out_before_others_come() {
        let nodes = Nodes::of(1);
        let names =
            |commands: Vec<(&'static str, Value)>| commands.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let add = ["blockdev-add", "blockdev-reopen"];
        let remove = ["blockdev-reopen", "blockdev-del"];
        assert_eq!(names(nodes.commands(&[DiskFault::Flush], false)), add);
        assert_eq!(names(nodes.commands(&[DiskFault::Flush], true)), [remove, add].concat());
        assert_eq!(names(nodes.commands(&[], true)), remove);
        assert_eq!(names(nodes.commands(&[], false)), [""; 0]);
        let commands = nodes.commands(&[DiskFault::Write { sector: 7 }, DiskFault::Flush], false);
        let rules =
            json!([{ "event": "none", "iotype": "write", "sector": 7 }, { "event": "none", "iotype": "flush" }]);
        assert_eq!((&commands[0].1["image"], &commands[0].1["inject-error"]), (&"disk1-file".into(), &rules));
        assert_eq!(commands[1].1["options"][0]["file"], "disk1-faults");
    }
}

//! The partition table: which copy is good, and what each partition is for.

use std::fs::File;
use std::sync::Arc;

use serde::Serialize;
use slipway_images::disk::{Partition, PartitionTable, RejectReason, Slot, TableCopy, TypeGuid};
use slipway_images::names::EMPTY_LABEL;

use super::check::{Checks, chain};

/// A partition table.
#[derive(Debug, Serialize)]
pub struct TableFacts {
    /// Whether the copy at the start of the disk is whole.
    pub primary_good: bool,
    /// Whether the copy at its end is.
    pub backup_good: bool,
    /// GUID of the disk.
    pub disk_guid: String,
    /// Bytes of a sector.
    pub sector_size: u64,
    /// The partitions, by number.
    pub partitions: Vec<PartitionFacts>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionFacts {
    /// Its number, from 1.
    pub number: u32,
    /// What it is for: `esp`, `root-a`, `verity-a`, `root-b`, `verity-b`, `state` or `other`.
    pub role: String,
    /// Its label.
    pub label: String,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Its own GUID.
    pub guid: String,
    /// GUID of its type.
    pub type_guid: String,
}

impl PartitionFacts {
    /// Whether it belongs to a slot that holds no image.
    pub fn is_empty_slot(&self) -> bool {
        self.label == EMPTY_LABEL
    }
}

/// The first partition with a role.
pub fn find<'a>(partitions: &'a [PartitionFacts], role: &str) -> Option<&'a PartitionFacts> {
    partitions.iter().find(|partition| partition.role == role)
}

/// Reads both copies of the table.
pub fn read(disk: &Arc<File>, checks: &mut Checks) -> Option<TableFacts> {
    let copy = |which| PartitionTable::read_copy(&mut &**disk, which).map_err(|error| chain(&error));
    let (primary, backup) = (copy(TableCopy::Primary), copy(TableCopy::Backup));
    let (primary_good, backup_good) = (primary.is_ok(), backup.is_ok());
    let found = |table: &Result<PartitionTable, String>| match table {
        Ok(table) => Ok(format!("{} partitions", table.partitions.len())),
        Err(error) => Err(error.clone()),
    };
    checks.note("partition table at the start", found(&primary));
    checks.note("partition table at the end", found(&backup));
    if let (Ok(primary), Ok(backup)) = (&primary, &backup) {
        let same = primary.disk_guid == backup.disk_guid
            && primary.partitions == backup.partitions
            && primary.rejected == backup.rejected;
        let outcome = if same { Ok("the same".into()) } else { Err("they differ".into()) };
        checks.note("both partition tables", outcome);
    }
    let table = primary.or(backup).ok()?;
    check_entries(&table, checks);
    let facts = TableFacts {
        primary_good,
        backup_good,
        disk_guid: table.disk_guid.to_string(),
        sector_size: table.sector_size.bytes(),
        partitions: roles(&table.partitions),
    };
    check_roles(&facts.partitions, checks);
    Some(facts)
}

fn check_entries(table: &PartitionTable, checks: &mut Checks) {
    for entry in &table.rejected {
        let why = match entry.reason {
            RejectReason::OutOfRange => "lies outside of the usable sectors",
            RejectReason::Overlap => "shares sectors with another one",
        };
        checks.note(format!("partition {}", entry.number), Err(why.into()));
    }
    let mut guids: Vec<_> = table.partitions.iter().map(|partition| partition.guid).collect();
    guids.sort_unstable();
    if let Some([guid, ..]) = guids.windows(2).find(|pair| pair[0] == pair[1]) {
        checks.note("partition GUIDs", Err(format!("more than one partition has {guid}")));
    }
}

/// A slot's name is that of its place: `a` is the first of its type, as the initrd counts.
fn roles(partitions: &[Partition]) -> Vec<PartitionFacts> {
    let before = |index: usize| {
        partitions[..index].iter().filter(|other| other.type_guid == partitions[index].type_guid).count()
    };
    let slot_role = |kind: &str, place| match place {
        0 => format!("{kind}-{}", Slot::A),
        1 => format!("{kind}-{}", Slot::B),
        _ => "other".to_owned(),
    };
    let role = |index: usize| match (partitions[index].type_guid, before(index)) {
        (TypeGuid::ESP, 0) => "esp".to_owned(),
        (TypeGuid::VAR, 0) => "state".to_owned(),
        (TypeGuid::ROOT_X86_64, place) => slot_role("root", place),
        (TypeGuid::ROOT_VERITY_X86_64, place) => slot_role("verity", place),
        _ => "other".to_owned(),
    };
    let facts = |(index, partition): (usize, &Partition)| PartitionFacts {
        number: partition.number.0,
        role: role(index),
        label: partition.name.clone(),
        start: partition.start,
        size: partition.size,
        guid: partition.guid.to_string(),
        type_guid: partition.type_guid.to_string(),
    };
    partitions.iter().enumerate().map(facts).collect()
}

fn check_roles(partitions: &[PartitionFacts], checks: &mut Checks) {
    let wanted = ["esp", "root-a", "verity-a", "root-b", "verity-b"];
    let missing: Vec<&str> = wanted.into_iter().filter(|role| find(partitions, role).is_none()).collect();
    let outcome = if missing.is_empty() {
        Ok("an ESP and two slots".to_owned())
    } else {
        Err(format!("{} not there", missing.join(", ")))
    };
    checks.note("partitions of an image", outcome);
}

//! A model of what starts a machine: firmware that finds the ESP, systemd-boot with its order and its counters, and the
//! initrd that opens a verified root. It reads with `fatfs` and the readers of `slipway_images`, not with the agent's.

use std::io::{Read, Seek, Write};

use fatfs::{FileSystem, FsOptions};
use slipway_images::disk::{Partition, PartitionTable, TypeGuid};
use slipway_images::esp;
use slipway_images::names::{BootEntryName, BootTries, ENTRY_FOLDER, PartitionLabel, TriesLeft};
use slipway_images::verity::{RootHash, VerityTree};

use super::recorded::{Cursor, Image};

/// What was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booted {
    pub label: PartitionLabel,
    pub root_hash: RootHash,
    /// Boots of other entries that failed before it.
    pub failures: Vec<String>,
}

/// A boot entry with what its kernel image says.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: BootEntryName,
    pub kernel: Vec<u8>,
}

/// The entries on the ESP. A file there that is no entry is an error: nothing else may ever appear.
pub fn entries(image: &mut Image) -> Result<Vec<Entry>, String> {
    let mut cursor = esp_of(image)?;
    let files = esp::list(&mut cursor).map_err(|error| format!("ESP: {error:?}"))?;
    let mut entries = Vec::new();
    for file in files {
        let Some(name) = file.path.strip_prefix(&format!("{ENTRY_FOLDER}/")) else { continue };
        let name: BootEntryName = name.parse().map_err(|_| format!("`{name}` appeared on the ESP"))?;
        let kernel =
            esp::read(&mut cursor, &file.path, 1 << 20).map_err(|error| format!("{}: {error:?}", file.path))?;
        entries.push(Entry { name, kernel });
    }
    Ok(entries)
}

/// The order of systemd-boot 257: entries without tries left last, then by sort key, then the newest version, then the
/// file name downwards.
fn in_order(entries: &mut [Entry]) {
    let spent = |entry: &Entry| matches!(entry.name.tries(), BootTries::Counted { left: TriesLeft(0), .. });
    entries.sort_by(|a, b| {
        let sort_key = |entry: &Entry| field(&entry.kernel, "id").unwrap_or_default();
        spent(a)
            .cmp(&spent(b))
            .then_with(|| sort_key(a).cmp(&sort_key(b)))
            .then_with(|| b.name.label().version().cmp(a.name.label().version()))
            .then_with(|| b.name.to_string().cmp(&a.name.to_string()))
    });
}

/// Entries that the boot loader may still start, and that lead to no verified root. There must never be one, whether or not
/// another entry comes before it.
pub fn broken_entries(image: &mut Image) -> Result<Vec<String>, String> {
    let mut broken = Vec::new();
    for entry in entries(image)? {
        if !matches!(entry.name.tries(), BootTries::Counted { left: TriesLeft(0), .. })
            && let Err(error) = open_root(image, &entry)
        {
            broken.push(format!("{}: {error}", entry.name));
        }
    }
    Ok(broken)
}

/// Starts the machine, as often as it restarts by itself, and counts tries on the ESP as systemd-boot does. `Err` says why
/// it never comes up.
pub fn boot(image: &mut Image) -> Result<Booted, String> {
    boot_with(image, true)
}

/// The same without touching the ESP: the counters are only counted in mind.
pub fn would_boot(image: &mut Image) -> Result<Booted, String> {
    boot_with(image, false)
}

fn boot_with(image: &mut Image, count: bool) -> Result<Booted, String> {
    let mut entries = entries(image)?;
    // What isn't a kernel image by its head is no entry.
    entries.retain(|entry| entry.kernel.starts_with(b"roothash="));
    let mut failures = Vec::new();
    for _ in 0..12 {
        in_order(&mut entries);
        let Some(first) = entries.first_mut() else { return Err("no boot entry".to_owned()) };
        if let BootTries::Counted { left: TriesLeft(left), done } = first.name.tries() {
            let (before, label) = (first.name.to_string(), first.name.label());
            let after = format!("{label}+{}-{}.efi", left.saturating_sub(1), done.0 + 1);
            if count {
                rename(image, &before, &after)?;
            }
            first.name = after.parse().unwrap();
        }
        let entry = first.clone();
        match open_root(image, &entry) {
            Ok(root_hash) => return Ok(Booted { label: entry.name.label().clone(), root_hash, failures }),
            Err(error) => failures.push(format!("{}: {error}", entry.name)),
        }
    }
    Err(format!("restarts for ever: {failures:?}"))
}

/// The initrd: partitions by the halves of the root hash, then every block of the root.
fn open_root(image: &mut Image, entry: &Entry) -> Result<RootHash, String> {
    let root_hash: RootHash =
        field(&entry.kernel, "roothash").and_then(|hash| hash.parse().ok()).ok_or("kernel image is damaged")?;
    if field(&entry.kernel, "end").as_deref() != Some("end") {
        return Err("kernel image is truncated".to_owned());
    }
    let table = PartitionTable::read(&mut Cursor::whole(image)).map_err(|error| error.to_string())?;
    let find = |guid| table.find(guid).cloned().map_err(|error| error.to_string());
    let (root, verity) = (find(root_hash.root_part_guid().into())?, find(root_hash.verity_part_guid().into())?);
    let bytes = |image: &Image, partition: &Partition| {
        let mut bytes = vec![0; usize::try_from(partition.size).unwrap()];
        image.read(&mut bytes, partition.start).unwrap();
        bytes
    };
    let hashes = bytes(image, &verity);
    let tree = VerityTree::read(&hashes, verity.size, &root_hash).map_err(|error| error.to_string())?;
    let data = bytes(image, &root);
    let blocks = data.chunks_exact(4096).zip((0..).map(slipway_images::verity::BlockIndex)).take(tree.leaves().len());
    for (block, index) in blocks {
        if !tree.matches(index, block) {
            return Err(format!("block {index} is damaged"));
        }
    }
    Ok(root_hash)
}

/// A field of the text that stands for a kernel image.
fn field(kernel: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(kernel).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

pub fn esp_of(image: &mut Image) -> Result<Cursor<'_>, String> {
    let table = PartitionTable::read(&mut Cursor::whole(image)).map_err(|error| error.to_string())?;
    let esp = table.partitions.iter().find(|partition| partition.type_guid == TypeGuid::ESP).ok_or("no ESP")?;
    Ok(Cursor { image, start: esp.start, len: esp.size, position: 0 })
}

/// Renames as a driver does that is not the agent's.
fn rename(image: &mut Image, from: &str, to: &str) -> Result<(), String> {
    with_fatfs(esp_of(image)?, |folder| folder.rename(from, folder, to))
}

/// Does something in the folder of boot entries with `fatfs`.
pub fn with_fatfs<D: Read + Write + Seek>(
    device: D,
    act: impl FnOnce(&fatfs::Dir<'_, D>) -> std::io::Result<()>,
) -> Result<(), String> {
    let file_system = FileSystem::new(device, FsOptions::new()).map_err(|error| error.to_string())?;
    let folder = file_system.root_dir().open_dir(ENTRY_FOLDER).map_err(|error| error.to_string())?;
    act(&folder).map_err(|error| error.to_string())
}

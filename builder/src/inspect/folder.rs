//! The files beside a disk: what `manifest.json` says of them, and of the disk.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use slipway_images::digest::Digest;
use slipway_images::manifest::{MAX_BYTES, Manifest, ManifestPackage, PartFile};

use super::bytes::Part;
use super::check::{Checks, chain};
use super::esp::EspFacts;
use super::root::RootFacts;
use super::table::{TableFacts, find};
use crate::build::{MANIFEST, SBOM};

/// The largest bill of materials that is read.
const SBOM_MAX: u64 = 64 << 20;

/// What a manifest says.
#[derive(Debug, Serialize)]
pub struct ManifestFacts {
    /// Image id.
    pub id: String,
    /// Image version.
    pub version: String,
    /// One line for people.
    pub description: String,
    /// The root hash, 64 hexadecimal digits.
    pub root_hash: String,
    /// How many packages it lists: those of the root, and those that only the boot files come from.
    pub packages: usize,
    /// Digest of the recipe's meaning.
    pub recipe: Digest,
    /// Digest of the lock.
    pub lock: Digest,
}

/// What of a CycloneDX bill is compared; the rest of it may be anything.
#[derive(Deserialize)]
struct Bill {
    components: Vec<BillComponent>,
}

#[derive(Deserialize)]
struct BillComponent {
    name: String,
    version: String,
    hashes: Vec<BillHash>,
}

#[derive(Deserialize)]
struct BillHash {
    content: String,
}

/// What was found on the disk.
pub struct Seen<'a> {
    pub disk: &'a Arc<File>,
    pub table: Option<&'a TableFacts>,
    pub esp: Option<&'a EspFacts>,
    pub roots: &'a [RootFacts],
}

/// Reads the manifest in `folder`, and checks the files that it names and the disk against it.
pub fn read(folder: &Path, seen: &Seen<'_>, checks: &mut Checks) -> Option<ManifestFacts> {
    let manifest = match read_manifest(&folder.join(MANIFEST)) {
        Ok(manifest) => manifest,
        Err(why) => {
            checks.note(MANIFEST, Err(why));
            return None;
        }
    };
    checks.note(MANIFEST, Ok(format!("of {}, with {} packages", manifest.label, manifest.packages.len())));
    check_files(folder, &manifest, checks);
    check_sbom(&folder.join(SBOM), &manifest, checks);
    check_disk(&manifest, seen, checks);
    Some(ManifestFacts {
        id: manifest.label.id().to_string(),
        version: manifest.label.version().to_string(),
        description: manifest.description.clone(),
        root_hash: manifest.root_hash.to_hex(),
        packages: manifest.packages.len(),
        recipe: manifest.recipe,
        lock: manifest.lock,
    })
}

fn read_manifest(path: &Path) -> Result<Manifest, String> {
    let mut json = Vec::new();
    // One byte more than allowed, so that the reader sees that it is too much.
    let limit = MAX_BYTES as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut json)).map_err(|error| chain(&error))?;
    Manifest::from_json(&json).map_err(|error| chain(&error))
}

/// Root, hash tree and kernel image, each with its size and digest.
fn parts(manifest: &Manifest) -> [PartFile; 3] {
    let root = &manifest.parts.root;
    let root = PartFile { file: root.file.clone(), size: root.size, sha256: root.sha256 };
    [root, manifest.parts.verity.clone(), manifest.parts.uki.clone()]
}

fn check_files(folder: &Path, manifest: &Manifest, checks: &mut Checks) {
    let check = |part: &PartFile| {
        let file = File::open(folder.join(&part.file)).map_err(|error| chain(&error))?;
        let size = file.metadata().map_err(|error| chain(&error))?.len();
        if size != part.size {
            return Err(format!("has {size} bytes, and {MANIFEST} says {}", part.size));
        }
        let (found, _) =
            Digest::of_reader(&mut BufReader::with_capacity(1 << 20, file)).map_err(|error| chain(&error))?;
        if found == part.sha256 {
            Ok(format!("SHA-256 as {MANIFEST} says"))
        } else {
            Err(format!("SHA-256 is {found}, and {MANIFEST} says {}", part.sha256))
        }
    };
    let parts = parts(manifest);
    let outcomes: Vec<_> = parts.par_iter().map(check).collect();
    for (part, outcome) in parts.iter().zip(outcomes) {
        checks.note(part.file.clone(), outcome);
    }
}

/// The bill of materials must list each package of the manifest, with the same version and content.
fn check_sbom(path: &Path, manifest: &Manifest, checks: &mut Checks) {
    let outcome = (|| {
        let mut json = Vec::new();
        File::open(path).and_then(|file| file.take(SBOM_MAX).read_to_end(&mut json)).map_err(|error| chain(&error))?;
        let bill: Bill = serde_json::from_slice(&json).map_err(|error| format!("is malformed: {error}"))?;
        let lists = |package: &&ManifestPackage| {
            bill.components.iter().any(|component| {
                let same = component.name == package.name && component.version == package.version;
                same && component.hashes.iter().any(|hash| hash.content == package.sha256.to_hex())
            })
        };
        match manifest.packages.iter().find(|package| !lists(package)) {
            None => Ok(format!("lists all {} packages of {MANIFEST}", manifest.packages.len())),
            Some(package) => Err(format!("lacks {} {} as {MANIFEST} has it", package.name, package.version)),
        }
    })();
    checks.note(SBOM, outcome);
}

fn check_disk(manifest: &Manifest, seen: &Seen<'_>, checks: &mut Checks) {
    let Some(table) = seen.table else { return };
    checks.same("disk GUID", &table.disk_guid, &manifest.disk_guid.to_string(), MANIFEST);
    if let Some(esp) = find(&table.partitions, "esp") {
        checks.same("ESP GUID", &esp.guid, &manifest.esp_guid.to_string(), MANIFEST);
    }
    let [root_part, verity_part, uki_part] = parts(manifest);
    let wanted = manifest.root_hash.to_hex();
    let Some(root) = seen.roots.iter().find(|root| root.root_hash == wanted) else {
        checks.note("root hash", Err(format!("no slot has the root hash {wanted} of {MANIFEST}")));
        return;
    };
    checks.note("root hash", Ok(format!("that of slot {}", root.slot)));
    checks.same("label", &root.label, &manifest.label.to_string(), MANIFEST);
    for (role, part) in [("root", &root_part), ("verity", &verity_part)] {
        let Some(partition) = find(&table.partitions, &format!("{role}-{}", root.slot)) else { continue };
        let found = Part::new(seen.disk, partition.start, partition.size).digest(part.size);
        let outcome = match found {
            Ok(found) if found == part.sha256 => Ok(format!("holds {}", part.file)),
            Ok(_) => Err(format!("doesn't hold {}", part.file)),
            Err(error) => Err(format!("can't be compared with {}: {error}", part.file)),
        };
        checks.note(format!("partition {} {}", partition.number, partition.role), outcome);
    }
    check_packages(manifest, root, checks);
    let Some(esp) = seen.esp else { return };
    let entry = esp.entries.iter().find(|entry| entry.root_hash.as_ref() == Some(&wanted));
    let Some(entry) = entry else {
        checks.note("boot entry", Err(format!("none starts the root of {MANIFEST}")));
        return;
    };
    let outcome = if entry.sha256 == Some(uki_part.sha256) {
        Ok(format!("is {}", uki_part.file))
    } else {
        Err(format!("is not {}", uki_part.file))
    };
    checks.note(format!("{} on the ESP", entry.name), outcome);
    let command_line = entry.command_line.as_deref().unwrap_or_default();
    checks.same("command line", command_line, &manifest.command_line, MANIFEST);
    let release = entry.kernel_release.as_deref().unwrap_or_default();
    checks.same("kernel release", release, &manifest.kernel_release, MANIFEST);
}

/// Every package that the root lists must be one of the manifest's, which also has those of the boot files.
fn check_packages(manifest: &Manifest, root: &RootFacts, checks: &mut Checks) {
    let known = |package: &&super::PackageFacts| {
        manifest.packages.iter().any(|other| other.name == package.name && other.version == package.version)
    };
    let strange = root.packages.iter().find(|package| !known(package));
    let outcome = match strange {
        None => Ok(format!("all {} of the root are in {MANIFEST}", root.packages.len())),
        Some(package) => Err(format!("{} {} is not in {MANIFEST}", package.name, package.version)),
    };
    checks.note("packages", outcome);
}

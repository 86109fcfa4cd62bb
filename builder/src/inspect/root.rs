//! The root of a slot: its hash tree against the root hash in its partitions' GUIDs, its file system, what it says of itself.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use slipway_images::erofs::{Extent, FileType, ReadError, Reader};
use slipway_images::tree::TreePath;
use slipway_images::verity::{BLOCK_SIZE, RootHash, VerityError, tree_len, verify};
use uuid::Uuid;

use super::bytes::Part;
use super::check::{Checks, chain};
use super::table::{PartitionFacts, find};

const OS_RELEASE: &str = "/usr/lib/os-release";
const PACKAGES: &str = "/usr/lib/slipway/packages.json";
const MODULES: &str = "/usr/lib/modules";
const OS_RELEASE_MAX: u64 = 64 << 10;
const PACKAGES_MAX: u64 = 4 << 20;
/// How many of the largest files are told.
const LARGEST: usize = 10;

/// A root.
#[derive(Debug, Serialize)]
pub struct RootFacts {
    /// `a` or `b`.
    pub slot: String,
    /// The label of its partitions.
    pub label: String,
    /// The root hash that its partitions' GUIDs make up, 64 hexadecimal digits.
    pub root_hash: String,
    /// Whether each block of hash tree and root matches that hash.
    pub verified: bool,
    /// Bytes of the file system.
    pub size: u64,
    /// Bytes of the slot.
    pub slot_size: u64,
    /// Bytes of hash tree and superblock.
    pub verity_size: u64,
    /// Inodes that are no folder; the names of a hard-linked file count once.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Seconds since 1970: the time of all inodes.
    pub epoch: u64,
    /// What os-release says.
    pub os_release: Option<OsRelease>,
    /// The releases of kernels whose modules are there.
    pub kernels: Vec<String>,
    /// The packages, as the image lists them.
    pub packages: Vec<PackageFacts>,
    /// The largest files: path and bytes.
    pub largest_files: Vec<(String, u64)>,
    /// All of os-release, to compare it with.
    #[serde(skip)]
    pub os_release_text: Option<String>,
}

/// A package of a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFacts {
    /// Name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
}

/// What an os-release(5) says of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OsRelease {
    /// `PRETTY_NAME`
    pub name: String,
    /// `IMAGE_ID`
    pub image_id: String,
    /// `IMAGE_VERSION`
    pub image_version: String,
}

impl OsRelease {
    /// Reads the fields; one that isn't there is empty, and of several the last one counts, as it does for a shell.
    pub fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let value = text.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        Self { name: field("PRETTY_NAME"), image_id: field("IMAGE_ID"), image_version: field("IMAGE_VERSION") }
    }

    /// `ID_VERSION`, as partitions and boot entries of the image are called.
    pub fn label(&self) -> String {
        format!("{}_{}", self.image_id, self.image_version)
    }
}

/// Reads the root of every slot that is not empty.
pub fn read_all(disk: &Arc<File>, partitions: &[PartitionFacts], checks: &mut Checks) -> Vec<RootFacts> {
    let slot = |slot: &str| {
        let (root, verity) = (find(partitions, &format!("root-{slot}"))?, find(partitions, &format!("verity-{slot}"))?);
        (!root.is_empty_slot() || !verity.is_empty_slot()).then(|| (slot.to_owned(), root.clone(), verity.clone()))
    };
    let filled: Vec<_> = ["a", "b"].into_iter().filter_map(slot).collect();
    if !partitions.is_empty() && filled.is_empty() {
        checks.note("slots", Err("both are empty".into()));
    }
    filled.iter().map(|(slot, root, verity)| Slot { disk, name: slot, root, verity }.read(checks)).collect()
}

struct Slot<'a> {
    disk: &'a Arc<File>,
    name: &'a str,
    root: &'a PartitionFacts,
    verity: &'a PartitionFacts,
}

impl Slot<'_> {
    fn read(&self, checks: &mut Checks) -> RootFacts {
        let name = |what: &str| format!("slot {}: {what}", self.name);
        let part = |partition: &PartitionFacts| Part::new(self.disk, partition.start, partition.size);
        let (root, verity) = (part(self.root), part(self.verity));
        checks.same(name("labels"), &self.verity.label, &self.root.label, "the root partition");
        let root_hash = self.root_hash();
        let tree = verify(&root, root.len, &verity, verity.len, &root_hash);
        let data_len = tree.as_ref().map_or(0, slipway_images::verity::VerityTree::data_len);
        let verified = checks.note(
            name("hash tree"),
            match &tree {
                Ok(_) => Ok(format!("{} blocks match the root hash", data_len / BLOCK_SIZE)),
                Err(error) => Err(self.bad_tree(error, &root_hash)),
            },
        );
        let mut facts = RootFacts {
            slot: self.name.to_owned(),
            label: self.root.label.clone(),
            root_hash: root_hash.to_hex(),
            verified,
            size: data_len,
            slot_size: root.len,
            verity_size: if data_len == 0 { 0 } else { tree_len(data_len) },
            files: 0,
            folders: 0,
            epoch: 0,
            os_release: None,
            kernels: Vec::new(),
            packages: Vec::new(),
            largest_files: Vec::new(),
            os_release_text: None,
        };
        let place = Extent { offset: self.root.start, len: root.len };
        let reader = match Reader::open_within(self.disk.clone(), place) {
            Ok(reader) => reader,
            Err(error) => {
                checks.note(name("file system"), Err(chain(&error)));
                return facts;
            }
        };
        facts.size = reader.image_len();
        facts.epoch = reader.superblock().epoch;
        let walked = facts.walk(&reader);
        checks.note(
            name("file system"),
            match walked {
                Ok(()) if verified && data_len != facts.size => {
                    Err(format!("has {} bytes, and the hash tree covers {data_len}", facts.size))
                }
                Ok(()) => Ok(format!("{} files in {} folders", facts.files, facts.folders)),
                Err(error) => Err(chain(&error)),
            },
        );
        facts.read_os_release(&reader, checks);
        facts.read_packages(&reader, checks);
        facts
    }

    /// A root hash is the GUID of its root partition followed by that of its verity partition.
    fn root_hash(&self) -> RootHash {
        let half = |guid: &str| Uuid::try_parse(guid).unwrap_or_default().into_bytes();
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&half(&self.root.guid));
        bytes[16..].copy_from_slice(&half(&self.verity.guid));
        RootHash::from_bytes(bytes)
    }

    /// Which partition is to blame, and where on the disk.
    fn bad_tree(&self, error: &VerityError, root_hash: &RootHash) -> String {
        let at = |partition: &PartitionFacts, block: u64| {
            let place = partition.start.saturating_add(block.saturating_mul(BLOCK_SIZE));
            format!(" (partition {} {}, byte {place} of the disk)", partition.number, partition.role)
        };
        let place = match error {
            VerityError::BadDataBlock { block } => at(self.root, block.0),
            VerityError::BadHashBlock { block } => at(self.verity, *block),
            _ => format!(" (partition {} {})", self.verity.number, self.verity.role),
        };
        // A wrong GUID shows as a tree whose topmost block is wrong.
        let hint = match error {
            VerityError::BadHashBlock { block: 1 } => {
                format!("; or the GUIDs of the partitions, which say root hash {root_hash}, are not theirs")
            }
            _ => String::new(),
        };
        format!("{}{place}{hint}", chain(error))
    }
}

impl RootFacts {
    /// Visits every inode, with its attributes and, of a link, its text.
    fn walk(&mut self, reader: &Reader) -> Result<(), ReadError> {
        let mut seen = HashSet::new();
        let mut largest: Vec<(u64, TreePath)> = Vec::new();
        for step in reader.walk() {
            let (path, inode) = step?;
            if inode.file_type() == FileType::Folder {
                self.folders += 1;
            } else if seen.insert(inode.nid().value()) {
                self.files += 1;
                if inode.file_type() == FileType::Symlink {
                    reader.read_link(&inode)?;
                } else {
                    largest.push((inode.size(), path.clone()));
                }
            } else {
                continue;
            }
            reader.xattrs(&inode)?;
            if path.parent().is_some_and(|parent| parent.as_str() == MODULES) {
                self.kernels.push(path.name().to_owned());
            }
        }
        largest.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        self.largest_files = largest.into_iter().take(LARGEST).map(|(size, path)| (path.to_string(), size)).collect();
        Ok(())
    }

    fn read_os_release(&mut self, reader: &Reader, checks: &mut Checks) {
        let name = format!("slot {}: os-release", self.slot);
        let read = text(reader, OS_RELEASE, OS_RELEASE_MAX);
        match read {
            Ok(text) => {
                let os_release = OsRelease::parse(&text);
                checks.same(name, &os_release.label(), &self.label, "the partition label");
                self.os_release = Some(os_release);
                self.os_release_text = Some(text);
            }
            Err(why) => {
                checks.note(name, Err(why));
            }
        }
    }

    fn read_packages(&mut self, reader: &Reader, checks: &mut Checks) {
        let read = text(reader, PACKAGES, PACKAGES_MAX).and_then(|text| {
            serde_json::from_str::<Vec<PackageFacts>>(&text)
                .map_err(|error| format!("{PACKAGES} is malformed: {error}"))
        });
        let outcome = match read {
            Ok(packages) => {
                self.packages = packages;
                Ok(format!("{} packages", self.packages.len()))
            }
            Err(why) => Err(why),
        };
        checks.note(format!("slot {}: list of packages", self.slot), outcome);
    }
}

/// The text of a file of at most `limit` bytes.
fn text(reader: &Reader, path: &str, limit: u64) -> Result<String, String> {
    let parsed = TreePath::new(path).map_err(|error| chain(&error))?;
    let inode = reader.lookup(&parsed).map_err(|error| chain(&error))?.ok_or_else(|| format!("no {path}"))?;
    if inode.file_type() != FileType::File {
        return Err(format!("{path} is no regular file"));
    }
    let bytes = reader.read(&inode, limit).map_err(|error| format!("{path}: {}", chain(&error)))?;
    String::from_utf8(bytes).map_err(|_| format!("{path} is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_as_a_shell_would() {
        let text = "PRETTY_NAME=\"Edge web 2\"\nIMAGE_ID=edge-web\nIMAGE_VERSION=1\n# no\nIMAGE_VERSION='2'\n";
        let os_release = OsRelease::parse(text);
        assert_eq!((os_release.name.as_str(), os_release.label().as_str()), ("Edge web 2", "edge-web_2"));
        assert_eq!(OsRelease::parse("IMAGE_IDX=1\n").label(), "_");
    }
}

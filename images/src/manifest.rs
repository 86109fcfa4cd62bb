//! `manifest.json`: what an image is, in one document, with the digests of all its parts.
//!
//! A manifest comes out of a build, and later from a release, from whoever can put bytes there. Whether it is the right
//! one is for signatures to say; here it is made sure that its content makes sense: it has at most [`MAX_BYTES`], no field
//! that its version doesn't have, names that can't leave a folder, GUIDs that belong to its root hash, sizes that belong to
//! their block counts. What is not valid never becomes a [`Manifest`].

use std::ops::Deref;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::disk::PartGuid;
use crate::names::{ImageId, NameError, PartitionLabel};
use crate::verity::{BLOCK_SIZE, RootHash, Salt};
use crate::version::Version;

/// The largest manifest that is read. One package takes about 250 bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// The version of the document that is written and read.
pub const MANIFEST_VERSION: u32 = 1;

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestContents {
    /// Image id and version.
    pub label: PartitionLabel,
    /// One line for people.
    pub description: String,
    /// Seconds since 1970: the one time that all inodes of the root have.
    pub epoch: u64,
    /// What authenticates the root.
    pub root_hash: RootHash,
    /// Salt of the hash tree.
    pub salt: Salt,
    /// The kernel's release.
    pub kernel_release: String,
    /// The kernel's command line.
    pub command_line: String,
    /// The files of the image.
    pub parts: Parts,
    /// GUID of the disk.
    pub disk_guid: Uuid,
    /// GUID of the ESP. Those of root and verity follow from the root hash.
    pub esp_guid: PartGuid,
    /// The packages, sorted by name and then by architecture.
    pub packages: Vec<ManifestPackage>,
    /// Digest of the recipe's meaning.
    pub recipe: Digest,
    /// Digest of the lock file.
    pub lock: Digest,
    /// The programs of Slipway in the image.
    pub components: Components,
}

/// The files of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// The root's EROFS image.
    pub root: RootPart,
    /// Its hash tree.
    pub verity: PartFile,
    /// The unified kernel image.
    pub uki: PartFile,
}

/// A file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartFile {
    /// Its name in the output folder.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// The root's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootPart {
    /// Its name in the output folder.
    pub file: String,
    /// Bytes: [`blocks`](Self::blocks) times 4096.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Blocks of 4096 bytes.
    pub blocks: u64,
}

/// A package of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestPackage {
    /// Package name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// Source package.
    pub source: String,
    /// Digest of the package file.
    pub sha256: Digest,
}

/// Digests of the programs of Slipway in the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Components {
    /// `slipway-agent`
    pub agent: Digest,
    /// `slipway-initrd`
    pub initrd: Digest,
}

/// A valid manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest(ManifestContents);

/// Content that makes no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Too many bytes.
    #[error("manifest of {0} bytes, more than {MAX_BYTES}")]
    TooLarge(usize),
    /// A version that this program doesn't know.
    #[error("manifest of version {0}, and this program knows version {MANIFEST_VERSION}")]
    Version(u64),
    /// Not the JSON that a manifest is.
    #[error("manifest is malformed")]
    Json(#[from] serde_json::Error),
    /// Id and version that make no label.
    #[error("manifest names no image")]
    Name(#[from] NameError),
    /// A field whose value makes no sense.
    #[error("manifest field `{field}`: {problem}")]
    Field {
        /// Its path in the document.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Manifest {
    /// Checks that the contents make sense.
    pub fn new(contents: ManifestContents) -> Result<Self, ManifestError> {
        let check =
            |good: bool, field, problem| if good { Ok(()) } else { Err(ManifestError::Field { field, problem }) };
        let one_line = |text: &str| !text.chars().any(char::is_control);
        check(one_line(&contents.description), "description", "is not on one line")?;
        check(one_line(&contents.command_line), "command_line", "is not on one line")?;
        let Parts { root, verity, uki } = &contents.parts;
        check(plain_name(&contents.kernel_release), "kernel_release", "is no plain name")?;
        check(plain_name(&root.file), "parts.root.file", "is no plain file name")?;
        check(plain_name(&verity.file), "parts.verity.file", "is no plain file name")?;
        check(plain_name(&uki.file), "parts.uki.file", "is no plain file name")?;
        check(
            root.blocks.checked_mul(BLOCK_SIZE) == Some(root.size),
            "parts.root.size",
            "is not 4096 times the blocks",
        )?;
        check(root.blocks > 0, "parts.root.blocks", "is zero")?;
        check(verity.size > 0 && verity.size % BLOCK_SIZE == 0, "parts.verity.size", "is no multiple of 4096")?;
        check(uki.size > 0, "parts.uki.size", "is zero")?;
        let key = |package: &ManifestPackage| (package.name.clone(), package.architecture.clone());
        let sorted = contents.packages.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
        check(sorted, "packages", "are not sorted by name and architecture, or one is there twice")?;
        Ok(Self(contents))
    }

    /// Reads the document.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() > MAX_BYTES {
            return Err(ManifestError::TooLarge(json.len()));
        }
        let VersionOnly { manifest_version } = serde_json::from_slice(json)?;
        if manifest_version != u64::from(MANIFEST_VERSION) {
            return Err(ManifestError::Version(manifest_version));
        }
        serde_json::from_slice::<Shape>(json)?.into_manifest()
    }

    /// The document: indented, fields in a fixed order, with a line break at the end.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        let mut json = serde_json::to_vec_pretty(&Shape::of(&self.0))?;
        json.push(b'\n');
        Ok(json)
    }
}

impl Deref for Manifest {
    type Target = ManifestContents;

    fn deref(&self) -> &ManifestContents {
        &self.0
    }
}

/// A name that stays in its folder and needs no quoting.
fn plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+~^".contains(&byte);
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.bytes().all(plain)
}

#[derive(Deserialize)]
struct VersionOnly {
    manifest_version: u64,
}

/// The document as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    manifest_version: u32,
    id: ImageId,
    version: Version,
    description: String,
    epoch: u64,
    root_hash: RootHash,
    salt: String,
    kernel_release: String,
    command_line: String,
    parts: Parts,
    guids: Guids,
    recipe: Digest,
    lock: Digest,
    components: Components,
    packages: Vec<ManifestPackage>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Guids {
    disk: String,
    esp: String,
    root: String,
    verity: String,
}

impl Shape {
    fn of(contents: &ManifestContents) -> Self {
        let contents = contents.clone();
        Self {
            manifest_version: MANIFEST_VERSION,
            id: contents.label.id().clone(),
            version: contents.label.version().clone(),
            description: contents.description,
            epoch: contents.epoch,
            root_hash: contents.root_hash,
            // Of no bytes, this is no text either: what `Salt::to_hex` has for it is veritysetup's.
            salt: hex::encode(contents.salt.as_bytes()),
            kernel_release: contents.kernel_release,
            command_line: contents.command_line,
            parts: contents.parts,
            guids: Guids {
                disk: contents.disk_guid.to_string(),
                esp: contents.esp_guid.to_string(),
                root: contents.root_hash.root_part_guid().to_string(),
                verity: contents.root_hash.verity_part_guid().to_string(),
            },
            recipe: contents.recipe,
            lock: contents.lock,
            components: contents.components,
            packages: contents.packages,
        }
    }

    fn into_manifest(self) -> Result<Manifest, ManifestError> {
        let bad = |field, problem| ManifestError::Field { field, problem };
        let uuid = |text: &str, field| Uuid::try_parse(text).map_err(|_| bad(field, "is no GUID"));
        if uuid(&self.guids.root, "guids.root")? != self.root_hash.root_part_guid() {
            return Err(bad("guids.root", "doesn't belong to the root hash"));
        }
        if uuid(&self.guids.verity, "guids.verity")? != self.root_hash.verity_part_guid() {
            return Err(bad("guids.verity", "doesn't belong to the root hash"));
        }
        let salt = hex::decode(&self.salt).map_err(|_| bad("salt", "is not hexadecimal"))?;
        Manifest::new(ManifestContents {
            label: PartitionLabel::new(self.id, self.version)?,
            description: self.description,
            epoch: self.epoch,
            root_hash: self.root_hash,
            salt: Salt::new(salt).map_err(|_| bad("salt", "is no salt of a hash tree"))?,
            kernel_release: self.kernel_release,
            command_line: self.command_line,
            parts: self.parts,
            disk_guid: uuid(&self.guids.disk, "guids.disk")?,
            esp_guid: PartGuid(uuid(&self.guids.esp, "guids.esp")?),
            packages: self.packages,
            recipe: self.recipe,
            lock: self.lock,
            components: self.components,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn contents() -> ManifestContents {
        let part = |file: &str, size| PartFile { file: file.to_owned(), size, sha256: Digest::of(file.as_bytes()) };
        let label: PartitionLabel = "web_2026.11.22".parse().unwrap();
        let package = |name: &str| ManifestPackage {
            name: name.to_owned(),
            version: "1:2.3-4".to_owned(),
            architecture: "amd64".to_owned(),
            source: name.to_owned(),
            sha256: Digest::of(name.as_bytes()),
        };
        ManifestContents {
            description: "A host".to_owned(),
            epoch: 1_790_000_000,
            root_hash: RootHash::from_bytes(*Digest::of(b"root hash").as_bytes()),
            salt: Salt::for_image(label.id()),
            label,
            kernel_release: "6.12.1+deb13-cloud-amd64".to_owned(),
            command_line: "roothash=00 quiet".to_owned(),
            parts: Parts {
                root: RootPart { file: "root.erofs".to_owned(), size: 8192, sha256: Digest::of(b""), blocks: 2 },
                verity: part("root.verity", 8192),
                uki: part("uki.efi", 5),
            },
            disk_guid: Uuid::from_u128(1),
            esp_guid: PartGuid(Uuid::from_u128(2)),
            packages: vec![package("bash"), package("systemd")],
            recipe: Digest::of(b"recipe"),
            lock: Digest::of(b"lock"),
            components: Components { agent: Digest::of(b"agent"), initrd: Digest::of(b"initrd") },
        }
    }

    fn refused(from: &str, to: &str) -> String {
        let json = String::from_utf8(Manifest::new(contents()).unwrap().to_json().unwrap()).unwrap();
        assert!(json.contains(from), "{json}");
        let error = Manifest::from_json(json.replacen(from, to, 1).as_bytes()).unwrap_err();
        std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let manifest = Manifest::new(contents()).unwrap();
        let json = manifest.to_json().unwrap();
        assert_eq!(Manifest::from_json(&json).unwrap(), manifest);
        assert!(json.starts_with(b"{\n  \"manifest_version\": 1,\n  \"id\": \"web\",\n  \"version\": \"2026.11.22\","));
    }

    #[test]
    fn a_tree_without_salt_has_a_manifest_too() {
        let manifest = Manifest::new(ManifestContents { salt: Salt::new([]).unwrap(), ..contents() }).unwrap();
        assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()).unwrap(), manifest);
    }

    #[test]
    fn another_version_is_told_apart_from_a_malformed_document() {
        assert!(refused("\"manifest_version\": 1,", "\"manifest_version\": 2, \"news\": [],").contains("version 2"));
        assert!(refused("\"epoch\"", "\"news\": 1, \"epoch\"").contains("unknown field `news`"));
        assert!(refused("\"blocks\": 2", "\"blocks\": 2, \"news\": 1").contains("unknown field `news`"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_field() {
        assert!(refused("root.erofs", "../root.erofs").contains("`parts.root.file`"));
        assert!(refused("\"blocks\": 2", "\"blocks\": 3").contains("`parts.root.size`"));
        assert!(refused("\"blocks\": 2", "\"blocks\": 4503599627370498").contains("`parts.root.size`"));
        assert!(refused("\"name\": \"bash\"", "\"name\": \"systemd\"").contains("`packages`"));
        let root = contents().root_hash.root_part_guid().to_string();
        assert!(refused(&root, &Uuid::from_u128(9).to_string()).contains("`guids.root`: doesn't belong"));
        assert!(refused("roothash=00 quiet", "roothash=00\\nquiet").contains("`command_line`"));
        assert!(refused("\"id\": \"web\"", "\"id\": \"Web\"").contains("no image id"));
        assert!(matches!(Manifest::from_json(&vec![b' '; MAX_BYTES + 1]), Err(ManifestError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(changes in prop::collection::vec((0_usize..1500, any::<u8>()), 0..4)) {
            let mut json = Manifest::new(contents()).unwrap().to_json().unwrap();
            for (place, byte) in changes {
                json[place] = byte;
            }
            if let Ok(manifest) = Manifest::from_json(&json) {
                prop_assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()).unwrap(), manifest);
            }
        }
    }
}

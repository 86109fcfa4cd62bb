//! The document of a release: what it is made of, and which parts bring that to a host.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::channel::Offer;
use super::{DocumentError, Part, SCHEMA, TargetName, read, write};
use crate::calendar::Moment;
use crate::digest::Digest;
use crate::manifest;
use crate::names::{ImageId, PartitionLabel};
use crate::patch;
use crate::verity::{BLOCK_SIZE, RootHash, Salt, tree_len};
use crate::version::Version;

/// Largest root, in bytes: 4 GiB. A host that takes it by its blocks holds its hash tree and that of the root that runs.
pub const ROOT_MAX: u64 = 4 << 30;
/// Largest kernel image, in bytes: 64 MiB. A host holds it as it is stored until its digest has been compared.
pub const KERNEL_MAX: u64 = 64 << 20;
/// Most patches of a release.
pub const PATCHES_MAX: usize = 64;
const DOCUMENT: &str = "release";

/// What a release's document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseContents {
    /// Image and version.
    pub label: PartitionLabel,
    /// The machines that it is for.
    pub architecture: Architecture,
    /// When it was published.
    pub created: Moment,
    /// The root.
    pub root: RootFacts,
    /// The root's hash tree, superblock and all, as it is on the disk.
    pub verity: Part,
    /// The unified kernel image, as it is on the ESP.
    pub uki: Part,
    /// The manifest, which is a part by itself.
    pub manifest: Part,
    /// What is to be fetched in whole or in ranges.
    pub parts: ReleaseParts,
    /// What is to be fetched instead by hosts with certain versions, sorted by version and root hash.
    pub patches: Vec<Patch>,
}

/// Kinds of machines, as the UAPI Discoverable Partitions Specification names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Architecture {
    /// `x86-64`
    #[serde(rename = "x86-64")]
    X86_64,
}

/// What is known of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFacts {
    /// What authenticates it.
    pub root_hash: RootHash,
    /// Salt of the hash tree. Roots of one salt have equal hashes for equal blocks.
    pub salt: Salt,
    /// Bytes.
    pub size: u64,
}

impl RootFacts {
    /// Blocks of 4096 bytes.
    pub const fn blocks(&self) -> u64 {
        self.size / BLOCK_SIZE
    }
}

/// Parts that every release has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseParts {
    /// The hash tree as one zstd frame.
    pub verity: Part,
    /// The unified kernel image as one zstd frame.
    pub uki: Part,
    /// The root in frames.
    pub blocks: Blocks,
}

/// A root in frames ([`crate::frames`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// The index.
    pub index: Part,
    /// The frames.
    pub frames: Part,
}

/// What makes this release from another one ([`crate::patch`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The other one.
    pub from: PatchBase,
    /// Makes the root of the other's.
    pub root: PatchPart,
    /// Makes the kernel image of the other's. Without it, the kernel image comes whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uki: Option<PatchPart>,
}

/// What a patch starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchBase {
    /// Its version, for people.
    pub version: Version,
    /// Its root.
    pub root_hash: RootHash,
    /// Digest of its kernel image.
    pub uki: Digest,
}

/// A patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchPart {
    /// Bytes of the patch.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Its head, with which it begins. The head has the digests of all that follows.
    pub head: Part,
}

impl PatchPart {
    /// The patch as a whole.
    pub const fn part(&self) -> Part {
        Part { size: self.size, sha256: self.sha256 }
    }
}

/// A valid release document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseDocument(ReleaseContents);

impl ReleaseDocument {
    /// Checks that the contents make sense.
    pub fn new(contents: ReleaseContents) -> Result<Self, DocumentError> {
        let check = |good: bool, field, problem| {
            if good { Ok(()) } else { Err(DocumentError::Field { document: DOCUMENT, field, problem }) }
        };
        let ReleaseContents { root, verity, uki, manifest, parts, patches, .. } = &contents;
        let whole = root.size > 0 && root.size.is_multiple_of(BLOCK_SIZE);
        check(whole, "root.size", "is no multiple of 4096, or zero")?;
        check(root.size <= ROOT_MAX, "root.size", "is more than 4 GiB")?;
        check(verity.size == tree_len(root.size), "verity.size", "is not that of the root's hash tree")?;
        check((1..=KERNEL_MAX).contains(&uki.size), "uki.size", "is zero, or more than 64 MiB")?;
        let sensible = (1..=manifest::MAX_BYTES as u64).contains(&manifest.size);
        check(sensible, "manifest.size", "is zero, or more than 4 MiB")?;
        let stored = |part: &Part, plain: u64| (1..=stored_max(plain)).contains(&part.size);
        check(stored(&parts.verity, verity.size), "parts.verity.size", "is more than the hash tree can need")?;
        check(stored(&parts.uki, uki.size), "parts.uki.size", "is more than the kernel image can need")?;
        let Blocks { index, frames } = &parts.blocks;
        let blocks = root.blocks();
        check((1..=64 + 40 * blocks).contains(&index.size), "parts.blocks.index.size", "is more than the blocks need")?;
        check(stored(frames, root.size), "parts.blocks.frames.size", "is more than the root can need")?;
        check(patches.len() <= PATCHES_MAX, "patches", "are more than 64")?;
        let key = |patch: &Patch| (patch.from.version.clone(), patch.from.root_hash);
        let sorted = patches.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
        check(sorted, "patches", "are not sorted by version and root hash, or one is there twice")?;
        for Patch { from, root: of_root, uki: of_uki } in patches {
            check(from.root_hash != root.root_hash, "patches.from.root_hash", "is the release's own")?;
            check(fits(of_root, root.size), "patches.root", "is more than the root can need")?;
            let good = of_uki.is_none_or(|of_uki| fits(&of_uki, uki.size));
            check(good, "patches.uki", "is more than the kernel image can need")?;
        }
        Ok(Self(contents))
    }

    /// Reads the document.
    pub fn from_json(json: &[u8]) -> Result<Self, DocumentError> {
        read::<Shape>(DOCUMENT, json)?.into_document()
    }

    /// The document: indented, fields in a fixed order, with a line break at the end.
    pub fn to_json(&self) -> Result<Vec<u8>, DocumentError> {
        write(DOCUMENT, &Shape::of(&self.0))
    }

    /// Its name among the targets.
    pub fn target_name(&self) -> TargetName {
        TargetName::of_release(&self.label)
    }

    /// Whether it is the document of what a channel of `id` offers.
    pub fn check_offer(&self, id: &ImageId, offer: &Offer) -> Result<(), DocumentError> {
        let other = |what| Err(DocumentError::OtherRelease { offered: offer.version.clone(), what });
        if self.label.id() != id {
            return other("id");
        }
        if *self.label.version() != offer.version {
            return other("version");
        }
        if self.root.root_hash != offer.root_hash {
            return other("root hash");
        }
        Ok(())
    }

    /// The patch for a host with this root.
    pub fn patch_from(&self, root_hash: RootHash) -> Option<&Patch> {
        self.patches.iter().find(|patch| patch.from.root_hash == root_hash)
    }

    /// Bytes that a host fetches that has nothing of it: hash tree, frames and kernel image.
    pub fn whole_cost(&self) -> u64 {
        let ReleaseParts { verity, uki, blocks } = &self.parts;
        verity.size + uki.size + blocks.index.size + blocks.frames.size
    }

    /// All parts that the repository must have for it.
    pub fn all_parts(&self) -> impl Iterator<Item = Part> {
        let ReleaseParts { verity, uki, blocks } = &self.parts;
        let patches = self.patches.iter().flat_map(|patch| std::iter::once(patch.root).chain(patch.uki));
        [self.manifest, *verity, *uki, blocks.index, blocks.frames].into_iter().chain(patches.map(|patch| patch.part()))
    }

    /// What it says, to be changed.
    pub fn into_contents(self) -> ReleaseContents {
        self.0
    }
}

impl Deref for ReleaseDocument {
    type Target = ReleaseContents;

    fn deref(&self) -> &ReleaseContents {
        &self.0
    }
}

/// Bytes that so many can take once they are compressed, in frames of 4096 bytes at worst.
pub const fn stored_max(plain: u64) -> u64 {
    plain + plain / 16 + 1024
}

fn fits(part: &PatchPart, plain: u64) -> bool {
    let head = (patch::HEAD_FIXED_LEN as u64..=patch::HEAD_MAX as u64).contains(&part.head.size);
    // A window takes at most as much as its bytes, its instructions and what is added to old bytes.
    head && part.head.size <= part.size && part.size <= 2 * stored_max(plain) + patch::HEAD_MAX as u64
}

/// The document as it is written.
#[derive(Serialize, Deserialize)]
struct Shape {
    schema: u32,
    id: ImageId,
    version: Version,
    architecture: Architecture,
    created: Moment,
    root: RootShape,
    verity: Part,
    uki: Part,
    manifest: Part,
    parts: ReleaseParts,
    #[serde(default)]
    patches: Vec<Patch>,
}

#[derive(Serialize, Deserialize)]
struct RootShape {
    root_hash: RootHash,
    salt: String,
    size: u64,
    blocks: u64,
}

impl Shape {
    fn of(contents: &ReleaseContents) -> Self {
        let contents = contents.clone();
        Self {
            schema: SCHEMA,
            id: contents.label.id().clone(),
            version: contents.label.version().clone(),
            architecture: contents.architecture,
            created: contents.created,
            root: RootShape {
                root_hash: contents.root.root_hash,
                salt: hex::encode(contents.root.salt.as_bytes()),
                size: contents.root.size,
                blocks: contents.root.blocks(),
            },
            verity: contents.verity,
            uki: contents.uki,
            manifest: contents.manifest,
            parts: contents.parts,
            patches: contents.patches,
        }
    }

    fn into_document(self) -> Result<ReleaseDocument, DocumentError> {
        let bad = |field, problem| DocumentError::Field { document: DOCUMENT, field, problem };
        let salt = hex::decode(&self.root.salt).ok().and_then(|salt| Salt::new(salt).ok());
        let salt = salt.ok_or_else(|| bad("root.salt", "is no salt of a hash tree in hexadecimal digits"))?;
        if self.root.blocks.checked_mul(BLOCK_SIZE) != Some(self.root.size) {
            return Err(bad("root.blocks", "times 4096 is not the size"));
        }
        let label = PartitionLabel::new(self.id, self.version)
            .map_err(|source| DocumentError::Name { document: DOCUMENT, source })?;
        ReleaseDocument::new(ReleaseContents {
            label,
            architecture: self.architecture,
            created: self.created,
            root: RootFacts { root_hash: self.root.root_hash, salt, size: self.root.size },
            verity: self.verity,
            uki: self.uki,
            manifest: self.manifest,
            parts: self.parts,
            patches: self.patches,
        })
    }
}

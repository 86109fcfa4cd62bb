//! Patches of a release: from which versions, and whether they are worth it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use slipway_images::digest::Digest;
use slipway_images::names::PartitionLabel;
use slipway_images::patch::PatchSummary;
use slipway_images::release::{Part, Patch, PatchBase, PatchPart, ReleaseDocument, ReleaseParts};
use slipway_images::verity::RootHash;

use super::ReleaseError;
use super::pack;
use super::repository::LockedRepository;
use super::source::Build;
use crate::patch::{self, RootSource};
use crate::progress::{Event, Progress};

/// An image to start from.
pub struct Base {
    label: PartitionLabel,
    root_hash: RootHash,
    root: RootSource,
    uki: Vec<u8>,
}

impl Base {
    /// A build in a folder, which must be of the same image as `new`.
    pub fn of_folder(folder: &Path, new: &PartitionLabel, progress: &dyn Progress) -> Result<Self, ReleaseError> {
        let base = Self::of_build(&Build::open(folder, progress)?)?;
        if base.label.id() != new.id() {
            return Err(ReleaseError::OtherImage { from: base.label, to: new.clone() });
        }
        Ok(base)
    }

    /// A build.
    pub fn of_build(build: &Build) -> Result<Self, ReleaseError> {
        let manifest = &build.manifest;
        let root = source(build.root.clone(), &build.verity, &manifest.root_hash, Path::new(crate::build::ROOT))?;
        Ok(Self { label: manifest.label.clone(), root_hash: manifest.root_hash, root, uki: build.uki.clone() })
    }

    /// A release, made once more from its own frames.
    pub fn of_release(
        repository: &LockedRepository,
        document: &ReleaseDocument,
        progress: &dyn Progress,
    ) -> Result<Self, ReleaseError> {
        let ReleaseParts { verity, uki, .. } = &document.parts;
        let tree = pack::tree(repository, document)?;
        let root: File = repository.scratch()?;
        pack::restore_root(repository, document, &tree, &root, progress)?;
        let verity_bytes = pack::unpack(repository, verity, &document.verity)?;
        let root_hash = document.root.root_hash;
        let root = source(Arc::new(root), &verity_bytes, &root_hash, &repository.part(verity))?;
        Ok(Self { label: document.label.clone(), root_hash, root, uki: pack::unpack(repository, uki, &document.uki)? })
    }

    /// What authenticates its root.
    pub fn root_hash(&self) -> RootHash {
        self.root_hash
    }
}

fn source(root: Arc<File>, verity: &[u8], root_hash: &RootHash, path: &Path) -> Result<RootSource, ReleaseError> {
    let failed = |source| ReleaseError::Tree { path: path.to_owned(), source };
    RootSource::open(root, &verity.to_vec(), verity.len() as u64, root_hash).map_err(failed)
}

/// Makes the patch from `old` to `new`, whose parts are `whole`. `None` when it is no smaller than these.
pub fn make(
    repository: &mut LockedRepository,
    old: &Base,
    new: &Base,
    whole: &ReleaseParts,
    progress: &dyn Progress,
) -> Result<Option<Patch>, ReleaseError> {
    let failed =
        |source| ReleaseError::Patch { from: old.label.clone(), to: new.label.clone(), source: Box::new(source) };
    let mut writer = repository.begin_part()?;
    let summary = patch::root(&old.root, &new.root, &mut writer, progress).map_err(failed)?;
    if summary.len >= whole.blocks.frames.size {
        progress.event(Event::Note(&format!(
            "a patch from {} is no smaller than {} as a whole, and left out",
            old.label, new.label
        )));
        return Ok(None);
    }
    let root = part(&repository.finish_part(writer)?, &summary);
    let mut writer = repository.begin_part()?;
    let summary = patch::file(&old.uki, &new.uki, &mut writer).map_err(failed)?;
    let uki = if summary.len < whole.uki.size { Some(part(&repository.finish_part(writer)?, &summary)) } else { None };
    let version = old.label.version().clone();
    let from = PatchBase { version, root_hash: old.root_hash, uki: Digest::of(&old.uki) };
    Ok(Some(Patch { from, root, uki }))
}

fn part(part: &Part, summary: &PatchSummary) -> PatchPart {
    let head = Part { size: summary.head_len, sha256: summary.head_digest };
    PatchPart { size: part.size, sha256: part.sha256, head }
}

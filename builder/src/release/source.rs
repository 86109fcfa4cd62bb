//! A build that is to be published, or that a patch starts from: checked against its own manifest and root hash first, so that
//! a damaged file is found here and not by hosts.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipway_images::digest::Digest;
use slipway_images::manifest::{self, Manifest, PartFile};
use slipway_images::verity;

use super::ReleaseError;
use crate::build::{ROOT, UKI, VERITY};
use crate::progress::{Event, Phase, Progress};

/// A build whose files are what its manifest says.
#[derive(Debug)]
pub struct Build {
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's own bytes.
    pub manifest_json: Vec<u8>,
    /// The root image.
    pub root: Arc<File>,
    /// The hash device's own bytes.
    pub verity: Vec<u8>,
    /// The unified kernel image.
    pub uki: Vec<u8>,
}

impl Build {
    /// Opens the output folder of a build, and reads all of it.
    pub fn open(folder: &Path, progress: &dyn Progress) -> Result<Self, ReleaseError> {
        let manifest_json = read(&folder.join("manifest.json"), manifest::MAX_BYTES as u64)?;
        let path = || folder.join("manifest.json");
        let manifest =
            Manifest::from_json(&manifest_json).map_err(|source| ReleaseError::Manifest { path: path(), source })?;
        let parts = &manifest.parts;
        let (root_path, size) = (folder.join(ROOT), parts.root.size);
        progress.event(Event::Start(Phase::Verify, Some(size)));
        let root = File::open(&root_path).map_err(|source| ReleaseError::Io {
            what: "read",
            path: root_path.clone(),
            source,
        })?;
        let found =
            root.metadata().map_err(|source| ReleaseError::Io { what: "read", path: root_path.clone(), source })?;
        if found.len() != size {
            return Err(ReleaseError::Damaged { path: root_path, what: "file of the build" });
        }
        let verity = checked(folder, VERITY, &parts.verity)?;
        let uki = checked(folder, UKI, &parts.uki)?;
        // The tree speaks for the root's bytes, so they needn't be digested for the manifest as well.
        let sound = verity::verify(&root, size, &verity, verity.len() as u64, &manifest.root_hash);
        sound.map_err(|source| ReleaseError::Tree { path: root_path, source })?;
        progress.event(Event::Advance(Phase::Verify, size));
        progress.event(Event::Done(Phase::Verify, &manifest.label.to_string()));
        Ok(Self { manifest, manifest_json, root: Arc::new(root), verity, uki })
    }
}

fn checked(folder: &Path, name: &str, part: &PartFile) -> Result<Vec<u8>, ReleaseError> {
    let path = folder.join(name);
    let bytes = read(&path, part.size)?;
    if bytes.len() as u64 != part.size || Digest::of(&bytes) != part.sha256 {
        return Err(ReleaseError::Damaged { path, what: "file of the build" });
    }
    Ok(bytes)
}

fn read(path: &PathBuf, limit: u64) -> Result<Vec<u8>, ReleaseError> {
    let failed = |source| ReleaseError::Io { what: "read", path: path.clone(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(ReleaseError::TooLong { path: path.clone(), limit });
    }
    Ok(bytes)
}

//! What manifest and report tell of a build.

use std::collections::BTreeMap;

use slipway_images::disk::DiskIdentity;
use slipway_images::manifest::{
    Components as ManifestComponents, Manifest, ManifestContents, ManifestPackage, PartFile, Parts, RootPart,
};
use slipway_images::names::PartitionLabel;
use slipway_images::verity::{BLOCK_SIZE, Salt};

use super::image::{Written, command_line};
use super::seal::WrittenImage;
use super::{BuildError, Clock, Components, ROOT, UKI, VERITY, lock_digest};
use crate::compose::Composition;
use crate::compose::closure::Finding;
use crate::compose::prune::Pruned;
use crate::compose::scripts::{ScriptReport, Verdict};
use crate::lock::{Lock, LockedPackage, Role};
use crate::recipe::Recipe;
use crate::report::{PrunedPath, Report, ScriptNote, folder_sizes, package_sizes};
use crate::store::SealedTree;

/// All that manifest and report tell of.
pub struct Outcome<'a> {
    pub recipe: &'a Recipe,
    pub lock: &'a Lock,
    pub label: &'a PartitionLabel,
    pub commit: &'a SealedTree,
    pub image: &'a WrittenImage,
}

impl Outcome<'_> {
    pub fn manifest(&self, components: &Components, kernel_release: &str) -> Result<Manifest, BuildError> {
        let file = |name: &str, written: Written| PartFile {
            file: name.to_owned(),
            size: written.size,
            sha256: written.sha256,
        };
        let root = self.image.root.root().written;
        let identity = DiskIdentity::derive(self.label);
        let package = |package: &LockedPackage| ManifestPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            source: package.source.clone(),
            sha256: package.sha256,
        };
        Ok(Manifest::new(ManifestContents {
            label: self.label.clone(),
            description: self.recipe.image.description.clone(),
            epoch: self.lock.epoch,
            root_hash: self.image.root.root_hash,
            salt: Salt::for_image(self.label.id()),
            kernel_release: kernel_release.to_owned(),
            command_line: command_line(&self.image.root, &self.recipe.kernel.command_line),
            parts: Parts {
                root: RootPart {
                    file: ROOT.to_owned(),
                    size: root.size,
                    sha256: root.sha256,
                    blocks: root.size / BLOCK_SIZE,
                },
                verity: file(VERITY, self.image.root.written),
                uki: file(UKI, self.image.uki),
            },
            disk_guid: identity.disk,
            esp_guid: identity.esp,
            packages: self.lock.packages.iter().filter(|package| package.role == Role::Root).map(package).collect(),
            recipe: self.recipe.digest,
            lock: lock_digest(self.lock)?,
            components: ManifestComponents { agent: components.agent.digest(), initrd: components.initrd.digest() },
        })?)
    }

    pub fn report(
        &self,
        composition: &Composition,
        scripts: &ScriptReport,
        findings: &[Finding],
        loader: u64,
        clock: Clock,
    ) -> Report {
        let parts = [
            ("root.erofs", self.image.root.root().written.size),
            ("root.verity", self.image.root.written.size),
            ("uki.efi", self.image.uki.size),
            ("of it the kernel", composition.kernel.vmlinuz.len()),
            ("of it the initrd", self.image.initrd),
            ("boot loader", loader),
        ];
        let note = |verdict: &Verdict| ScriptNote {
            package: verdict.package.clone(),
            script: verdict.script.clone(),
            class: verdict.class.name().to_owned(),
            reason: verdict.class.reason(),
        };
        let pruned = |pruned: &Pruned| PrunedPath {
            path: pruned.path.to_string(),
            bytes: pruned.size,
            rule: pruned.reason.clone(),
        };
        Report {
            id: self.recipe.image.id.clone(),
            version: self.recipe.image.version.clone(),
            description: self.recipe.image.description.clone(),
            root_hash: self.image.root.root_hash.to_hex(),
            commit: self.commit.commit().to_owned(),
            kernel: composition.kernel.release.clone(),
            parts: parts.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec(),
            packages: package_sizes(&composition.tree, &root_versions(self.lock)),
            tree: folder_sizes(&composition.tree),
            pruned: composition.pruned.iter().map(pruned).collect(),
            scripts: scripts.verdicts.iter().map(note).collect(),
            findings: composition.notes.iter().cloned().chain(findings.iter().map(ToString::to_string)).collect(),
            timings: clock.laps,
            boot: None,
        }
    }
}

/// Versions by name, of the packages in the root.
pub fn root_versions(lock: &Lock) -> BTreeMap<String, String> {
    lock.packages
        .iter()
        .filter(|package| package.role == Role::Root)
        .map(|package| (package.name.clone(), package.version.clone()))
        .collect()
}

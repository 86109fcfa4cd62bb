//! What a repository says now: the metadata that its roots vouch for, and the documents that these name.
//!
//! A publisher builds on what is there, so it is read as a host reads it, by signatures and digests; only expiry is no
//! obstacle. Metadata that was signed with keys which a newer root replaced is read by the root before: it is about to be
//! signed again, and the person who replaced the keys is told to look at it first.

use std::collections::{BTreeMap, BTreeSet};

use slipway_images::names::ImageId;
use slipway_images::release::{ChannelDocument, ChannelName, DOCUMENT_MAX, ReleaseDocument, TargetName};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::{MetadataVersion, Snapshot, TargetFile, Targets};
use slipway_trust::tuf::{
    ClientLimits, MetadataError, RoleName, VerifiedRoot, VerifiedSnapshot, VerifiedTargets, VerifiedTimestamp,
};

use super::{ReleaseError, Repository};

/// No publisher gets so far: a version from here on that no key that counts has signed was made up by whoever had one that was
/// replaced, so that no other could follow.
const ABSURD: u64 = 1 << 62;

/// What a repository says.
#[derive(Clone, Debug)]
pub struct Published {
    /// What counts; `None` for a repository that has published nothing yet.
    pub metadata: Option<PublishedMetadata>,
    /// The channels' documents.
    pub channels: BTreeMap<(ImageId, ChannelName), ChannelDocument>,
    /// The releases' documents, by the names of their targets.
    pub releases: BTreeMap<TargetName, ReleaseDocument>,
    /// The roles whose metadata was signed with keys that the newest root has replaced. Hosts drop it when that root arrives,
    /// so its time and version bind nobody.
    pub replaced: BTreeSet<RoleName>,
}

/// Metadata that belongs together.
#[derive(Clone, Debug)]
pub struct PublishedMetadata {
    /// The timestamp.
    pub timestamp: VerifiedTimestamp,
    /// The snapshot that it names.
    pub snapshot: VerifiedSnapshot,
    /// The targets that the snapshot names.
    pub targets: VerifiedTargets,
}

impl Published {
    /// Reads what `repository` says, by the chain of `roots`, the newest last.
    pub fn read(repository: &Repository, roots: &[VerifiedRoot]) -> Result<Self, ReleaseError> {
        let mut published =
            Self { metadata: None, channels: BTreeMap::new(), releases: BTreeMap::new(), replaced: BTreeSet::new() };
        let limits = ClientLimits::default();
        let Some(bytes) = repository.read("metadata/timestamp.json", limits.timestamp)? else {
            return Ok(published);
        };
        let replaced = &mut published.replaced;
        let timestamp = by_any(roots, &RoleName::timestamp(), replaced, |root| {
            root.next_timestamp(&bytes, None)?.ok_or(MetadataError::NotInSnapshot)
        })?;
        let name = metadata_name(timestamp.snapshot.version, &RoleName::snapshot());
        let bytes = required(repository, &name, limits.snapshot)?;
        let snapshot =
            by_any(roots, &RoleName::snapshot(), replaced, |root| root.next_snapshot(&timestamp, &bytes, None))?;
        let version = snapshot.meta.get(&RoleName::targets()).map(|listed| listed.version);
        let version = version.ok_or(MetadataError::NotInSnapshot);
        let version = version.map_err(|source| ReleaseError::Metadata { role: RoleName::targets(), source })?;
        let bytes = required(repository, &metadata_name(version, &RoleName::targets()), limits.targets)?;
        let targets = by_any(roots, &RoleName::targets(), replaced, |root| root.next_targets(&snapshot, &bytes))?;
        for (path, file) in &targets.targets {
            // Whatever else is published by the same keys is kept, and none of ours.
            let Some(name) = TargetName::of_path(path) else { continue };
            let json = target_bytes(repository, path, file)?;
            let wrong = |source| ReleaseError::Document { target: path.clone(), source };
            if let Some(key) = name.channel() {
                let document = ChannelDocument::from_json(&json).map_err(wrong)?;
                if document.target_name() != name {
                    return Err(ReleaseError::Misnamed(path.clone()));
                }
                published.channels.insert(key, document);
            } else {
                let document = ReleaseDocument::from_json(&json).map_err(wrong)?;
                if document.target_name() != name {
                    return Err(ReleaseError::Misnamed(path.clone()));
                }
                published.releases.insert(name, document);
            }
        }
        published.metadata = Some(PublishedMetadata { timestamp, snapshot, targets });
        Ok(published)
    }

    /// The document of a version of an image.
    pub fn release(&self, name: &TargetName) -> Option<&ReleaseDocument> {
        self.releases.get(name)
    }

    /// Whether targets or snapshot expires first, and when: a new timestamp doesn't change that.
    pub fn content_expires(&self) -> Option<(RoleName, UnixTime)> {
        let PublishedMetadata { snapshot, targets, .. } = self.metadata.as_ref()?;
        let expiries = [(RoleName::snapshot(), snapshot.header.expires), (RoleName::targets(), targets.header.expires)];
        expiries.into_iter().min_by_key(|(_, expires)| *expires)
    }

    /// When it was last signed, as far as it says, with keys that count.
    pub fn issued(&self) -> Option<UnixTime> {
        let PublishedMetadata { timestamp, snapshot, targets } = self.metadata.as_ref()?;
        let issued = [
            (RoleName::timestamp(), timestamp.header.issued),
            (RoleName::snapshot(), snapshot.header.issued),
            (RoleName::targets(), targets.header.issued),
        ];
        issued.into_iter().filter(|(role, _)| !self.replaced.contains(role)).filter_map(|(_, issued)| issued).max()
    }

    /// The version of a role that the next one follows.
    pub fn version(&self, role: &RoleName) -> Option<MetadataVersion> {
        let PublishedMetadata { timestamp, snapshot, targets } = self.metadata.as_ref()?;
        let versions = [
            (RoleName::timestamp(), timestamp.header.version),
            (RoleName::snapshot(), snapshot.header.version),
            (RoleName::targets(), targets.header.version),
        ];
        let version = versions.into_iter().find(|(other, _)| other == role)?.1;
        Some(version).filter(|version| version.number() < ABSURD || !self.replaced.contains(role))
    }

    /// Whether targets or snapshot was signed with keys that were replaced, which a new timestamp doesn't mend.
    pub fn content_is_replaced(&self) -> bool {
        [RoleName::snapshot(), RoleName::targets()].iter().any(|role| self.replaced.contains(role))
    }
}

impl PublishedMetadata {
    /// What the targets say, to be changed.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// What the snapshot says, to be changed.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// The name of a role's file of a version.
pub fn metadata_name(version: MetadataVersion, role: &RoleName) -> String {
    format!("metadata/{version}.{}", role.file_name())
}

/// The version of a role's file of that name in `metadata`, without the folder. `None` for one that was made up.
pub fn metadata_version(name: &str, role: &RoleName) -> Option<MetadataVersion> {
    let (version, rest) = name.split_once('.')?;
    let number = version.parse().ok().filter(|number| rest == role.file_name() && *number < ABSURD)?;
    MetadataVersion::new(number)
}

/// The name of a target's file.
pub fn target_file_name(path: &str, file: &TargetFile) -> Option<String> {
    let prefix = file.hashes.prefix()?;
    Some(match path.rsplit_once('/') {
        None => format!("targets/{prefix}.{path}"),
        Some((folder, name)) => format!("targets/{folder}/{prefix}.{name}"),
    })
}

fn target_bytes(repository: &Repository, path: &str, file: &TargetFile) -> Result<Vec<u8>, ReleaseError> {
    let damaged = |name: &str| ReleaseError::Damaged { path: repository.file(name), what: "target" };
    let name = target_file_name(path, file).ok_or_else(|| damaged(path))?;
    let bytes = required(repository, &name, DOCUMENT_MAX as u64)?;
    if bytes.len() as u64 != file.length || !file.hashes.hold_for(&bytes) {
        return Err(damaged(&name));
    }
    Ok(bytes)
}

fn required(repository: &Repository, name: &str, limit: u64) -> Result<Vec<u8>, ReleaseError> {
    repository.read(name, limit)?.ok_or_else(|| ReleaseError::Missing(repository.file(name)))
}

/// Verifies by the newest root that will have it. The error is the newest one's.
fn by_any<T>(
    roots: &[VerifiedRoot],
    role: &RoleName,
    replaced: &mut BTreeSet<RoleName>,
    verify: impl Fn(&VerifiedRoot) -> Result<T, MetadataError>,
) -> Result<T, ReleaseError> {
    let mut newest = None;
    for root in roots.iter().rev() {
        match verify(root) {
            Ok(found) => {
                if newest.is_some() {
                    replaced.insert(role.clone());
                }
                return Ok(found);
            }
            Err(error) => newest = newest.or(Some(error)),
        }
    }
    let source = newest.unwrap_or(MetadataError::NotInSnapshot);
    Err(ReleaseError::Metadata { role: role.clone(), source })
}

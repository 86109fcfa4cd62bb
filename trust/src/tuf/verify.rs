//! From bytes to metadata that is believed.
//!
//! The bytes come from a server or a disk that may be an attacker's. Expected, and what stops each: forged content (the
//! canonical form of exactly what is parsed must be signed by the threshold of keys), one key counted twice under two names
//! or by two signatures (keys are told apart by what they are; a name that signs twice refuses the whole), another role's
//! metadata (type), an older version (rollback checks against what is trusted), another file under a signed name (version,
//! length and digests from the parent). Expiry is checked apart, because trusted metadata that expired still guards against
//! rollback.
//!
//! A [`Verified`] can only be made here, and holds the bytes as they came.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use super::clock::Clock;
use super::error::MetadataError;
use super::name::RoleName;
use super::schema::{
    Delegation, Delegations, Header, MetaFile, MetadataVersion, Role, RoleKeys, Root, Snapshot, Targets, Timestamp,
};
use crate::json::{Fields, Json, Limits, ShapeError};
use crate::key::{KeyId, PublicKey};

/// Metadata that enough of the right keys signed. Gives access to what it says by dereference.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    signed: T,
    bytes: Arc<[u8]>,
}

/// The root, signed by its predecessor's keys and its own.
pub type VerifiedRoot = Verified<Root>;
/// The timestamp, signed by the root's keys for it.
pub type VerifiedTimestamp = Verified<Timestamp>;
/// A snapshot, signed by the root's keys for it and named by a timestamp.
pub type VerifiedSnapshot = Verified<Snapshot>;
/// Metadata of a targets role, signed by its delegator's keys for it and named by a snapshot.
pub type VerifiedTargets = Verified<Targets>;

impl<T> Verified<T> {
    /// The bytes as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.signed
    }
}

impl<T: Role> Verified<T> {
    /// That its time isn't over.
    pub fn check_fresh(&self, clock: Clock) -> Result<(), MetadataError> {
        let Header { version, expires, .. } = *self.header();
        let now = clock.now();
        if expires <= now {
            return Err(MetadataError::Expired { version, expires, now, reading: clock.reading() });
        }
        Ok(())
    }
}

/// What a document says, and who claims to have signed it. Nothing of it is believed yet.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    signed: Json,
    signatures: Signatures,
}

/// Signatures by the name of the key.
pub type Signatures = BTreeMap<KeyId, Vec<u8>>;

impl Envelope {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        let mut fields = Fields::of(Json::parse(bytes, Limits::METADATA)?, "metadata")?;
        let signed = fields.required("signed")?;
        let mut signatures = Signatures::new();
        for (index, value) in fields.array("signatures")?.into_iter().enumerate() {
            let mut signature = Fields::of(value, &format!("signatures[{index}]"))?;
            let name = signature.string("keyid")?;
            let id = KeyId::new(&name).ok_or_else(|| signature.wrong("keyid", "is no name of a key"))?;
            // What can't be a signature is one that doesn't verify: others may still be enough.
            let bytes = hex::decode(signature.string("sig")?).unwrap_or_default();
            if signatures.insert(id, bytes).is_some() {
                return Err(signature.wrong("keyid", "signs twice").into());
            }
        }
        Ok(Self { signed, signatures })
    }

    /// How many different keys of the role signed. Counting stops at nothing: the number is shown.
    pub(crate) fn valid_signatures(&self, role: &RoleKeys, keys: &BTreeMap<KeyId, PublicKey>) -> u64 {
        let message = self.signed.to_canonical();
        let mut counted = BTreeSet::new();
        for id in &role.key_ids {
            let (Some(key), Some(signature)) = (keys.get(id), self.signatures.get(id)) else { continue };
            let Some(identity) = key.identity() else { continue };
            if !counted.contains(&identity) && key.verifies(&message, signature) {
                counted.insert(identity);
            }
        }
        counted.len() as u64
    }

    fn check(&self, role: &RoleKeys, keys: &BTreeMap<KeyId, PublicKey>) -> Result<(), MetadataError> {
        let (valid, threshold) = (self.valid_signatures(role, keys), role.threshold.get());
        if valid < threshold { Err(MetadataError::Signatures { valid, threshold }) } else { Ok(()) }
    }

    pub(crate) fn decode<T: Role>(self) -> Result<T, ShapeError> {
        T::from_fields(Fields::of(self.signed, "signed")?)
    }

    #[cfg(feature = "sign")]
    pub(crate) const fn of(signed: Json, signatures: Signatures) -> Self {
        Self { signed, signatures }
    }

    #[cfg(feature = "sign")]
    pub(crate) fn into_parts(self) -> (Json, Signatures) {
        (self.signed, self.signatures)
    }

    fn verify<T: Role>(
        self,
        bytes: &[u8],
        role: &RoleKeys,
        keys: &BTreeMap<KeyId, PublicKey>,
    ) -> Result<Verified<T>, MetadataError> {
        self.check(role, keys)?;
        Ok(Verified { signed: self.decode()?, bytes: bytes.into() })
    }
}

impl VerifiedRoot {
    /// Takes a root that came with the machine, by a way that is trusted. It must be signed by its own keys, and may have
    /// expired.
    pub fn anchor(bytes: &[u8]) -> Result<Self, MetadataError> {
        let envelope = Envelope::parse(bytes)?;
        let root: Root = envelope.clone().decode()?;
        envelope.check(&root.root, &root.keys)?;
        Ok(Self { signed: root, bytes: bytes.into() })
    }

    /// Takes the next root (section 5.3.4 and on): its version is the next one, and both this root's keys and its own signed it.
    pub fn successor(&self, bytes: &[u8]) -> Result<Self, MetadataError> {
        let version = self.header.version;
        let expected = version.next().ok_or(MetadataError::LastVersion(version))?;
        let envelope = Envelope::parse(bytes)?;
        envelope.check(&self.root, &self.keys)?;
        let next = Self::anchor(bytes)?;
        expect_version(expected, next.header.version)?;
        Ok(next)
    }

    /// A timestamp that this root's keys signed, whatever its version.
    pub(super) fn timestamp(&self, bytes: &[u8]) -> Result<VerifiedTimestamp, MetadataError> {
        Envelope::parse(bytes)?.verify(bytes, &self.timestamp, &self.keys)
    }

    /// The next timestamp (section 5.4); `None` when `trusted` is of the same version, and stays.
    pub fn next_timestamp(
        &self,
        bytes: &[u8],
        trusted: Option<&VerifiedTimestamp>,
    ) -> Result<Option<VerifiedTimestamp>, MetadataError> {
        let found = self.timestamp(bytes)?;
        let Some(trusted) = trusted else { return Ok(Some(found)) };
        if found.header.version == trusted.header.version {
            return Ok(None);
        }
        refuse_rollback(&RoleName::timestamp(), trusted.header.version, found.header.version)?;
        refuse_rollback(&RoleName::snapshot(), trusted.snapshot.version, found.snapshot.version)?;
        Ok(Some(found))
    }

    /// A snapshot that this root's keys signed, whatever its version.
    pub(super) fn snapshot(&self, bytes: &[u8]) -> Result<VerifiedSnapshot, MetadataError> {
        Envelope::parse(bytes)?.verify(bytes, &self.snapshot, &self.keys)
    }

    /// The snapshot that `timestamp` names (section 5.5); nothing that `trusted` lists may go back or be gone.
    pub fn next_snapshot(
        &self,
        timestamp: &VerifiedTimestamp,
        bytes: &[u8],
        trusted: Option<&VerifiedSnapshot>,
    ) -> Result<VerifiedSnapshot, MetadataError> {
        check_file(&timestamp.snapshot, &RoleName::timestamp(), bytes)?;
        let found = self.snapshot(bytes)?;
        expect_version(timestamp.snapshot.version, found.header.version)?;
        for (role, file) in trusted.iter().flat_map(|trusted| &trusted.meta) {
            let now = found.meta.get(role).ok_or_else(|| MetadataError::Removed(role.clone()))?;
            refuse_rollback(role, file.version, now.version)?;
        }
        Ok(found)
    }

    /// Top-level targets that this root's keys signed, whatever their version.
    pub(super) fn targets(&self, bytes: &[u8]) -> Result<VerifiedTargets, MetadataError> {
        Envelope::parse(bytes)?.verify(bytes, &self.targets, &self.keys)
    }

    /// The top-level targets that `snapshot` names (section 5.6).
    pub fn next_targets(&self, snapshot: &VerifiedSnapshot, bytes: &[u8]) -> Result<VerifiedTargets, MetadataError> {
        listed(snapshot, &RoleName::targets(), bytes, || self.targets(bytes))
    }
}

impl VerifiedTargets {
    /// The metadata of a role that this role delegates to, as `snapshot` names it.
    pub fn delegate(
        &self,
        delegation: &Delegation,
        snapshot: &VerifiedSnapshot,
        bytes: &[u8],
    ) -> Result<Self, MetadataError> {
        listed(snapshot, &delegation.name, bytes, || self.signed_delegate(delegation, bytes))
    }

    /// Metadata that the keys of this delegation signed, whatever its version.
    pub(super) fn signed_delegate(&self, delegation: &Delegation, bytes: &[u8]) -> Result<Self, MetadataError> {
        let none = BTreeMap::new();
        let keys = self.delegations.as_ref().map_or(&none, |Delegations { keys, .. }| keys);
        Envelope::parse(bytes)?.verify(bytes, &delegation.keys, keys)
    }
}

/// Checks what the snapshot says of a targets role around the check of its signatures.
fn listed(
    snapshot: &VerifiedSnapshot,
    role: &RoleName,
    bytes: &[u8],
    verify: impl FnOnce() -> Result<VerifiedTargets, MetadataError>,
) -> Result<VerifiedTargets, MetadataError> {
    let file = snapshot.meta.get(role).ok_or(MetadataError::NotInSnapshot)?;
    check_file(file, &RoleName::snapshot(), bytes)?;
    let found = verify()?;
    expect_version(file.version, found.header.version)?;
    Ok(found)
}

fn check_file(file: &MetaFile, parent: &RoleName, bytes: &[u8]) -> Result<(), MetadataError> {
    let found = bytes.len() as u64;
    if let Some(expected) = file.length.filter(|&expected| expected != found) {
        return Err(MetadataError::Length { parent: parent.clone(), expected, found });
    }
    match &file.hashes {
        Some(hashes) if !hashes.hold_for(bytes) => Err(MetadataError::Digest(parent.clone())),
        _ => Ok(()),
    }
}

fn expect_version(expected: MetadataVersion, found: MetadataVersion) -> Result<(), MetadataError> {
    if expected == found { Ok(()) } else { Err(MetadataError::Version { expected, found }) }
}

fn refuse_rollback(of: &RoleName, trusted: MetadataVersion, found: MetadataVersion) -> Result<(), MetadataError> {
    if found < trusted {
        return Err(MetadataError::Rollback { of: of.clone(), trusted, found });
    }
    Ok(())
}

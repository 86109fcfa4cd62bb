//! Making metadata. Pure: keys and moments are handed in, bytes come out.
//!
//! An [`UnsignedRole`] gathers signatures, on one machine or on several ([`UnsignedRole::to_draft`] carries it between them).
//! Only when the threshold is reached, as whoever verifies it will count, does it become a [`SignedRole`], and only that has
//! bytes to publish.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Deref;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::error::MetadataError;
use super::name::RoleName;
use super::schema::{
    Delegation, Header, MetaFile, MetadataVersion, Role, RoleKeys, Root, Snapshot, Targets, Timestamp,
};
use super::verify::{Envelope, Signatures, Verified, VerifiedRoot, VerifiedTargets};
use crate::json::{Json, Object};
use crate::key::{KeyId, PublicKey};
use crate::time::UnixTime;

/// A private ed25519 key. Overwritten in memory when dropped.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of this secret (RFC 8032), which should be 32 random bytes.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// The key by which its signatures are verified.
    pub fn public(&self) -> PublicKey {
        PublicKey::of_signing_key(&self.0)
    }

    /// The conventional name of its public key.
    pub fn id(&self) -> KeyId {
        self.public().id()
    }

    /// The 32 bytes of its public key (RFC 8032).
    pub fn public_bytes(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        use ed25519_dalek::Signer as _;
        self.0.sign(message).to_bytes().to_vec()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

/// Metadata that lacks signatures.
#[derive(Clone, Debug)]
pub struct UnsignedRole<T> {
    signed: T,
    /// What is signed, as it came: a draft may have fields that this version doesn't know.
    json: Json,
    signatures: Signatures,
}

/// Metadata that those who verify it will believe.
#[derive(Clone, Debug)]
pub struct SignedRole<T>(Verified<T>);

/// Why metadata can't be made.
#[derive(Debug, Error)]
pub enum SignError {
    /// A role would need more signatures than there are different keys.
    #[error("the role {role} needs {threshold} signatures and has {keys} different keys")]
    Threshold {
        /// The role.
        role: RoleName,
        /// Signatures it would need.
        threshold: u64,
        /// Keys it has.
        keys: u64,
    },
    /// Whoever verifies it would refuse it.
    #[error("the {role} metadata can't be published")]
    Refused {
        /// The role.
        role: RoleName,
        /// Why.
        source: MetadataError,
    },
    /// A draft can't be read.
    #[error("not a draft of {role} metadata")]
    Draft {
        /// The role.
        role: &'static str,
        /// Why.
        source: MetadataError,
    },
    /// There is no version after the last one.
    #[error("no version can follow {0}")]
    LastVersion(MetadataVersion),
}

impl<T: Role> UnsignedRole<T> {
    /// Metadata that nobody signed yet.
    pub fn new(signed: T) -> Self {
        let json = signed.to_json();
        Self { signed, json, signatures: Signatures::new() }
    }

    /// Signs with one more key. Whether the key counts is seen when the role is finished.
    #[must_use]
    pub fn sign(mut self, key: &SigningKey) -> Self {
        let signature = key.sign(&self.json.to_canonical());
        self.signatures.insert(key.id(), signature);
        self
    }

    /// What it says.
    pub const fn content(&self) -> &T {
        &self.signed
    }

    /// The names of the keys that signed so far; the signatures may be wrong.
    pub fn signers(&self) -> impl Iterator<Item = &KeyId> {
        self.signatures.keys()
    }

    /// The SHA-256 of what is signed, to be compared between machines.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.json.to_canonical()))
    }

    /// The draft as a file, to be signed elsewhere.
    pub fn to_draft(&self) -> Vec<u8> {
        let signatures = self.signatures.iter().map(|(id, signature)| {
            let signature = hex::encode(signature);
            Object::from([("keyid".to_owned(), id.as_str().into()), ("sig".to_owned(), signature.into())])
        });
        let envelope =
            Object::from([("signatures".to_owned(), signatures.collect()), ("signed".to_owned(), self.json.clone())]);
        Json::from(envelope).to_pretty()
    }

    /// Reads a draft, or metadata that is already signed. Nothing is verified.
    pub fn from_draft(bytes: &[u8]) -> Result<Self, SignError> {
        let wrong = |source| SignError::Draft { role: T::TYPE, source };
        let envelope = Envelope::parse(bytes).map_err(wrong)?;
        let signed = envelope.clone().decode().map_err(|error| wrong(error.into()))?;
        let (json, signatures) = envelope.into_parts();
        Ok(Self { signed, json, signatures })
    }

    /// Takes over the signatures of another copy of the same draft, signed elsewhere. `false` when it says anything else.
    pub fn merge(&mut self, other: Self) -> bool {
        let same = self.json == other.json;
        if same {
            self.signatures.extend(other.signatures);
        }
        same
    }

    /// How many different keys out of these signed rightly.
    pub fn valid_signatures(&self, role: &RoleKeys, keys: &BTreeMap<KeyId, PublicKey>) -> u64 {
        Envelope::of(self.json.clone(), self.signatures.clone()).valid_signatures(role, keys)
    }

    fn finish_by(
        &self,
        role: RoleName,
        verify: impl FnOnce(&[u8]) -> Result<Verified<T>, MetadataError>,
    ) -> Result<SignedRole<T>, SignError> {
        verify(&self.to_draft()).map(SignedRole).map_err(|source| SignError::Refused { role, source })
    }
}

impl UnsignedRole<Root> {
    /// The root that follows `previous`; the first of all when there is none.
    pub fn finish(&self, previous: Option<&VerifiedRoot>) -> Result<SignedRole<Root>, SignError> {
        self.finish_by(RoleName::root(), |bytes| match previous {
            Some(previous) => previous.successor(bytes),
            None => VerifiedRoot::anchor(bytes),
        })
    }
}

impl UnsignedRole<Timestamp> {
    /// A timestamp that names this snapshot.
    pub fn timestamp(header: Header, snapshot: &SignedRole<Snapshot>) -> Self {
        let snapshot = MetaFile::of(snapshot.header.version, snapshot.bytes());
        Self::new(Timestamp { header, snapshot, extra: Object::new() })
    }

    /// Counts the signatures by the root.
    pub fn finish(&self, root: &VerifiedRoot) -> Result<SignedRole<Timestamp>, SignError> {
        self.finish_by(RoleName::timestamp(), |bytes| root.timestamp(bytes))
    }
}

impl UnsignedRole<Snapshot> {
    /// A snapshot of these targets roles, the top-level one among them.
    pub fn snapshot<'a>(
        header: Header,
        targets: impl IntoIterator<Item = (RoleName, &'a SignedRole<Targets>)>,
    ) -> Self {
        let meta = targets.into_iter().map(|(role, targets)| {
            let file = MetaFile::of(targets.header.version, targets.bytes());
            (role, file)
        });
        Self::new(Snapshot { header, meta: meta.collect(), extra: Object::new() })
    }

    /// Counts the signatures by the root.
    pub fn finish(&self, root: &VerifiedRoot) -> Result<SignedRole<Snapshot>, SignError> {
        self.finish_by(RoleName::snapshot(), |bytes| root.snapshot(bytes))
    }
}

impl UnsignedRole<Targets> {
    /// Counts the signatures by the root, for the top-level role.
    pub fn finish(&self, root: &VerifiedRoot) -> Result<SignedRole<Targets>, SignError> {
        self.finish_by(RoleName::targets(), |bytes| root.targets(bytes))
    }

    /// Counts the signatures by a delegation of `parent`.
    pub fn finish_delegated(
        &self,
        parent: &VerifiedTargets,
        delegation: &Delegation,
    ) -> Result<SignedRole<Targets>, SignError> {
        self.finish_by(delegation.name.clone(), |bytes| parent.signed_delegate(delegation, bytes))
    }
}

impl<T> SignedRole<T> {
    /// The bytes to publish.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The metadata as whoever verifies it has it.
    pub const fn verified(&self) -> &Verified<T> {
        &self.0
    }
}

impl<T> Deref for SignedRole<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A top-level role that a root names the keys of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopRole {
    /// Signs the next root.
    Root,
    /// Signs the top-level targets.
    Targets,
    /// Signs snapshots.
    Snapshot,
    /// Signs timestamps.
    Timestamp,
}

impl TopRole {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// Its name.
    pub fn name(self) -> RoleName {
        match self {
            Self::Root => RoleName::root(),
            Self::Targets => RoleName::targets(),
            Self::Snapshot => RoleName::snapshot(),
            Self::Timestamp => RoleName::timestamp(),
        }
    }

    /// Its keys in a root.
    pub const fn of(self, root: &Root) -> &RoleKeys {
        match self {
            Self::Root => &root.root,
            Self::Targets => &root.targets,
            Self::Snapshot => &root.snapshot,
            Self::Timestamp => &root.timestamp,
        }
    }

    const fn of_mut(self, root: &mut Root) -> &mut RoleKeys {
        match self {
            Self::Root => &mut root.root,
            Self::Targets => &mut root.targets,
            Self::Snapshot => &mut root.snapshot,
            Self::Timestamp => &mut root.timestamp,
        }
    }
}

/// Makes a root.
#[derive(Clone, Debug)]
pub struct RootBuilder(Root);

impl RootBuilder {
    /// The first root of a repository with consistent snapshots; each role has no keys yet and a threshold of 1.
    pub fn first(issued: UnixTime, expires: UnixTime) -> Self {
        let none = || RoleKeys::new(Vec::new(), NonZeroU64::MIN);
        Self(Root {
            header: Header::new(MetadataVersion::FIRST, issued, expires),
            consistent_snapshot: true,
            keys: BTreeMap::new(),
            root: none(),
            targets: none(),
            snapshot: none(),
            timestamp: none(),
            other_roles: Object::new(),
            extra: Object::new(),
        })
    }

    /// The root after `previous`, the same but for its version and time.
    pub fn after(previous: &Root, issued: UnixTime, expires: UnixTime) -> Result<Self, SignError> {
        let version = previous.header.version;
        let version = version.next().ok_or(SignError::LastVersion(version))?;
        Ok(Self(Root { header: Header::new(version, issued, expires), ..previous.clone() }))
    }

    /// Lets a key sign for a role.
    #[must_use]
    pub fn add_key(mut self, role: TopRole, key: &PublicKey) -> Self {
        let (id, role) = (key.id(), role.of_mut(&mut self.0));
        if !role.key_ids.contains(&id) {
            role.key_ids.push(id.clone());
        }
        self.0.keys.insert(id, key.clone());
        self
    }

    /// No longer lets a key sign for a role.
    #[must_use]
    pub fn remove_key(mut self, role: TopRole, id: &KeyId) -> Self {
        role.of_mut(&mut self.0).key_ids.retain(|found| found != id);
        let used = TopRole::ALL.into_iter().any(|role| role.of(&self.0).key_ids.contains(id));
        if !used {
            self.0.keys.remove(id);
        }
        self
    }

    /// So many different keys must sign for a role.
    #[must_use]
    pub const fn threshold(mut self, role: TopRole, threshold: NonZeroU64) -> Self {
        role.of_mut(&mut self.0).threshold = threshold;
        self
    }

    /// The root to be signed. Refused when a role could never reach its threshold.
    pub fn build(self) -> Result<UnsignedRole<Root>, SignError> {
        for role in TopRole::ALL {
            let RoleKeys { key_ids, threshold, .. } = role.of(&self.0);
            let different: std::collections::BTreeSet<_> =
                key_ids.iter().filter_map(|id| self.0.keys.get(id)?.identity()).collect();
            let (threshold, keys) = (threshold.get(), different.len() as u64);
            if keys < threshold {
                return Err(SignError::Threshold { role: role.name(), threshold, keys });
            }
        }
        Ok(UnsignedRole::new(self.0))
    }
}

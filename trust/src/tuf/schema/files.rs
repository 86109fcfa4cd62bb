//! Files that metadata vouches for: other metadata, and targets.

use std::fmt;

use sha2::{Digest as _, Sha256, Sha512};

use super::{MetadataVersion, version_of};
use crate::json::{Fields, Json, Object, ShapeError};

/// Digests of one file. Those of known algorithms must all hold; those of unknown ones are kept and can't be checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// SHA-512.
    pub sha512: Option<[u8; 64]>,
    /// By other algorithms.
    pub extra: Object,
}

impl Hashes {
    /// The SHA-256 alone.
    pub const fn of_sha256(digest: [u8; 32]) -> Self {
        Self { sha256: Some(digest), sha512: None, extra: Object::new() }
    }

    /// Whether there is one that can be checked.
    pub const fn can_be_checked(&self) -> bool {
        self.sha256.is_some() || self.sha512.is_some()
    }

    /// Starts checking a file.
    pub fn checker(&self) -> HashChecker {
        HashChecker { sha256: self.sha256.map(|_| Sha256::new()), sha512: self.sha512.map(|_| Sha512::new()) }
    }

    /// Whether these are the digests of `bytes`. Not when there is none that can be checked.
    pub fn hold_for(&self, bytes: &[u8]) -> bool {
        let mut checker = self.checker();
        checker.update(bytes);
        checker.agrees_with(self)
    }

    /// The digest that a file's published name starts with, in hexadecimal: SHA-256 where there is one.
    pub fn prefix(&self) -> Option<String> {
        self.sha256.map(hex::encode).or_else(|| self.sha512.map(hex::encode))
    }

    fn from_json(value: Json, place: &str) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(value, place)?;
        let sha256 = digest(&mut fields, "sha256")?;
        let sha512 = digest(&mut fields, "sha512")?;
        Ok(Self { sha256, sha512, extra: fields.rest() })
    }

    fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        if let Some(digest) = self.sha256 {
            object.insert("sha256".to_owned(), hex::encode(digest).into());
        }
        if let Some(digest) = self.sha512 {
            object.insert("sha512".to_owned(), hex::encode(digest).into());
        }
        object.into()
    }
}

/// A file that is being hashed while it streams past.
pub struct HashChecker {
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl HashChecker {
    /// The next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some(hasher) = &mut self.sha512 {
            hasher.update(bytes);
        }
    }

    /// Ends the file: whether every digest that can be checked is its own, and there is at least one.
    pub fn agrees_with(self, hashes: &Hashes) -> bool {
        let sha256 = self.sha256.map(|hasher| <[u8; 32]>::from(hasher.finalize()));
        let sha512 = self.sha512.map(|hasher| <[u8; 64]>::from(hasher.finalize()));
        hashes.can_be_checked() && sha256 == hashes.sha256 && sha512 == hashes.sha512
    }
}

impl fmt::Debug for HashChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashChecker")
    }
}

fn digest<const N: usize>(fields: &mut Fields, name: &str) -> Result<Option<[u8; N]>, ShapeError> {
    if !fields.has(name) {
        return Ok(None);
    }
    let text = fields.string(name)?;
    let mut digest = [0; N];
    match hex::decode_to_slice(&text, &mut digest) {
        Ok(()) => Ok(Some(digest)),
        Err(_) => Err(fields.wrong(name, format!("is no digest of {N} bytes in hexadecimal"))),
    }
}

/// What one role's metadata says of another's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFile {
    /// The version that the file must have.
    pub version: MetadataVersion,
    /// Its length in bytes, when given.
    pub length: Option<u64>,
    /// Its digests, when given.
    pub hashes: Option<Hashes>,
    /// Fields that aren't known.
    pub extra: Object,
}

impl MetaFile {
    /// Says the version, length in bytes and SHA-256 of `bytes`.
    pub fn of(version: MetadataVersion, bytes: &[u8]) -> Self {
        let hashes = Hashes::of_sha256(Sha256::digest(bytes).into());
        Self { version, length: Some(bytes.len() as u64), hashes: Some(hashes), extra: Object::new() }
    }

    pub(super) fn from_json(value: Json, place: &str) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(value, place)?;
        let version = version_of(&mut fields, "version")?;
        let length = fields.optional_natural("length")?;
        let place = fields.place("hashes");
        let hashes = fields.optional("hashes").map(|value| Hashes::from_json(value, &place)).transpose()?;
        Ok(Self { version, length, hashes, extra: fields.rest() })
    }

    pub(super) fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        object.insert("version".to_owned(), self.version.number().into());
        if let Some(length) = self.length {
            object.insert("length".to_owned(), length.into());
        }
        if let Some(hashes) = &self.hashes {
            object.insert("hashes".to_owned(), hashes.to_json());
        }
        object.into()
    }
}

/// What is said of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFile {
    /// Length in bytes.
    pub length: u64,
    /// Digests.
    pub hashes: Hashes,
    /// What the publisher says of it beyond that.
    pub custom: Option<Json>,
    /// Fields that aren't known.
    pub extra: Object,
}

impl TargetFile {
    /// Describes `bytes` by length and SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        let hashes = Hashes::of_sha256(Sha256::digest(bytes).into());
        Self { length: bytes.len() as u64, hashes, custom: None, extra: Object::new() }
    }

    pub(super) fn from_json(value: Json, place: &str) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(value, place)?;
        let length = fields.natural("length")?;
        let hashes = fields.required("hashes")?;
        let hashes = Hashes::from_json(hashes, &fields.place("hashes"))?;
        let custom = fields.optional("custom");
        Ok(Self { length, hashes, custom, extra: fields.rest() })
    }

    pub(super) fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        object.insert("length".to_owned(), self.length.into());
        object.insert("hashes".to_owned(), self.hashes.to_json());
        if let Some(custom) = &self.custom {
            object.insert("custom".to_owned(), custom.clone());
        }
        object.into()
    }
}

//! What TUF metadata says (section 4 of the specification, 1.0.x): one type per role, each with the fields that it doesn't
//! know in `extra`, so that nothing is lost when it is written again.
//!
//! All of this may be read from untrusted bytes: see [`crate::json`] for what stops broken documents. Here, a field of the
//! wrong kind, a version of 0, a threshold of 0 or an expiry in another form than the specification's is an error of the
//! whole document, never a default.

mod delegations;
mod files;
mod root;
mod snapshot;
mod targets;
mod timestamp;

use std::fmt;
use std::num::NonZeroU64;

use crate::json::{Fields, Json, Object, ShapeError};
use crate::key::KeyId;
use crate::time::UnixTime;
use crate::tuf::name::RoleName;

pub use delegations::{Bins, Delegation, Delegations, Division, Scope};
pub use files::{HashChecker, Hashes, MetaFile, TargetFile};
pub use root::Root;
pub use snapshot::Snapshot;
pub use targets::Targets;
pub use timestamp::Timestamp;

/// The version of the specification that is written; each 1.x is read.
pub const SPEC_VERSION: &str = "1.0.34";

/// The version of one role's metadata: 1 or more, and each one published is higher than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataVersion(NonZeroU64);

impl MetadataVersion {
    /// The first version.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The version of this number, unless it is 0.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0.get()
    }

    /// The version after this one; `None` after the last that 64 bits hold.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the metadata of every role begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version of the specification that it follows, such as `1.0.34`.
    pub spec_version: String,
    /// Version of this metadata.
    pub version: MetadataVersion,
    /// It is void from this moment on.
    pub expires: UnixTime,
    /// When it was signed, where the signer says so (`x-slipway-issued`, a field of our own): a clock that reads an earlier
    /// time is known to be wrong. Never later than `expires`.
    pub issued: Option<UnixTime>,
}

impl Header {
    /// A header of the specification's current version.
    pub fn new(version: MetadataVersion, issued: UnixTime, expires: UnixTime) -> Self {
        Self { spec_version: SPEC_VERSION.to_owned(), version, expires, issued: Some(issued.min(expires)) }
    }

    fn take(fields: &mut Fields, role_type: &str) -> Result<Self, ShapeError> {
        let found = fields.string("_type")?;
        if found != role_type {
            return Err(fields.wrong("_type", format!("is {found:?}, not {role_type:?}")));
        }
        let spec_version = fields.string("spec_version")?;
        if spec_version.split('.').next() != Some("1") {
            return Err(fields.wrong("spec_version", format!("is {spec_version:?}; known is 1.x")));
        }
        let version = version_of(fields, "version")?;
        let expires = moment_of(fields, "expires")?;
        let issued = if fields.has(ISSUED) { Some(moment_of(fields, ISSUED)?) } else { None };
        if issued.is_some_and(|issued| issued > expires) {
            return Err(fields.wrong(ISSUED, "is later than the expiry"));
        }
        Ok(Self { spec_version, version, expires, issued })
    }

    fn put(&self, role_type: &str, object: &mut Object) {
        object.insert("_type".to_owned(), role_type.into());
        object.insert("spec_version".to_owned(), self.spec_version.as_str().into());
        object.insert("version".to_owned(), self.version.number().into());
        object.insert("expires".to_owned(), self.expires.to_iso().into());
        if let Some(issued) = self.issued {
            object.insert(ISSUED.to_owned(), issued.to_iso().into());
        }
    }
}

const ISSUED: &str = "x-slipway-issued";

/// The `signed` part of one kind of role.
pub trait Role: Sized {
    /// The text of the field `_type`.
    const TYPE: &'static str;

    /// Takes the object apart.
    fn from_fields(fields: Fields) -> Result<Self, ShapeError>;

    /// The object, with every field that it was read with.
    fn to_json(&self) -> Json;

    /// What each role begins with.
    fn header(&self) -> &Header;

    /// Likewise, to be changed.
    fn header_mut(&mut self) -> &mut Header;
}

/// Which keys sign for a role, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKeys {
    /// The keys' names.
    pub key_ids: Vec<KeyId>,
    /// Different keys that must have signed; 1 or more.
    pub threshold: NonZeroU64,
    /// Fields that aren't known.
    pub extra: Object,
}

impl RoleKeys {
    /// So many of these keys.
    pub fn new(key_ids: Vec<KeyId>, threshold: NonZeroU64) -> Self {
        Self { key_ids, threshold, extra: Object::new() }
    }

    fn take(fields: &mut Fields) -> Result<Self, ShapeError> {
        let names = fields.strings("keyids")?;
        let key_id = |name: &String| KeyId::new(name).ok_or_else(|| fields.wrong("keyids", "holds no name of a key"));
        let key_ids = names.iter().map(key_id).collect::<Result<Vec<_>, _>>()?;
        let threshold = fields.natural("threshold")?;
        let threshold = NonZeroU64::new(threshold).ok_or_else(|| fields.wrong("threshold", "is 0"))?;
        Ok(Self { key_ids, threshold, extra: Object::new() })
    }

    fn put(&self, object: &mut Object) {
        object.insert("keyids".to_owned(), self.key_ids.iter().map(KeyId::as_str).collect());
        object.insert("threshold".to_owned(), self.threshold.get().into());
    }

    fn from_json(value: Json, place: &str) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(value, place)?;
        let mut keys = Self::take(&mut fields)?;
        keys.extra = fields.rest();
        Ok(keys)
    }

    fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        self.put(&mut object);
        object.into()
    }
}

fn version_of(fields: &mut Fields, name: &str) -> Result<MetadataVersion, ShapeError> {
    let number = fields.natural(name)?;
    MetadataVersion::new(number).ok_or_else(|| fields.wrong(name, "is 0"))
}

fn moment_of(fields: &mut Fields, name: &str) -> Result<UnixTime, ShapeError> {
    let text = fields.string(name)?;
    UnixTime::from_iso(&text).ok_or_else(|| fields.wrong(name, "is no moment like 2026-11-22T16:14:50Z"))
}

fn role_name(text: &str, fields: &Fields, field: &str) -> Result<RoleName, ShapeError> {
    RoleName::new(text).map_err(|error| fields.wrong(field, format!("{text:?} {error}")))
}

//! The role `root`: which keys sign for the top-level roles.

use std::collections::BTreeMap;

use super::{Header, Role, RoleKeys};
use crate::json::{Fields, Json, Object, ShapeError};
use crate::key::{KeyId, PublicKey};

/// Metadata of the root role (section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What each role begins with.
    pub header: Header,
    /// Whether file names of metadata start with its version, and those of targets with their digest.
    pub consistent_snapshot: bool,
    /// All keys, by name.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// Who signs the next root.
    pub root: RoleKeys,
    /// Who signs the top-level targets.
    pub targets: RoleKeys,
    /// Who signs the snapshot.
    pub snapshot: RoleKeys,
    /// Who signs the timestamp.
    pub timestamp: RoleKeys,
    /// Roles that aren't known, such as `mirrors`.
    pub other_roles: Object,
    /// Fields that aren't known.
    pub extra: Object,
}

impl Role for Root {
    const TYPE: &'static str = "root";

    fn from_fields(mut fields: Fields) -> Result<Self, ShapeError> {
        let header = Header::take(&mut fields, Self::TYPE)?;
        let consistent_snapshot = fields.has("consistent_snapshot") && fields.truth("consistent_snapshot")?;
        let keys = take_keys(&mut fields)?;
        let mut roles = fields.fields("roles")?;
        let mut role = |name: &str| {
            let value = roles.required(name)?;
            RoleKeys::from_json(value, &roles.place(name))
        };
        let (root, targets) = (role("root")?, role("targets")?);
        let (snapshot, timestamp) = (role("snapshot")?, role("timestamp")?);
        let other_roles = roles.rest();
        let extra = fields.rest();
        Ok(Self { header, consistent_snapshot, keys, root, targets, snapshot, timestamp, other_roles, extra })
    }

    fn to_json(&self) -> Json {
        let mut roles = self.other_roles.clone();
        for (name, keys) in [
            ("root", &self.root),
            ("targets", &self.targets),
            ("snapshot", &self.snapshot),
            ("timestamp", &self.timestamp),
        ] {
            roles.insert(name.to_owned(), keys.to_json());
        }
        let mut object = self.extra.clone();
        self.header.put(Self::TYPE, &mut object);
        object.insert("consistent_snapshot".to_owned(), self.consistent_snapshot.into());
        object.insert("keys".to_owned(), keys_to_json(&self.keys));
        object.insert("roles".to_owned(), roles.into());
        object.into()
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }
}

pub(super) fn take_keys(fields: &mut Fields) -> Result<BTreeMap<KeyId, PublicKey>, ShapeError> {
    let listed = fields.fields("keys")?;
    let place = fields.place("keys");
    let key = |(name, value): (String, Json)| {
        let id = KeyId::new(&name).ok_or_else(|| ShapeError::new(&place, "holds no name of a key"))?;
        let key = PublicKey::from_json(value, &format!("{place}.{id}"))?;
        Ok((id, key))
    };
    listed.rest().into_iter().map(key).collect()
}

pub(super) fn keys_to_json(keys: &BTreeMap<KeyId, PublicKey>) -> Json {
    let object: Object = keys.iter().map(|(id, key)| (id.as_str().to_owned(), key.to_json())).collect();
    object.into()
}

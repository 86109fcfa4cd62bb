//! The role `snapshot`: which versions of the targets roles belong together.

use std::collections::BTreeMap;

use super::{Header, MetaFile, Role, role_name};
use crate::json::{Fields, Json, Object, ShapeError};
use crate::tuf::name::RoleName;

/// Metadata of the snapshot role (section 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What each role begins with.
    pub header: Header,
    /// The metadata of each role, delegated ones among them.
    pub meta: BTreeMap<RoleName, MetaFile>,
    /// Fields that aren't known.
    pub extra: Object,
}

impl Role for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn from_fields(mut fields: Fields) -> Result<Self, ShapeError> {
        let header = Header::take(&mut fields, Self::TYPE)?;
        let listed = fields.fields("meta")?;
        let mut meta = BTreeMap::new();
        for (file, value) in listed.rest() {
            let name = file.strip_suffix(".json").ok_or_else(|| fields.wrong("meta", "holds a name without .json"))?;
            let role = role_name(name, &fields, "meta")?;
            meta.insert(role, MetaFile::from_json(value, &format!("{}.{file}", fields.place("meta")))?);
        }
        if !meta.contains_key(&RoleName::targets()) {
            return Err(fields.wrong("meta", "lists no targets.json"));
        }
        Ok(Self { header, meta, extra: fields.rest() })
    }

    fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        self.header.put(Self::TYPE, &mut object);
        let meta: Object = self.meta.iter().map(|(role, file)| (format!("{role}.json"), file.to_json())).collect();
        object.insert("meta".to_owned(), meta.into());
        object.into()
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }
}

//! The role `timestamp`: which snapshot is the newest.

use super::{Header, MetaFile, Role};
use crate::json::{Fields, Json, Object, ShapeError};

/// Metadata of the timestamp role (section 4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// What each role begins with.
    pub header: Header,
    /// The snapshot to be used.
    pub snapshot: MetaFile,
    /// Fields that aren't known.
    pub extra: Object,
}

impl Role for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn from_fields(mut fields: Fields) -> Result<Self, ShapeError> {
        let header = Header::take(&mut fields, Self::TYPE)?;
        let mut meta = fields.fields("meta")?;
        let snapshot = meta.required("snapshot.json")?;
        let snapshot = MetaFile::from_json(snapshot, &meta.place("snapshot.json"))?;
        if let Some(name) = meta.object().keys().next() {
            return Err(meta.wrong(name, "is not of a timestamp, which lists the snapshot alone"));
        }
        Ok(Self { header, snapshot, extra: fields.rest() })
    }

    fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        self.header.put(Self::TYPE, &mut object);
        let meta = Object::from([("snapshot.json".to_owned(), self.snapshot.to_json())]);
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

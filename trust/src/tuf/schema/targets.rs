//! The role `targets`, top-level or delegated: files, and who else may speak of some.

use std::collections::BTreeMap;

use super::{Delegations, Header, Role, TargetFile};
use crate::json::{Fields, Json, Object, ShapeError};

/// Metadata of a targets role (section 4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// What each role begins with.
    pub header: Header,
    /// Files by their path. The paths are as they came; [`crate::tuf::TargetPath`] is what can be asked for.
    pub targets: BTreeMap<String, TargetFile>,
    /// Who else may speak of some paths.
    pub delegations: Option<Delegations>,
    /// Fields that aren't known.
    pub extra: Object,
}

impl Role for Targets {
    const TYPE: &'static str = "targets";

    fn from_fields(mut fields: Fields) -> Result<Self, ShapeError> {
        let header = Header::take(&mut fields, Self::TYPE)?;
        let listed = fields.fields("targets")?;
        let place = fields.place("targets");
        let target = |(path, value)| {
            let file = TargetFile::from_json(value, &format!("{place}.{path}"))?;
            Ok((path, file))
        };
        let targets = listed.rest().into_iter().map(target).collect::<Result<_, ShapeError>>()?;
        let place = fields.place("delegations");
        let delegations =
            fields.optional("delegations").map(|value| Delegations::from_json(value, &place)).transpose()?;
        Ok(Self { header, targets, delegations, extra: fields.rest() })
    }

    fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        self.header.put(Self::TYPE, &mut object);
        let targets: Object = self.targets.iter().map(|(path, file)| (path.clone(), file.to_json())).collect();
        object.insert("targets".to_owned(), targets.into());
        if let Some(delegations) = &self.delegations {
            object.insert("delegations".to_owned(), delegations.to_json());
        }
        object.into()
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }
}

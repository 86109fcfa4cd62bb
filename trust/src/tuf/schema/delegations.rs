//! Delegations: who else may speak of which targets (section 4.5.1, and TAP 15 for hash bins).

use std::collections::BTreeMap;

use super::root::{keys_to_json, take_keys};
use super::{RoleKeys, role_name};
use crate::json::{Fields, Json, Object, ShapeError};
use crate::key::{KeyId, PublicKey};
use crate::tuf::name::{RoleName, TargetPath};
use crate::tuf::paths::{HashPrefix, PathPattern};

/// The delegations of one targets role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegations {
    /// Keys of the delegated roles, by name.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// The delegated roles.
    pub division: Division,
    /// Fields that aren't known.
    pub extra: Object,
}

/// How the paths are divided among roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Division {
    /// Roles in order of precedence.
    Listed(Vec<Delegation>),
    /// Equal bins by the hash of the path.
    Bins(Bins),
}

/// A role that is delegated to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Its name.
    pub name: RoleName,
    /// Who signs for it.
    pub keys: RoleKeys,
    /// Which paths it may speak of.
    pub scope: Scope,
    /// Whether roles after it are not asked about these paths.
    pub terminating: bool,
}

/// Paths that a role may speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that match one of these.
    Paths(Vec<PathPattern>),
    /// Those whose SHA-256 starts with one of these.
    HashPrefixes(Vec<HashPrefix>),
}

impl Scope {
    /// Whether the path is one of these.
    pub fn covers(&self, path: &TargetPath) -> bool {
        match self {
            Self::Paths(patterns) => patterns.iter().any(|pattern| pattern.matches(path)),
            Self::HashPrefixes(prefixes) => prefixes.iter().any(|prefix| prefix.covers(path)),
        }
    }
}

/// Roles `PREFIX-0` … by the first bits of the SHA-256 of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bins {
    /// Who signs for each.
    pub keys: RoleKeys,
    /// Bits that choose the bin: 1 to 32.
    pub bit_length: u32,
    /// What the name of each starts with.
    pub name_prefix: String,
}

impl Bins {
    /// The bin of this path.
    pub fn of(&self, path: &TargetPath) -> Option<RoleName> {
        let [a, b, c, d, ..] = path.hash();
        let number = u32::from_be_bytes([a, b, c, d]).checked_shr(32_u32.checked_sub(self.bit_length)?)?;
        let digits = self.bit_length.div_ceil(4) as usize;
        RoleName::new(&format!("{}-{number:0digits$x}", self.name_prefix)).ok()
    }
}

impl Delegations {
    /// The roles that may speak of the path, in order; none behind a terminating one.
    pub fn for_path(&self, path: &TargetPath) -> Vec<Delegation> {
        match &self.division {
            Division::Listed(roles) => {
                let mut found = Vec::new();
                for role in roles.iter().filter(|role| role.scope.covers(path)) {
                    found.push(role.clone());
                    if role.terminating {
                        break;
                    }
                }
                found
            }
            Division::Bins(bins) => bins.of(path).map(|name| bins.delegation(name)).into_iter().collect(),
        }
    }

    pub(super) fn from_json(value: Json, place: &str) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(value, place)?;
        let keys = take_keys(&mut fields)?;
        let division = match (fields.has("roles"), fields.has("succinct_roles")) {
            (true, false) => Division::Listed(take_listed(&mut fields)?),
            (false, true) => Division::Bins(take_bins(fields.fields("succinct_roles")?)?),
            _ => return Err(ShapeError::new(place, "has not exactly one of roles and succinct_roles")),
        };
        Ok(Self { keys, division, extra: fields.rest() })
    }

    pub(super) fn to_json(&self) -> Json {
        let mut object = self.extra.clone();
        object.insert("keys".to_owned(), keys_to_json(&self.keys));
        match &self.division {
            Division::Listed(roles) => {
                object.insert("roles".to_owned(), roles.iter().map(Delegation::to_json).collect());
            }
            Division::Bins(bins) => {
                object.insert("succinct_roles".to_owned(), bins.to_json());
            }
        }
        object.into()
    }
}

impl Bins {
    fn delegation(&self, name: RoleName) -> Delegation {
        // The name is computed from the path, so nothing is left to be matched.
        let scope = Scope::HashPrefixes(Vec::new());
        Delegation { name, keys: self.keys.clone(), scope, terminating: true }
    }

    fn to_json(&self) -> Json {
        let mut object = self.keys.extra.clone();
        self.keys.put(&mut object);
        object.insert("bit_length".to_owned(), u64::from(self.bit_length).into());
        object.insert("name_prefix".to_owned(), self.name_prefix.as_str().into());
        object.into()
    }
}

impl Delegation {
    fn from_json(value: Json, place: &str) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(value, place)?;
        let name = fields.string("name")?;
        let name = role_name(&name, &fields, "name")?;
        // Otherwise a delegate's metadata would be taken for the role that bears its name, and kept in its file.
        if name.is_top_level() {
            return Err(fields.wrong("name", format!("is {name}, which is a top-level role")));
        }
        let mut keys = RoleKeys::take(&mut fields)?;
        let scope = match (fields.has("paths"), fields.has("path_hash_prefixes")) {
            (true, false) => Scope::Paths(fields.strings("paths")?.into_iter().map(PathPattern::new).collect()),
            (false, true) => {
                let prefixes = fields.strings("path_hash_prefixes")?;
                let prefix = |text: String| {
                    let wrong = fields.wrong("path_hash_prefixes", "holds no hexadecimal digits of a SHA-256");
                    HashPrefix::new(&text).ok_or(wrong)
                };
                Scope::HashPrefixes(prefixes.into_iter().map(prefix).collect::<Result<_, _>>()?)
            }
            _ => return Err(ShapeError::new(place, "has not exactly one of paths and path_hash_prefixes")),
        };
        let terminating = fields.truth("terminating")?;
        keys.extra = fields.rest();
        Ok(Self { name, keys, scope, terminating })
    }

    fn to_json(&self) -> Json {
        let mut object = self.keys.extra.clone();
        self.keys.put(&mut object);
        object.insert("name".to_owned(), self.name.as_str().into());
        object.insert("terminating".to_owned(), self.terminating.into());
        match &self.scope {
            Scope::Paths(patterns) => {
                object.insert("paths".to_owned(), patterns.iter().map(PathPattern::as_str).collect());
            }
            Scope::HashPrefixes(prefixes) => {
                object.insert("path_hash_prefixes".to_owned(), prefixes.iter().map(HashPrefix::as_str).collect());
            }
        }
        object.into()
    }
}

fn take_listed(fields: &mut Fields) -> Result<Vec<Delegation>, ShapeError> {
    let place = fields.place("roles");
    let listed = fields.array("roles")?.into_iter().enumerate();
    let roles = listed.map(|(index, value)| Delegation::from_json(value, &format!("{place}[{index}]")));
    let roles = roles.collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<_> = roles.iter().map(|role| &role.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(ShapeError::new(&place, "names a role twice"));
    }
    Ok(roles)
}

fn take_bins(mut fields: Fields) -> Result<Bins, ShapeError> {
    let mut keys = RoleKeys::take(&mut fields)?;
    let bits = fields.natural("bit_length")?;
    let bit_length = u32::try_from(bits).ok().filter(|bits| (1..=32).contains(bits));
    let bit_length = bit_length.ok_or_else(|| fields.wrong("bit_length", "is not 1 to 32"))?;
    let name_prefix = fields.string("name_prefix")?;
    role_name(&format!("{name_prefix}-{:x}", u32::MAX), &fields, "name_prefix")?;
    keys.extra = fields.rest();
    Ok(Bins { keys, bit_length, name_prefix })
}

//! JSON as signed metadata uses it: a value tree that keeps every field, and its canonical bytes.
//!
//! What is read here comes from whoever answers at a URL, before any signature is checked. Expected attacks, and what stops
//! each: nesting that overflows the stack ([`Limits::depth`]), millions of tiny values that fill memory
//! ([`Limits::values`]), one key twice so that two readers see two documents (refused), fractions and exponents that two
//! readers round differently (refused, as the canonical form has none), integers beyond 64 bits (refused), text after the
//! document (refused), broken UTF-8 and lone surrogates (refused by `serde_json`, which does the lexing). The length of the
//! bytes is bounded by whoever reads them.

mod canonical;
mod fields;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

pub use fields::{Fields, ShapeError};

/// The members of a JSON object, in the order of their names' bytes.
pub type Object = BTreeMap<String, Json>;

/// A JSON value without fractions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number of 0 or more.
    Natural(u64),
    /// A whole number below 0.
    Negative(i64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; its names are unique.
    Object(Object),
}

/// How much of a document is read before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and objects within each other; a document that is a plain number has depth 0.
    pub depth: usize,
    /// Values in all: each number, string, array, object, member of either.
    pub values: usize,
}

impl Limits {
    /// What any TUF metadata fits in: 32 levels, 262,144 values (at most about 16 MB of memory beyond the strings).
    pub const METADATA: Self = Self { depth: 32, values: 1 << 18 };
}

/// Bytes are no JSON, or none that is taken.
#[derive(Debug, Error)]
#[error("not the JSON that metadata is made of")]
pub struct JsonError(#[source] serde_json::Error);

impl Json {
    /// Reads a whole document.
    pub fn parse(bytes: &[u8], limits: Limits) -> Result<Self, JsonError> {
        let left = Cell::new(limits.values);
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let seed = Value { depth: limits.depth, left: &left };
        let value = seed.deserialize(&mut reader).map_err(JsonError)?;
        reader.end().map_err(JsonError)?;
        Ok(value)
    }

    /// The canonical form that is signed: [OLPC canonical JSON](http://wiki.laptop.org/go/Canonical_JSON). Names sorted by
    /// their bytes, no blanks, only `"` and `\` escaped.
    pub fn to_canonical(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// The form that is published: canonical order, indented by one blank, with a newline at the end.
    pub fn to_pretty(&self) -> Vec<u8> {
        canonical::encode_pretty(self)
    }

    /// What kind of value it is, in words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Natural(_) | Self::Negative(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Natural(number)
    }
}

impl From<bool> for Json {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Self>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

/// One value that is still to be read, with what is left of the limits.
#[derive(Clone, Copy)]
struct Value<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl Value<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without fractions")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Natural(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(u64::try_from(number).map_or(Json::Negative(number), Json::Natural))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Json, E> {
        Err(E::custom("a number that is no whole number of 64 bits"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut object = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the name {name:?} is there twice in one object")));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}

//! Taking an object apart, field by field, keeping what nobody asked for.

use thiserror::Error;

use super::{Json, Object};

/// A value has not the shape that its place asks for.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{place}: {what}")]
pub struct ShapeError {
    /// Where, as names with dots between: `signed.meta`.
    place: String,
    what: String,
}

impl ShapeError {
    /// Something is wrong at `place`.
    pub fn new(place: &str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), what: what.into() }
    }
}

/// An object that is being taken apart. What is left at the end are the fields that nobody knew.
#[derive(Debug)]
pub struct Fields {
    place: String,
    object: Object,
}

impl Fields {
    /// Takes the object at `place`.
    pub fn of(value: Json, place: &str) -> Result<Self, ShapeError> {
        match value {
            Json::Object(object) => Ok(Self { place: place.to_owned(), object }),
            other => Err(ShapeError::new(place, format!("is {}, not an object", other.kind()))),
        }
    }

    /// Where the field `name` is.
    pub fn place(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    /// An error about the field `name`.
    pub fn wrong(&self, name: &str, what: impl Into<String>) -> ShapeError {
        ShapeError::new(&self.place(name), what)
    }

    /// Takes a field that may be missing.
    pub fn optional(&mut self, name: &str) -> Option<Json> {
        self.object.remove(name)
    }

    /// Takes a field that must be there.
    pub fn required(&mut self, name: &str) -> Result<Json, ShapeError> {
        self.optional(name).ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Takes a string.
    pub fn string(&mut self, name: &str) -> Result<String, ShapeError> {
        match self.required(name)? {
            Json::String(text) => Ok(text),
            other => Err(self.wrong(name, format!("is {}, not a string", other.kind()))),
        }
    }

    /// Takes a whole number of 0 or more.
    pub fn natural(&mut self, name: &str) -> Result<u64, ShapeError> {
        let value = self.required(name)?;
        self.natural_of(name, &value)
    }

    /// Takes a whole number of 0 or more that may be missing.
    pub fn optional_natural(&mut self, name: &str) -> Result<Option<u64>, ShapeError> {
        self.optional(name).map(|value| self.natural_of(name, &value)).transpose()
    }

    /// Takes a truth value.
    pub fn truth(&mut self, name: &str) -> Result<bool, ShapeError> {
        match self.required(name)? {
            Json::Bool(truth) => Ok(truth),
            other => Err(self.wrong(name, format!("is {}, not true or false", other.kind()))),
        }
    }

    /// Takes an object to be taken apart itself.
    pub fn fields(&mut self, name: &str) -> Result<Self, ShapeError> {
        let value = self.required(name)?;
        Self::of(value, &self.place(name))
    }

    /// Takes an array.
    pub fn array(&mut self, name: &str) -> Result<Vec<Json>, ShapeError> {
        match self.required(name)? {
            Json::Array(items) => Ok(items),
            other => Err(self.wrong(name, format!("is {}, not an array", other.kind()))),
        }
    }

    /// Takes an array of strings.
    pub fn strings(&mut self, name: &str) -> Result<Vec<String>, ShapeError> {
        let items = self.array(name)?;
        let text = |item| match item {
            Json::String(text) => Ok(text),
            other => Err(self.wrong(name, format!("holds {}, not only strings", other.kind()))),
        };
        items.into_iter().map(text).collect()
    }

    /// Whether the field `name` is there.
    pub fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// What is still there.
    pub const fn object(&self) -> &Object {
        &self.object
    }

    /// Takes what is left.
    pub fn rest(self) -> Object {
        self.object
    }

    fn natural_of(&self, name: &str, value: &Json) -> Result<u64, ShapeError> {
        match value {
            Json::Natural(number) => Ok(*number),
            other => Err(self.wrong(name, format!("is {}, not a number of 0 or more", other.kind()))),
        }
    }
}

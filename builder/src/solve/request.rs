//! What is asked for.

use std::fmt;

use crate::deb::relation::is_package_name;
use crate::deb::version::{DebVersion, DebVersionError};
use crate::recipe::Recipe;

/// A set of packages asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What must be there.
    pub wishes: Vec<Wish>,
    /// Names that are never installed; whatever depends on one counts as satisfied, as does what depends on something
    /// that one of them provides.
    pub drop: Vec<String>,
    /// Whether Recommends are followed like Depends, where they can be.
    pub recommends: bool,
}

/// One package asked for: `name`, `name=version`, or `name/suite`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The package.
    pub name: String,
    /// Exactly this version.
    pub version: Option<DebVersion>,
    /// From this suite.
    pub suite: Option<String>,
}

/// A wish that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not of the form.
    #[error("`{0}` is no `name`, `name=version` or `name/suite`")]
    Form(String),
    /// No version.
    #[error(transparent)]
    Version(#[from] DebVersionError),
}

impl Request {
    /// What a recipe asks for in its root: its packages, its kernel.
    pub fn of_recipe(recipe: &Recipe) -> Result<Self, RequestError> {
        let texts = recipe.packages.add.iter().chain([&recipe.kernel.package]);
        Ok(Self {
            wishes: texts.map(|text| text.parse()).collect::<Result<_, _>>()?,
            drop: recipe.packages.drop.clone(),
            recommends: recipe.packages.recommends,
        })
    }
}

impl std::str::FromStr for Wish {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let (name, version, suite) = match (text.split_once('='), text.split_once('/')) {
            (Some((name, version)), _) => (name, Some(version.parse()?), None),
            (None, Some((name, suite))) if !suite.is_empty() => (name, None, Some(suite.to_owned())),
            (None, None) => (text, None, None),
            _ => return Err(RequestError::Form(text.to_owned())),
        };
        if !is_package_name(name) {
            return Err(RequestError::Form(text.to_owned()));
        }
        Ok(Self { name: name.to_owned(), version, suite })
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.version, &self.suite) {
            (Some(version), _) => write!(f, "{}={version}", self.name),
            (None, Some(suite)) => write!(f, "{}/{suite}", self.name),
            (None, None) => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_three_forms() {
        for text in ["docker.io", "docker.io=1:26.1.5+dfsg1-9+b9", "linux-image-amd64/trixie-backports"] {
            assert_eq!(text.parse::<Wish>().unwrap().to_string(), text);
        }
        for text in ["", "a", "Docker io", "docker.io=", "docker.io=x_y", "docker.io/", "=1"] {
            assert!(text.parse::<Wish>().is_err(), "{text}");
        }
    }
}

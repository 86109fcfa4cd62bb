//! Recipes: what a user writes (TOML) and what it means.
//!
//! The text is held against the JSON Schema ([`schema`]) and laid over what it extends ([`read`], [`merge`]); the result
//! goes through a private serde shape ([`shape`]), in which every key is optional, to a [`Recipe`], which is complete and
//! valid by construction ([`validate`]).

mod digest;
mod error;
mod merge;
mod model;
mod nearest;
mod read;
mod schema;
mod shape;
mod source;
mod validate;
mod values;

use std::path::Path;

pub use error::{Place, Problem, RecipeError};
pub use model::*;
pub use nearest::nearest;
pub use schema::json_schema;

use read::Read;

impl Recipe {
    /// Reads the recipe at `path` and those it extends. Looks whether the local files it names are there, reads none.
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let wrong = |problems| RecipeError::new(path, problems);
        let Read { shape, sources, problems } = read::read(path).map_err(wrong)?;
        let mut recipe = validate::validate(path, &shape, &sources, problems).map_err(wrong)?;
        recipe.digest = digest::digest(&recipe).map_err(|error| {
            let message = format!("its digest cannot be taken: {error}");
            wrong(vec![Problem { message, place: None, label: String::new(), help: None }])
        })?;
        Ok(recipe)
    }
}

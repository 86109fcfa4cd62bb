//! Recipes: what a user writes (TOML) and what it means.
//!
//! The text goes through a private serde shape ([`shape`]), in which every key is optional and `extends` is not yet
//! followed, to a [`Recipe`], which is complete and valid by construction.

mod error;
mod model;

pub use error::{Place, Problem, RecipeError};
pub use model::*;

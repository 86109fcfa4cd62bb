//! What goes into the tree as it is: the packages' files, and what the recipe adds.

mod merge;
mod recipe;

pub use merge::merge;
pub use recipe::{apply, factory_path};

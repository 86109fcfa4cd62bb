//! From a recipe to a lock, a tree and an image.

pub mod apt;
pub mod archive;
pub mod build;
pub mod compose;
pub mod deb;
pub mod disuse;
pub mod fault;
pub mod fetch;
pub mod inspect;
pub mod keys;
pub mod lock;
pub mod patch;
pub mod progress;
pub mod recipe;
pub mod release;
pub mod report;
pub mod sbom;
pub mod smoke;
pub mod solve;
pub mod store;

//! What maintainer scripts would have done, and who does it instead.
//!
//! No script ever runs here. Each is taken apart into what debhelper added, whose effects are known by tool, and what a
//! person wrote.

mod sections;

pub use sections::{units_to_enable, user_units_to_enable};

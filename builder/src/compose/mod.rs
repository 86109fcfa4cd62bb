//! From unpacked packages to a finished root tree: modelled effects in place of maintainer scripts, the recipe's own
//! additions, pruning, and the checks that find what is broken.

pub mod kernel;
pub mod scripts;

pub mod effects;

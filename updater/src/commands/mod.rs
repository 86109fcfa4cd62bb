//! One file per subcommand.

pub mod guest;
pub mod health;
pub mod status;

//! One file per subcommand.

pub mod allow;
pub mod check;
pub mod config;
pub mod explain;
pub mod guest;
pub mod health;
pub mod history;
pub mod metrics;
pub mod migrate;
pub mod rollback;
pub mod run;
pub mod settle;
pub mod status;
pub mod update;

//! The agent on the host, as a library: what `slipway-agent` does, without the command line.

pub mod agent;
pub mod blocks;
pub mod channel;
pub mod checks;
pub mod config;
pub mod disk;
pub mod esp;
pub mod host;
pub mod host_agent;
pub mod journal;
pub mod ledger;
pub mod machine;
pub mod metrics;
pub mod migrate;
pub mod net;
pub mod process;
pub mod release;
pub mod replace;
pub mod restart;
pub mod source;
pub mod stage;
pub mod two_copies;
pub mod update;
pub mod view;

//! The agent on the host, as a library: what `slipway-agent` does, without the command line.

pub mod channel;
pub mod checks;
pub mod host;
pub mod net;
pub mod process;

//! `slipway-agent guest`

use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context as _;
use slipway_updater::channel::{Server, tty};

use crate::exit_code::ExitCode;

/// Arguments of `guest`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The serial port.
    #[arg(long, value_name = "TTY")]
    port: PathBuf,
}

impl Arguments {
    /// Serves until the other end hangs up.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let port = tty::open_port(&self.port)?;
        let failed = || format!("the channel on {} broke", self.port.display());
        let reader = BufReader::new(port.try_clone().with_context(failed)?);
        Server::new("/").serve(reader, port).with_context(failed)?;
        Ok(ExitCode::Done)
    }
}

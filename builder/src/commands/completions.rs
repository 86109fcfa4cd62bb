//! `slipway completions SHELL`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose script.
    shell: Shell,
}

impl Args {
    /// Prints it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "slipway", &mut script);
        context.print(&String::from_utf8(script)?)?;
        Ok(ExitCode::Success)
    }
}

//! `slipway man DIR`

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Write the manual pages, `slipway.1` and one per subcommand.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder they go to; made when missing.
    dir: PathBuf,
}

impl Args {
    /// Writes them.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let failed = || format!("manual pages cannot be written to `{}`", self.dir.display());
        fs::create_dir_all(&self.dir).with_context(failed)?;
        clap_mangen::generate_to(super::Cli::command().disable_help_subcommand(true), &self.dir)
            .with_context(failed)?;
        context.note(&format!("manual pages are in {}", self.dir.display()));
        Ok(ExitCode::Success)
    }
}

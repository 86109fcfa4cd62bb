//! One file per subcommand: an `Args` struct and its `run`. This file only names them.

mod build;
mod check;
mod completions;
mod diff;
mod gc;
mod image;
mod inspect;
mod keys;
mod lock;
mod log;
mod man;
mod release;
mod run;
mod schema;
mod test;

use clap::{Parser, Subcommand};

use crate::context::{Context, GlobalArgs};
use crate::exit_codes::ExitCode;

/// Builds immutable container-host images from a recipe.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// Flags of every subcommand.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands, in the order that help lists them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a recipe and say what is wrong with it, or what it comes to
    Check(check::Args),
    /// Choose packages and write them down, each with its digest
    Lock(lock::Args),
    /// Build the image of a recipe
    Build(build::Args),
    /// Show what is in an image, and verify it
    Inspect(inspect::Args),
    /// List the builds in the store
    Log(log::Args),
    /// Show what two builds differ in
    Diff(diff::Args),
    /// Free what old builds hold in the store
    Gc(gc::Args),
    /// Boot an image in a virtual machine, with its console here; Ctrl-A X leaves
    Run(run::Args),
    /// Boot an image in a virtual machine and run its smoke checks inside
    Test(test::Args),
    /// Make, renew and show the keys that sign releases
    Keys(keys::Args),
    /// Publish builds into a folder that any web server hands out, and look after it
    Release(release::Args),
    /// Print the JSON Schema of recipes, for editors
    Schema(schema::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the manual pages
    Man(man::Args),
}

impl Command {
    /// Does it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(args) => args.run(context),
            Self::Lock(args) => args.run(context),
            Self::Build(args) => args.run(context),
            Self::Inspect(args) => args.run(context),
            Self::Log(args) => args.run(context),
            Self::Diff(args) => args.run(context),
            Self::Gc(args) => args.run(context),
            Self::Keys(args) => args.run(context),
            Self::Release(args) => args.run(context),
            Self::Schema(args) => args.run(context),
            Self::Run(args) => args.run(context),
            Self::Test(args) => args.run(context),
            Self::Completions(args) => args.run(context),
            Self::Man(args) => args.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}

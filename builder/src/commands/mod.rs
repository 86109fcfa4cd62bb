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
    use clap::{Command, CommandFactory as _};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// An argument of the same name in a subcommand hides a global option, and clap doesn't mind.
    #[test]
    fn every_subcommand_takes_the_global_options() {
        let mut slipway = Cli::command();
        slipway.build();
        let options = slipway.get_arguments().filter(|argument| argument.is_global_set());
        let globals: Vec<_> = options.map(|argument| (argument.get_id().clone(), argument.get_long())).collect();
        assert!(globals.len() >= 7, "{globals:?}");
        let mut left: Vec<&Command> = slipway.get_subcommands().collect();
        while let Some(command) = left.pop() {
            if command.get_name() == "help" {
                continue;
            }
            left.extend(command.get_subcommands());
            for (id, long) in &globals {
                let found = command.get_arguments().find(|argument| argument.get_id() == id);
                let is_global = found.is_some_and(|found| found.is_global_set() && found.get_long() == *long);
                assert!(is_global, "`{}` has no global option {id}", command.get_name());
            }
        }
    }
}

//! `slipway release`: publishes builds, and looks after what is published. One file per subcommand; this one names them.

mod add;
mod export;
mod gc;
mod list;
mod refresh;
mod rollout;
mod signing;
mod verify;
mod withdraw;

use clap::Subcommand;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Publish builds into a folder that any web server hands out, and look after it.
///
/// `docs/publishing.md` leads from keys to a served folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish a build in a channel
    Add(add::Args),
    /// List what is published, and who may take it
    List(list::Args),
    /// Change who may take a version, and when
    Rollout(rollout::Args),
    /// Take a version back: hosts that run it go to the best other one
    Withdraw(withdraw::Args),
    /// Sign the timestamp once more, so that hosts go on believing it; for cron
    Refresh(refresh::Args),
    /// Look at a repository as a host does that has nothing
    Verify(verify::Args),
    /// Remove what nothing published refers to
    Gc(gc::Args),
    /// Copy what is published into another folder, such as a USB stick's, or a tar archive
    Export(export::Args),
}

impl Args {
    /// Does it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Add(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Rollout(args) => args.run(context),
            Command::Withdraw(args) => args.run(context),
            Command::Refresh(args) => args.run(context),
            Command::Verify(args) => args.run(context),
            Command::Gc(args) => args.run(context),
            Command::Export(args) => args.run(context),
        }
    }
}

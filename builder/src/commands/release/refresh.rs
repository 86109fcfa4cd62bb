//! `slipway release refresh`: keeps metadata fresh.

use slipway_builder::release::{Changes, Publisher};

use super::signing::Signing;
use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Signs the timestamp once more, so that hosts go on believing it. Needs that key alone; run it daily, by cron say.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sign targets and snapshot once more as well, with all three keys: before they expire, and after keys were replaced
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    signing: Signing,
}

impl Args {
    /// Does it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let refresh = |publisher: Publisher<'_>| {
            if self.all { publisher.publish(&Changes::default()) } else { publisher.refresh() }
        };
        let files = self.signing.change(context, refresh)?;
        if context.json() {
            context.print_json(&files)?;
        } else {
            context.print(&(files.join("\n") + "\n"))?;
        }
        Ok(ExitCode::Success)
    }
}

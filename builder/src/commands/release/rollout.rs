//! `slipway release rollout`: changes who may take a version.

use slipway_builder::release::{RolloutChange, change_rollout};
use slipway_images::names::PartitionLabel;
use slipway_images::release::ChannelName;

use super::add::RolloutOptions;
use super::signing::Signing;
use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Changes who may take a version, and when. What isn't named stays as it is.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// Image and version, such as `web_2026.11.22`
    release: PartitionLabel,
    /// The channel [default: all that offer it]
    #[arg(long)]
    channel: Option<ChannelName>,
    #[command(flatten)]
    rollout: RolloutOptions,
    /// Nobody else takes it from now on; hosts that have it keep it
    #[arg(long)]
    pause: bool,
    /// Go on where it was paused
    #[arg(long, conflicts_with = "pause")]
    resume: bool,
    /// Everybody at once from the start on, whatever the stages and the hosts' maintenance windows
    #[arg(long)]
    immediate: bool,
    /// By stages again
    #[arg(long, conflicts_with = "immediate")]
    no_immediate: bool,
    #[command(flatten)]
    signing: Signing,
}

impl Args {
    /// Does it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let either = |yes: bool, no: bool| (yes || no).then_some(yes);
        let change = RolloutChange {
            start: self.rollout.start,
            stages: self.rollout.stages,
            paused: either(self.pause, self.resume),
            immediate: either(self.immediate, self.no_immediate),
            min_from: self.rollout.min_from,
        };
        let channel = self.channel.as_ref();
        let changed =
            self.signing.change(context, |publisher| change_rollout(publisher, &self.release, channel, &change))?;
        if context.json() {
            context.print_json(&changed)?;
            return Ok(ExitCode::Success);
        }
        let what = match (self.pause, self.resume) {
            (true, _) => "is paused",
            (_, true) => "goes on",
            _ => "is changed",
        };
        let line = |channel: &ChannelName| format!("{} {what} in channel {channel}\n", self.release);
        context.print(&changed.iter().map(line).collect::<Vec<_>>().concat())?;
        Ok(ExitCode::Success)
    }
}

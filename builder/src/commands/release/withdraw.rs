//! `slipway release withdraw`: takes a version back.

use slipway_builder::release::withdraw;
use slipway_images::names::PartitionLabel;
use slipway_images::release::ChannelName;

use super::signing::Signing;
use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Takes a version back: no host takes it any more, and those that run it go to the best other one.
///
/// Hosts that found the version good don't go back below it by themselves. So the channel says that they may, as far as the
/// version that they are to run instead, unless `--keep-floor` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image and version, such as `web_2026.11.22`
    release: PartitionLabel,
    /// The channel [default: all that offer it]
    #[arg(long)]
    channel: Option<ChannelName>,
    /// Why, in one line; hosts show it
    #[arg(long)]
    reason: String,
    /// Hosts that found it good stay with it until there is a newer version
    #[arg(long)]
    keep_floor: bool,
    #[command(flatten)]
    signing: Signing,
}

impl Args {
    /// Does it, and says what hosts take instead.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let withdrawn = self.signing.change(context, |publisher| {
            withdraw(publisher, &self.release, self.channel.as_ref(), &self.reason, self.keep_floor)
        })?;
        if context.json() {
            context.print_json(&withdrawn)?;
            return Ok(ExitCode::Success);
        }
        let lines = withdrawn.channels.iter().zip(&withdrawn.instead).map(|(channel, instead)| {
            let instead = match instead {
                Some(version) => format!("hosts go to {version}"),
                None => "there is no other version that hosts may go to now".to_owned(),
            };
            format!("{} is taken back in channel {channel}: {instead}\n", self.release)
        });
        context.print(&lines.collect::<Vec<_>>().concat())?;
        Ok(ExitCode::Success)
    }
}

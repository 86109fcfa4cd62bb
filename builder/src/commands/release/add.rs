//! `slipway release add`: publishes a build.

use std::path::PathBuf;
use std::time::Duration;

use slipway_builder::release::{Addition, add};
use slipway_builder::report::bytes;
use slipway_images::calendar::Moment;
use slipway_images::release::{ChannelName, Percent, Rollout, Stage};
use slipway_images::version::Version;

use super::signing::Signing;
use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Publishes a build in a channel, with patches from the versions before it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The output folder of the build, such as `out/web_2026.11.22`
    build: PathBuf,
    /// The channel
    #[arg(long)]
    channel: ChannelName,
    /// Make patches from the last N releases of the channel [default: 3], and from the build in FOLDER; any number of times
    #[arg(long, value_name = "N|FOLDER")]
    patch_from: Vec<String>,
    #[command(flatten)]
    rollout: RolloutOptions,
    /// Pause the rollout before it begins
    #[arg(long)]
    paused: bool,
    /// Everybody at once from the start on, whatever the stages and the hosts' maintenance windows
    #[arg(long)]
    immediate: bool,
    #[command(flatten)]
    signing: Signing,
}

/// Who may take a version, and when.
#[derive(Clone, Debug, clap::Args)]
pub struct RolloutOptions {
    /// Nobody takes it before this moment [default: that of signing]
    #[arg(long, value_name = "2026-11-22T16:40:05Z")]
    pub start: Option<Moment>,
    /// Which share of the hosts takes it how long after the start, such as `5@0,50@1d,100@3d` [default: all at once]
    #[arg(long, value_name = "PERCENT@TIME,…", value_delimiter = ',', value_parser = stage)]
    pub stages: Option<Vec<Stage>>,
    /// The oldest version that may take it; hosts with an older one take another first
    #[arg(long, value_name = "VERSION")]
    pub min_from: Option<Version>,
}

/// Hosts are rarely further behind.
const PATCH_LAST: usize = 3;

impl Args {
    /// Does it, and says what hosts will fetch.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let now = Moment::from_seconds(self.signing.now().as_secs());
        let mut addition = Addition {
            build: self.build,
            channel: self.channel,
            rollout: Rollout {
                start: self.rollout.start.unwrap_or(now),
                stages: self.rollout.stages.unwrap_or_default(),
                paused: self.paused,
                immediate: self.immediate,
            },
            min_from: self.rollout.min_from,
            patch_last: PATCH_LAST,
            patch_from: Vec::new(),
        };
        for from in self.patch_from {
            match from.parse() {
                Ok(last) => addition.patch_last = last,
                Err(_) => addition.patch_from.push(from.into()),
            }
        }
        let progress = context.progress();
        let added = self.signing.publish(context, |publisher| add(publisher, &addition, &*progress))?;
        if context.json() {
            context.print_json(&added)?;
            return Ok(ExitCode::Success);
        }
        let mut lines = vec![
            format!("{} is published in channel {}\n", added.release, added.channel),
            format!("  whole          {}\n", bytes(added.whole)),
        ];
        lines.extend(added.patches.iter().map(|patch| format!("  from {:9} {}\n", patch.from, bytes(patch.bytes))));
        context.print(&lines.concat())?;
        Ok(ExitCode::Success)
    }
}

/// `50@1d`: half of the hosts, a day after the start.
fn stage(text: &str) -> Result<Stage, String> {
    let wrong = || format!("`{text}` is no stage: write PERCENT@TIME, such as 50@1d");
    let (percent, after) = text.split_once('@').ok_or_else(wrong)?;
    let percent = percent.trim_end_matches('%').parse().map_err(|_| wrong())?;
    let percent = Percent::new(percent).map_err(|error| error.to_string())?;
    let number = after.trim_end_matches(['s', 'm', 'h', 'd']);
    let unit: u64 = match &after[number.len()..] {
        "" if number == "0" => 1,
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("`{after}` is no time: write a number with s, m, h or d, such as 12h")),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    Ok(Stage { percent, after: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stages_are_read_as_they_are_written() {
        let read = |text: &str| stage(text).map(|stage| (stage.percent.get(), stage.after.as_secs()));
        assert_eq!(read("5@0"), Ok((5, 0)));
        assert_eq!(read("50%@12h"), Ok((50, 43_200)));
        assert_eq!(read("100@3d"), Ok((100, 259_200)));
        for bad in ["", "5", "@1h", "0@1h", "101@1h", "5@1", "5@h", "5@1w", "5@-1h", "5@1hh", "5@99999999999999999999d"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

//! `slipway release list`: what is published.

use std::path::PathBuf;

use serde::Serialize;
use slipway_builder::release::{Published, ReleaseError, Repository, Roots};
use slipway_builder::report::bytes;
use slipway_images::calendar::Moment;
use slipway_images::release::{ChannelDocument, Offer, Percent, ReleaseDocument, TargetName};
use slipway_images::version::Version;
use slipway_trust::time::UnixTime;

use crate::context::Context;
use crate::exit_codes::{ExitCode, OrFault as _};

/// Lists what is published, and who may take it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
}

#[derive(Serialize)]
struct Listed {
    expires: Option<String>,
    channels: Vec<Listing>,
}

#[derive(Serialize)]
struct Listing {
    id: String,
    channel: String,
    floor: Option<Version>,
    offers: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    version: Version,
    root_hash: String,
    /// Percent of the hosts that may take it now.
    share: u8,
    start: String,
    paused: bool,
    immediate: bool,
    min_from: Option<Version>,
    withdrawn: Option<String>,
    whole: Option<u64>,
    patches_from: Vec<Version>,
}

impl Args {
    /// Does it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let now = UnixTime::now();
        let listed = self.read(now).or_fault()?;
        if context.json() {
            context.print_json(&listed)?;
            return Ok(ExitCode::Success);
        }
        let mut lines = Vec::new();
        for channel in &listed.channels {
            lines.push(format!("{} {}\n", channel.id, channel.channel));
            lines.extend(channel.offers.iter().rev().map(Line::text));
            lines.extend(channel.floor.iter().map(|floor| format!("  hosts may go back to {floor}\n")));
        }
        lines.extend(listed.expires.iter().map(|expires| format!("hosts believe this until {expires}\n")));
        context.print(&lines.concat())?;
        Ok(ExitCode::Success)
    }

    fn read(&self, now: UnixTime) -> Result<Listed, ReleaseError> {
        let repository = Repository::at(&self.repo);
        let roots = Roots::of_repository(&repository)?;
        let published = Published::read(&repository, roots.all())?;
        let metadata = published.metadata.as_ref().ok_or_else(|| ReleaseError::Nothing(self.repo.clone()))?;
        let expiries = [
            roots.newest().header.expires,
            metadata.timestamp.header.expires,
            metadata.snapshot.header.expires,
            metadata.targets.header.expires,
        ];
        let channels = published.channels.values().map(|channel| of_channel(channel, &published, now)).collect();
        Ok(Listed { expires: expiries.iter().min().map(|expires| expires.to_iso()), channels })
    }
}

fn of_channel(channel: &ChannelDocument, published: &Published, now: UnixTime) -> Listing {
    let line = |offer: &Offer| {
        let label = channel.label(&offer.version).ok();
        let document = label.and_then(|label| published.release(&TargetName::of_release(&label)));
        let patches = |document: &ReleaseDocument| -> Vec<Version> {
            document.patches.iter().map(|patch| patch.from.version.clone()).collect()
        };
        let share = offer.rollout.share_at(Moment::from_seconds(now.as_secs()));
        Line {
            version: offer.version.clone(),
            root_hash: offer.root_hash.to_hex(),
            share: if offer.withdrawn.is_some() { 0 } else { share.map_or(0, Percent::get) },
            start: offer.rollout.start.rfc3339(),
            paused: offer.rollout.paused,
            immediate: offer.rollout.immediate,
            min_from: offer.min_from.clone(),
            withdrawn: offer.withdrawn.as_ref().map(|withdrawal| withdrawal.reason.clone()),
            whole: document.map(ReleaseDocument::whole_cost),
            patches_from: document.map(patches).unwrap_or_default(),
        }
    };
    Listing {
        id: channel.id.to_string(),
        channel: channel.channel.to_string(),
        floor: channel.floor.clone(),
        offers: channel.offers.iter().map(line).collect(),
    }
}

impl Line {
    fn text(&self) -> String {
        let Self { version, root_hash, share, start, paused, immediate, min_from, withdrawn, whole, patches_from } =
            self;
        let state = match withdrawn {
            Some(reason) => format!("taken back: {reason}"),
            None if *paused => "paused".to_owned(),
            None if *share == 0 => format!("from {start} on"),
            None if *immediate => "everybody, at once".to_owned(),
            None if *share == 100 => "everybody".to_owned(),
            None => format!("{share} % of the hosts"),
        };
        let size = whole.map(bytes).unwrap_or_default();
        let from = min_from.as_ref().map(|from| format!("; for hosts with {from} or newer")).unwrap_or_default();
        let patches: Vec<&str> = patches_from.iter().map(Version::as_str).collect();
        let patches = if patches.is_empty() { String::new() } else { format!("; patches from {}", patches.join(", ")) };
        format!("  {version:24} {:12} {size:>8}  {state}{from}{patches}\n", &root_hash[..12])
    }
}

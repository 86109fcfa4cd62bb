//! `slipway release verify`: looks at a repository as a host does.

use std::path::PathBuf;

use anyhow::Context as _;
use slipway_builder::release::{Repository, verify};
use slipway_images::calendar::Moment;
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::VerifiedRoot;

use crate::context::Context;
use crate::exit_codes::{ExitCode, OrFault as _};

/// Looks at a repository as a host does that has nothing: follows signatures from a root, unpacks every release block by block
/// and applies every patch from one of these releases. Of a patch from anything else the digest is compared.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository
    repo: PathBuf,
    /// The root that is trusted [default: the repository's own first one, which proves nothing about who made it]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// What time it is for expiry [default: now]
    #[arg(long, value_name = "2026-11-22T16:40:05Z")]
    time: Option<Moment>,
}

impl Args {
    /// Does it, and says what is wrong.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let own = self.repo.join("metadata/1.root.json");
        if self.root.is_none() {
            context.note("trusting the repository's own first root; `--root` names one that came another way");
        }
        let path = self.root.unwrap_or(own);
        let root = std::fs::read(&path).with_context(|| format!("{} could not be read", path.display()))?;
        VerifiedRoot::anchor(&root).with_context(|| format!("{} is no root metadata", path.display()))?;
        let now = self.time.map_or_else(UnixTime::now, |time| UnixTime::from_secs(time.seconds()));
        let progress = context.progress();
        let found = verify(&Repository::at(&self.repo), &root, now, &*progress).or_fault()?;
        let code = if found.problems.is_empty() { ExitCode::Success } else { ExitCode::CheckFailed };
        if context.json() {
            context.print_json(&found)?;
            return Ok(code);
        }
        let (channels, releases) = (found.channels.len(), found.releases.len());
        let mut lines = vec![format!(
            "{channels} channels, {releases} releases, {} parts, {} patches applied\n",
            found.parts, found.patches
        )];
        if found.untried > 0 {
            lines.push(format!("{} patches not applied: what they start from is no release here\n", found.untried));
        }
        lines.extend(found.expires.iter().map(|expires| format!("hosts believe this until {expires}\n")));
        lines.extend(found.problems.iter().map(|problem| format!("wrong: {problem}\n")));
        context.print(&lines.concat())?;
        Ok(code)
    }
}

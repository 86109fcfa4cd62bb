//! `slipway release gc`: removes what nothing published refers to.

use std::path::Path;

use serde::Serialize;
use slipway_builder::release::{Freed, Published, ReleaseError, Roots, forget, gc};
use slipway_builder::report::bytes;

use super::signing::{Signing, lock};
use crate::context::Context;
use crate::exit_codes::{ExitCode, OrFault as _};

/// Removes the files that nothing published refers to.
///
/// With `--keep N`, older versions are forgotten first, which needs the keys. Versions that hosts must take on their way to
/// the newest ones stay, and so do those that were taken back since. A host in the middle of fetching what goes starts over.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Versions that each channel keeps [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Serialize)]
struct Collected {
    forgotten: Vec<String>,
    #[serde(flatten)]
    freed: Freed,
}

impl Args {
    /// Does it, and says what went.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        self.signing.is_there()?;
        let forgotten = match self.keep {
            None => Vec::new(),
            Some(keep) => {
                let keep = usize::try_from(keep).unwrap_or(usize::MAX);
                self.signing.publish(context, |publisher| forget(publisher, keep))?
            }
        };
        let freed = collect(self.signing.repo(), context).or_fault()?;
        if context.json() {
            context.print_json(&Collected { forgotten, freed })?;
            return Ok(ExitCode::Success);
        }
        let line = |release: &String| format!("{release} is no longer offered\n");
        let mut lines: Vec<String> = forgotten.iter().map(line).collect();
        lines.push(match freed.files {
            0 => "nothing to free\n".to_owned(),
            files => format!("freed {} in {files} files\n", bytes(freed.bytes)),
        });
        context.print(&lines.concat())?;
        Ok(ExitCode::Success)
    }
}

fn collect(repo: &Path, context: &Context) -> Result<Freed, ReleaseError> {
    let mut repository = lock(repo, context)?;
    let roots = Roots::of_repository(&repository)?;
    let published = Published::read(&repository, roots.all())?;
    gc(&mut repository, &published)
}

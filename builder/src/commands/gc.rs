//! `slipway gc`: frees what old builds hold.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use slipway_builder::disuse::{Swept, sweep};
use slipway_builder::report::bytes;
use slipway_builder::store::{Pruned, Store};

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Forgets all but the newest builds of each image in the store, and frees their space.
///
/// The folders of builds in `out/` are yours to delete; this is about the store beside them and, with `--unused-for`, the
/// cache of packages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many builds of each image to keep
    #[arg(long, default_value_t = 5, value_name = "N")]
    keep: usize,
    /// Remove from the cache, too, what no build used for so many days (at least one)
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    unused_for: Option<u32>,
}

#[derive(Serialize)]
struct Freed {
    #[serde(flatten)]
    store: Pruned,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Swept>,
}

impl Args {
    /// Does it, and says what was freed.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = context.out().join("store");
        // Whoever asks for the cache to be swept may be where nothing was ever built.
        let store = if self.unused_for.is_some() && !path.exists() {
            Pruned { objects: 0, bytes: 0 }
        } else {
            Store::open(&path)?.gc(self.keep)?
        };
        let cache = match self.unused_for {
            None => None,
            Some(days) => {
                let swept = sweep(context.cache(), Duration::from_hours(24) * days);
                Some(swept.with_context(|| format!("can't sweep the cache at `{}`", context.cache().display()))?)
            }
        };
        if context.json() {
            context.print_json(&Freed { store, cache })?;
            return Ok(ExitCode::Success);
        }
        context.print(&match store.objects {
            0 => format!("nothing to free in the store: no image has more than {} builds there\n", self.keep),
            objects => format!("freed {} in {objects} objects\n", bytes(store.bytes)),
        })?;
        if let Some(cache) = cache {
            context.print(&format!("freed {} in {} files of the cache\n", bytes(cache.bytes), cache.files))?;
        }
        Ok(ExitCode::Success)
    }
}

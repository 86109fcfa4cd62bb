//! `slipway log`: what was built.

use std::fmt::Write as _;

use anyhow::bail;
use slipway_builder::report::bytes;
use slipway_builder::store::{Entry, Store};
use slipway_images::calendar::Moment;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Lists the builds in the store, newest first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the builds of this image
    image: Option<String>,
}

impl Args {
    /// Prints them.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let store = Store::open(&context.out().join("store"))?;
        let entries = store.log(self.image.as_deref())?;
        if let Some(image) = self.image.as_ref().filter(|_| entries.is_empty()) {
            bail!("no build of `{image}` is in the store; `slipway log` without it lists all");
        }
        if context.json() {
            for entry in &entries {
                context.print_json(entry)?;
            }
            return Ok(ExitCode::Success);
        }
        let mut text = String::new();
        let name = |entry: &Entry| format!("{}@{}", entry.image, entry.version);
        let width = entries.iter().map(|entry| name(entry).len()).max().unwrap_or(0);
        for entry in &entries {
            writeln!(
                text,
                "{}  {}  {:width$}  {:>4} packages, {}",
                &entry.commit[..12],
                Moment::from_seconds(entry.built),
                name(entry),
                entry.packages,
                bytes(entry.size)
            )?;
        }
        context.print(&text)?;
        Ok(ExitCode::Success)
    }
}

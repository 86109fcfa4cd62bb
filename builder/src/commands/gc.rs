//! `slipway gc`: frees what old builds hold.

use slipway_builder::report::bytes;
use slipway_builder::store::Store;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Forgets all but the newest builds of each image in the store, and frees their space.
///
/// The folders of builds in `out/` are yours to delete; this is about the store beside them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many builds of each image to keep
    #[arg(long, default_value_t = 5, value_name = "N")]
    keep: usize,
}

impl Args {
    /// Does it, and says what was freed.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let store = Store::open(&context.out().join("store"))?;
        let pruned = store.gc(self.keep)?;
        if context.json() {
            context.print_json(&pruned)?;
        } else {
            context.print(&format!("freed {} in {} objects\n", bytes(pruned.bytes), pruned.objects))?;
        }
        Ok(ExitCode::Success)
    }
}

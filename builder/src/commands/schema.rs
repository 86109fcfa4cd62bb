//! `slipway schema`

use slipway_builder::recipe;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Print the JSON Schema of recipes, for editors.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Prints it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let Self {} = self;
        context.print(&format!("{:#}\n", recipe::json_schema()))?;
        Ok(ExitCode::Success)
    }
}

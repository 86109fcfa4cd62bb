//! `slipway check RECIPE`

use std::path::PathBuf;

use serde::Serialize;
use slipway_builder::recipe::Recipe;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Read a recipe and say what is wrong with it, or what it comes to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe, a TOML file.
    recipe: PathBuf,
}

#[derive(Serialize)]
struct Summary<'a> {
    id: &'a str,
    version: &'a str,
    digest: String,
    packages: &'a [String],
    dropped: usize,
    containers: Vec<&'a str>,
    health_checks: usize,
    smoke_checks: usize,
}

impl Args {
    /// Prints it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let recipe = Recipe::load(&self.recipe)?;
        let summary = Summary {
            id: &recipe.image.id,
            version: &recipe.image.version,
            digest: recipe.digest.to_hex(),
            packages: &recipe.packages.add,
            dropped: recipe.packages.drop.len(),
            containers: recipe.containers.iter().map(|container| container.name.as_str()).collect(),
            health_checks: recipe.health.checks.len(),
            smoke_checks: recipe.smoke.checks.len(),
        };
        if context.json() {
            context.print_json(&summary)?;
        } else {
            context.print(&format!(
                "{} {} is a valid recipe\n  digest      {}\n  asks for    {} packages, and drops {} from what they depend on\n  \
                 containers  {}\n  checks      {} for health, {} for smoke\n",
                summary.id,
                summary.version,
                summary.digest,
                summary.packages.len(),
                summary.dropped,
                if summary.containers.is_empty() { "none".to_owned() } else { summary.containers.join(", ") },
                summary.health_checks,
                summary.smoke_checks,
            ))?;
        }
        Ok(ExitCode::Success)
    }
}

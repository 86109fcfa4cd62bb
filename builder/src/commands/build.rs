//! `slipway build RECIPE`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use slipway_builder::apt::Mirrors;
use slipway_builder::build::{Built, Depot, Place, build};
use slipway_builder::fetch::{Cache, Client, ClientOptions};
use slipway_builder::lock::Lock;
use slipway_builder::recipe::Recipe;
use slipway_builder::report::bytes;

use crate::context::Context;
use crate::exit_codes::{ExitCode, OrFault as _};

/// Build the image of a recipe with the packages of its lock.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe, a TOML file; its lock lies beside it
    recipe: PathBuf,
}

#[derive(Serialize)]
struct Summary<'a> {
    folder: &'a std::path::Path,
    unchanged: bool,
    root_hash: &'a str,
    commit: &'a str,
    parts: &'a [(String, u64)],
    timings: &'a [(String, u64)],
    milliseconds: u128,
}

impl Args {
    /// Builds, and says what came of it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let start = Instant::now();
        let built = build_recipe(context, &self.recipe)?;
        context.finish();
        let milliseconds = start.elapsed().as_millis();
        if context.json() {
            context.print_json(&Summary {
                folder: &built.folder,
                unchanged: built.unchanged,
                root_hash: &built.report.root_hash,
                commit: &built.report.commit,
                parts: &built.report.parts,
                timings: &built.report.timings,
                milliseconds,
            })?;
        } else {
            context.print(&summary(&built, &self.recipe, milliseconds)?)?;
        }
        Ok(ExitCode::Success)
    }
}

/// Builds the recipe at `path` as this command line says.
pub fn build_recipe(context: &Context, path: &std::path::Path) -> anyhow::Result<Built> {
    let recipe = Recipe::load(path)?;
    let lock = Lock::load(&recipe).or_fault()?;
    let cache = Cache::open(context.cache())?;
    let progress = context.progress();
    let depot = Depot {
        cache: &cache,
        mirrors: &Mirrors::discover(context.mirror()),
        client: &Client::new(ClientOptions::default()),
        progress: progress.as_ref(),
    };
    let place = Place { depot, components: context.components(), out: context.out() };
    build(&recipe, &lock, &place).or_fault()
}

const LARGEST: usize = 10;

fn summary(built: &Built, recipe: &std::path::Path, milliseconds: u128) -> Result<String, std::fmt::Error> {
    let Built { folder, unchanged, report } = built;
    let mut text = String::new();
    let seconds = format!("{}.{:02} s", milliseconds / 1000, milliseconds % 1000 / 10);
    if *unchanged {
        writeln!(text, "{} {} is up to date: nothing changed ({seconds})", report.id, report.version)?;
        writeln!(text, "  {}", folder.join("disk.raw").display())?;
        return Ok(text);
    }
    writeln!(text, "{} {} built in {seconds}", report.id, report.version)?;
    writeln!(text, "  image      {}", folder.join("disk.raw").display())?;
    writeln!(text, "  root hash  {}", report.root_hash)?;
    writeln!(text, "  report     {}", folder.join("report.html").display())?;
    writeln!(text, "\nsize by part")?;
    for (name, size) in &report.parts {
        writeln!(text, "{:>12}  {name}", bytes(*size))?;
    }
    let packages = report.packages.iter().filter(|package| !package.version.is_empty()).count();
    writeln!(text, "\nlargest of {packages} packages")?;
    for package in report.packages.iter().take(LARGEST) {
        writeln!(text, "{:>12}  {} {}", bytes(package.bytes), package.name, package.version)?;
    }
    writeln!(text, "\ntime by phase")?;
    for (phase, ms) in &report.timings {
        writeln!(text, "{:>10}.{:02} s  {phase}", ms / 1000, ms % 1000 / 10)?;
    }
    writeln!(text, "\nboot it:  slipway run {}", recipe.display())?;
    Ok(text)
}

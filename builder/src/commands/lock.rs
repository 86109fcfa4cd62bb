//! `slipway lock RECIPE`

use std::path::PathBuf;

use serde::Serialize;
use slipway_builder::apt::Mirrors;
use slipway_builder::build::Depot;
use slipway_builder::compose::accounts;
use slipway_builder::fetch::{Cache, Client};
use slipway_builder::lock::{self, Accounts, Change, Lock, Sources, Update};
use slipway_builder::recipe::Recipe;
use slipway_trust::time::UnixTime;

use crate::context::Context;
use crate::exit_codes::{ExitCode, OrFault as _};

/// Choose the packages of a recipe and write down each, with its digest, in RECIPE.lock.
///
/// Packages that are locked already keep their version unless --update is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// Take the newest versions: of all packages, or of those named.
    #[arg(long, num_args = 0.., value_name = "PACKAGE")]
    update: Option<Vec<String>>,
    /// Only look whether the lock is there and matches the recipe; nothing is fetched or written.
    #[arg(long, conflicts_with = "update")]
    check: bool,
}

#[derive(Serialize)]
struct Summary {
    lock: PathBuf,
    packages: usize,
    bytes: u64,
    changes: Vec<String>,
}

impl Args {
    /// Locks the recipe.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let recipe = Recipe::load(&self.recipe)?;
        let path = lock::path_of(&recipe.path);
        if self.check {
            let lock = Lock::load(&recipe).or_fault()?;
            return report(context, path, &lock, &[]);
        }
        let previous = Lock::read(&path).or_fault()?;
        let update = match self.update {
            None => Update::Keep,
            Some(names) if names.is_empty() => Update::All,
            Some(names) => Update::Packages(names),
        };
        let sources = Sources {
            mirrors: &Mirrors::discover(context.mirror()),
            cache: &Cache::open(context.cache())?,
            client: &Client::default(),
            debian_keys: None,
            now: UnixTime::now(),
        };
        let progress = context.progress();
        let depot = Depot {
            cache: sources.cache,
            mirrors: sources.mirrors,
            client: sources.client,
            progress: progress.as_ref(),
        };
        // Who gets an id only the packages' own files say: they are fetched and unpacked now.
        let mut assign = |lock: &Lock| {
            let packages = depot.packages(&recipe, lock)?;
            let accounts = accounts::assign(&packages.root, &recipe, (&lock.users, &lock.groups))?;
            Ok(Accounts { users: accounts.pinned_users, groups: accounts.pinned_groups })
        };
        let locked = lock::make(&recipe, previous.as_ref(), &update, &sources, &mut assign, &*progress);
        let locked = locked.or_fault()?;
        let changes = previous.as_ref().map(|previous| lock::changes(previous, &locked)).unwrap_or_default();
        if previous.as_ref() != Some(&locked) {
            locked.write(&path).or_fault()?;
        }
        report(context, path, &locked, &changes)
    }
}

fn report(context: &Context, path: PathBuf, lock: &Lock, changes: &[Change]) -> anyhow::Result<ExitCode> {
    let summary = Summary {
        lock: path,
        packages: lock.packages.len(),
        bytes: lock.packages.iter().map(|package| package.size).sum(),
        changes: changes.iter().map(ToString::to_string).collect(),
    };
    if context.json() {
        context.print_json(&summary)?;
        return Ok(ExitCode::Success);
    }
    let mut lines = summary.changes;
    let megabytes = summary.bytes.div_ceil(1_000_000);
    lines.push(format!("{}: {} packages, {megabytes} MB\n", summary.lock.display(), summary.packages));
    context.print(&lines.join("\n"))?;
    Ok(ExitCode::Success)
}

//! `slipway lock RECIPE`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use slipway_builder::apt::Mirrors;
use slipway_builder::build::Depot;
use slipway_builder::compose::accounts;
use slipway_builder::fetch::{Cache, Client};
use slipway_builder::lock::{self, Accounts, Change, Lock, Sources, Update};
use slipway_builder::recipe::Recipe;
use slipway_builder::report::bytes;
use slipway_trust::time::UnixTime;

use crate::context::Context;
use crate::exit_codes::{ExitCode, OrExit as _, OrFault as _};

/// Choose the packages of a recipe and write down each, with its digest, in RECIPE.lock.
///
/// Packages that are locked already keep their version unless --update is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe, a TOML file.
    #[arg(required_unless_present = "update")]
    recipe: Option<PathBuf>,
    /// Take the newest versions: of all packages, or of those named; the recipe may be named last.
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
    pub fn run(mut self, context: &Context) -> anyhow::Result<ExitCode> {
        let recipe = Recipe::load(&self.take_recipe()?)?;
        let path = lock::path_of(&recipe.path);
        if self.check {
            let lock = Lock::load(&recipe).or_fault()?;
            return report(context, path, &recipe.path, &lock, None);
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
        let changes = previous.as_ref().map(|previous| lock::changes(previous, &locked));
        if previous.as_ref() != Some(&locked) {
            locked.write(&path).or_fault()?;
        }
        report(context, path, &recipe.path, &locked, changes.as_deref())
    }

    /// `--update bash web.toml`: what clap takes for a package is the recipe, by the end of its name.
    fn take_recipe(&mut self) -> anyhow::Result<PathBuf> {
        if let Some(recipe) = self.recipe.take() {
            return Ok(recipe);
        }
        let last = self.update.as_mut().and_then(|update| update.pop_if(|name| is_recipe(name)));
        last.map(PathBuf::from)
            .context("which recipe? write `slipway lock --update PACKAGE… RECIPE.toml`")
            .or_exit(ExitCode::Usage)
    }
}

/// No package has such a name: a recipe's ends in `.toml`.
fn is_recipe(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "toml")
}

/// Says what is locked, and, where there was a lock before, what changed.
fn report(
    context: &Context,
    path: PathBuf,
    recipe: &Path,
    lock: &Lock,
    changes: Option<&[Change]>,
) -> anyhow::Result<ExitCode> {
    let summary = Summary {
        lock: path,
        packages: lock.packages.len(),
        bytes: lock.packages.iter().map(|package| package.size).sum(),
        changes: changes.unwrap_or_default().iter().map(ToString::to_string).collect(),
    };
    if context.json() {
        context.print_json(&summary)?;
        return Ok(ExitCode::Success);
    }
    let mut lines = summary.changes;
    let outcome = match changes.map(<[Change]>::len) {
        None => String::new(),
        Some(0) => "; no package changed".to_owned(),
        Some(1) => "; 1 package changed".to_owned(),
        Some(count) => format!("; {count} packages changed"),
    };
    let (path, packages, size) = (summary.lock.display(), summary.packages, bytes(summary.bytes));
    lines.push(format!("{path}: {packages} packages, {size}{outcome}"));
    if changes.is_none_or(|changes| !changes.is_empty()) {
        lines.push(format!("\nbuild it:  slipway build {}", recipe.display()));
    }
    context.print(&(lines.join("\n") + "\n"))?;
    Ok(ExitCode::Success)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(line: &str) -> Args {
        match Cli::try_parse_from(["slipway", "lock"].into_iter().chain(line.split(' '))).unwrap().command {
            Command::Lock(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_recipe_may_stand_before_or_after_the_packages_to_update() {
        for (line, update) in [
            ("web.toml --update bash curl", Some(vec!["bash", "curl"])),
            ("--update bash curl web.toml", Some(vec!["bash", "curl"])),
            ("--update web.toml", Some(vec![])),
            ("web.toml", None),
        ] {
            let mut args = parse(line);
            assert_eq!(args.take_recipe().unwrap(), Path::new("web.toml"), "{line}");
            let names = args.update.as_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(names, update, "{line}");
        }
        let error = parse("--update bash").take_recipe().unwrap_err();
        assert_eq!(ExitCode::of(&error), ExitCode::Usage);
    }
}

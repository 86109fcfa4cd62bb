//! Making a lock: from what a recipe asks for, and what the archives offer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use slipway_images::digest::Digest;
use slipway_trust::openpgp::Certificates;
use slipway_trust::time::UnixTime;

use super::{Lock, LockError, LockedPackage, Role, local};
use crate::apt::{Mirrors, PackageRecord, RepositoryError, SuiteRequest, Universe, debian_keys, repository_of};
use crate::fetch::{Cache, Client};
use crate::progress::{Event, Phase, Progress};
use crate::recipe::{ContainerImage, Recipe, Repository};
use crate::solve::{self, Request, SolveError, Wish};

/// Which packages may move to another version than the one of the previous lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// None, unless its version is no longer offered, or no longer fits.
    Keep,
    /// All.
    All,
    /// These, and what they need moved.
    Packages(Vec<String>),
}

/// Numeric ids by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Users.
    pub users: BTreeMap<String, u32>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

/// Assigns ids for the packages of a lock. The lock that it is given has the ids of the previous lock, which must stay.
pub type AssignAccounts<'a> = dyn FnMut(&Lock) -> Result<Accounts, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Where packages come from, and how they get here.
pub struct Sources<'a> {
    /// Mirrors of Debian; those of the recipe's repositories are added.
    pub mirrors: &'a Mirrors,
    /// Cache for lists of packages.
    pub cache: &'a Cache,
    /// Fetches them.
    pub client: &'a Client,
    /// Keys that sign Debian; those compiled in when `None`.
    pub debian_keys: Option<Certificates>,
    /// By which validity is judged.
    pub now: UnixTime,
}

/// Makes the lock of a recipe. Nothing is written.
pub fn make(
    recipe: &Recipe,
    previous: Option<&Lock>,
    update: &Update,
    sources: &Sources<'_>,
    assign: &mut AssignAccounts<'_>,
    progress: &dyn Progress,
) -> Result<Lock, LockError> {
    let kept = kept(previous, update)?;
    let mirrors = sources.mirrors.clone().with_repositories(&recipe.repositories);
    let requests = suite_requests(recipe, sources.debian_keys.clone())?;
    let mut universe = Universe::read(&requests, &mirrors, sources.cache, sources.client, sources.now, progress)?;
    let mut request = Request::of_recipe(recipe).map_err(SolveError::from)?;
    let folder = folder_of(recipe);
    for path in &recipe.packages.debs {
        let record = local::record(path, folder)?;
        let (name, version) = (record.name.to_string(), Some(record.version.clone()));
        request.wishes.push(Wish { name, version, suite: Some(record.suite.to_string()) });
        universe.packages.push(record);
    }
    progress.event(Event::Start(Phase::Solve, None));
    let records = &universe.packages;
    let root = solve::solve(records, &request, &kept)?;
    let mut packages: Vec<_> = root.packages.iter().map(|at| locked(&records[*at], Role::Root)).collect();
    for (name, role) in others(recipe) {
        let wish: Wish = name.parse().map_err(SolveError::from)?;
        let package = locked(&records[solve::pick(records, &wish, &kept)?], role);
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    packages.sort_by(|a, b| (&a.name, a.role).cmp(&(&b.name, b.role)));
    progress.event(Event::Done(Phase::Solve, &format!("{} packages", packages.len())));
    let accounts = previous.map(|lock| (lock.users.clone(), lock.groups.clone())).unwrap_or_default();
    let mut lock = Lock {
        lock_version: Lock::VERSION,
        request: request_digest(recipe),
        epoch: universe.epoch,
        users: accounts.0,
        groups: accounts.1,
        packages,
    };
    let accounts = assign(&lock).map_err(LockError::Accounts)?;
    (lock.users, lock.groups) = (accounts.users, accounts.groups);
    Ok(lock)
}

/// Digest over what decides which packages are locked: not over file names, comments, order, or anything else of the
/// recipe. Where the recipe lies makes no difference.
pub fn request_digest(recipe: &Recipe) -> Digest {
    /// Serialised as JSON; a new field changes every lock.
    #[derive(Serialize)]
    struct Parts<'a> {
        suites: &'a [String],
        components: Vec<&'a String>,
        repositories: Vec<(&'a str, &'a str, &'a str, &'a [String])>,
        add: Vec<&'a String>,
        drop: Vec<&'a String>,
        debs: Vec<String>,
        recommends: bool,
        kernel: &'a str,
        others: Vec<(&'a str, Role)>,
    }
    fn sorted(list: &[String]) -> Vec<&String> {
        let mut list: Vec<_> = list.iter().collect();
        list.sort();
        list.dedup();
        list
    }
    let folder = folder_of(recipe);
    let repositories = recipe
        .repositories
        .iter()
        .map(|repository| (&*repository.name, &*repository.url, &*repository.suite, &*repository.components));
    let debs = recipe.packages.debs.iter().map(|path| local::relative(path, folder).to_string_lossy().into_owned());
    let mut others = others(recipe);
    others.sort_unstable();
    others.dedup();
    let parts = Parts {
        suites: &recipe.archive.suites,
        components: sorted(&recipe.archive.components),
        repositories: repositories.collect(),
        add: sorted(&recipe.packages.add),
        drop: sorted(&recipe.packages.drop),
        debs: debs.collect(),
        recommends: recipe.packages.recommends,
        kernel: &recipe.kernel.package,
        others,
    };
    // Strings, numbers and lists have no way to fail.
    Digest::of(&serde_json::to_vec(&parts).unwrap_or_default())
}

/// The folder that paths of local packages are relative to.
fn folder_of(recipe: &Recipe) -> &Path {
    recipe.path.parent().unwrap_or(Path::new("/"))
}

/// Packages that are not for the root.
fn others(recipe: &Recipe) -> Vec<(&str, Role)> {
    let mut others = vec![(recipe.boot.package.as_str(), Role::Boot)];
    others.extend(recipe.containers.iter().filter_map(|container| match &container.image {
        ContainerImage::Package(name) => Some((name.as_str(), Role::Container)),
        ContainerImage::Local(_) => None,
    }));
    others
}

fn kept(previous: Option<&Lock>, update: &Update) -> Result<BTreeMap<String, String>, LockError> {
    let locked = previous.map_or(&[][..], |lock| lock.packages.as_slice());
    let freed: &[String] = match update {
        Update::Keep => &[],
        Update::All => return Ok(BTreeMap::new()),
        Update::Packages(names) => names,
    };
    if let Some(unknown) = freed.iter().find(|name| !locked.iter().any(|package| package.name == **name)) {
        return Err(LockError::NotLocked(unknown.clone()));
    }
    let kept = locked.iter().filter(|package| !freed.contains(&package.name));
    Ok(kept.map(|package| (package.name.clone(), package.version.clone())).collect())
}

fn suite_requests(recipe: &Recipe, debian: Option<Certificates>) -> Result<Vec<SuiteRequest>, RepositoryError> {
    let mut requests = Vec::new();
    if !recipe.archive.suites.is_empty() {
        let keys = match debian {
            Some(keys) => keys,
            None => debian_keys().map_err(|source| RepositoryError::Key { path: "keys/debian".into(), source })?,
        };
        let keys = Arc::new(keys);
        requests.extend(recipe.archive.suites.iter().map(|suite| SuiteRequest {
            repository: repository_of(suite).into(),
            suite: suite.as_str().into(),
            components: recipe.archive.components.clone(),
            keys: keys.clone(),
        }));
    }
    for repository in &recipe.repositories {
        requests.push(SuiteRequest {
            repository: repository.name.as_str().into(),
            suite: repository.suite.as_str().into(),
            components: repository.components.clone(),
            keys: Arc::new(keys_of(repository)?),
        });
    }
    Ok(requests)
}

fn keys_of(repository: &Repository) -> Result<Certificates, RepositoryError> {
    let path = repository.key.clone();
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(RepositoryError::KeyFile { path, source }),
    };
    Certificates::parse(&bytes).map_err(|source| RepositoryError::Key { path, source })
}

fn locked(record: &PackageRecord, role: Role) -> LockedPackage {
    LockedPackage {
        name: record.name.to_string(),
        version: record.version.to_string(),
        architecture: record.architecture.to_string(),
        source: record.source.to_string(),
        role,
        repository: record.repository.to_string(),
        path: record.path.to_string(),
        size: record.size,
        sha256: record.sha256,
    }
}

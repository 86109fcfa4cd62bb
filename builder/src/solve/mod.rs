//! Which packages a recipe needs, of all that there are: dependencies, alternatives, virtual packages, conflicts and
//! breaks, by a SAT solver (crate `resolvo`).
//!
//! What is Debian's is translated to sets of exact packages before the solver sees it. A dependency on a name becomes the
//! union of the real packages of that name and of those that provide it, in this order; a conflict forbids the exact
//! packages that it hits. Of several that would do, the first alternative is tried first, real packages before
//! providers, packages of the previous lock before others, later versions before earlier ones.

mod explain;
mod provider;
mod request;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use resolvo::{Problem, SolvableId, Solver, UnsolvableOrCancelled};

pub use self::request::{Request, RequestError, Wish};
use crate::apt::PackageRecord;
use provider::Universe;

/// Why there is no set of packages.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// A wish that can't be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No package has this name.
    #[error("there is no package `{name}` in the suites of the recipe{}", explain::or_near(.near))]
    Unknown {
        /// As asked for.
        name: String,
        /// Names that are nearly the same.
        near: Vec<String>,
    },
    /// The package is there, but not so.
    #[error("there is no `{wish}`; there is {}", .there.join(", "))]
    NoSuchVersion {
        /// As asked for.
        wish: String,
        /// Versions and suites that there are.
        there: Vec<String>,
    },
    /// Only other packages provide it.
    #[error("`{name}` is virtual: write one of the packages that provide it: {}", .providers.join(", "))]
    Virtual {
        /// As asked for.
        name: String,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// A package is asked for and dropped.
    #[error("`{0}` is in `packages.add` and in `packages.drop`")]
    Dropped(String),
    /// No set satisfies all that is asked for. The text says which wish leads to what.
    #[error("these packages can't be installed together:\n{0}")]
    Unsatisfiable(String),
}

/// A solution: indexes into the records that were handed in, sorted by package name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// Packages for the root.
    pub packages: Vec<usize>,
}

/// Finds packages for `request` among `records`. `kept` names versions to keep where possible (those of a previous lock).
pub fn solve(
    records: &[PackageRecord],
    request: &Request,
    kept: &BTreeMap<String, String>,
) -> Result<Solution, SolveError> {
    let universe = Universe::new(records, request, kept);
    let roots = request.wishes.iter().map(|wish| universe.root(wish)).collect::<Result<Vec<_>, _>>()?;
    let requirements = roots.iter().map(|root| universe.requirement(root).into()).collect();
    let mut solver = Solver::new(universe);
    match solver.solve(Problem::new().requirements(requirements)) {
        Ok(found) => Ok(Solution { packages: needed(solver.provider(), &roots, &found) }),
        Err(UnsolvableOrCancelled::Unsolvable(conflict)) => {
            let tree = conflict.display_user_friendly(&solver).to_string();
            Err(SolveError::Unsatisfiable(explain::in_words(&tree)))
        }
        Err(UnsolvableOrCancelled::Cancelled(_)) => Err(SolveError::Unsatisfiable("cancelled".to_owned())),
    }
}

/// The highest version of one package, without dependencies (for boot loader and containers).
pub fn pick(records: &[PackageRecord], wish: &Wish, kept: &BTreeMap<String, String>) -> Result<usize, SolveError> {
    let request = Request { wishes: vec![wish.clone()], ..Request::default() };
    let universe = Universe::new(records, &request, kept);
    let candidates = universe.root(wish)?;
    let sorted = candidates.iter().flat_map(|part| universe.sorted(&part.members)).next();
    sorted.map(|id| id.into_raw() as usize).ok_or_else(|| universe.unknown(&wish.name))
}

/// Of what the solver found, what the wishes lead to: a search may leave packages that it had wanted for a while.
fn needed(universe: &Universe<'_>, roots: &[Vec<provider::Part>], found: &[SolvableId]) -> Vec<usize> {
    let found: BTreeSet<u32> = found.iter().map(|id| id.into_raw()).collect();
    let mut needed: BTreeSet<u32> = BTreeSet::new();
    let mut open: Vec<u32> = Vec::new();
    let first = |group: &[provider::Part]| {
        group.iter().find_map(|part| part.members.iter().map(|id| id.into_raw()).find(|id| found.contains(id)))
    };
    open.extend(roots.iter().filter_map(|root| first(root)));
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            open.extend(universe.groups(id as usize).iter().filter_map(|group| first(group)));
        }
    }
    let mut packages: Vec<usize> = needed.into_iter().map(|id| id as usize).collect();
    packages.sort_by(|a, b| universe.record(*a).name.cmp(&universe.record(*b).name));
    packages
}

/// Records by name.
type ByName<'a> = HashMap<&'a str, Vec<u32>>;

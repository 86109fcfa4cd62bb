//! From unpacked packages to a finished root tree: modelled effects in place of maintainer scripts, the recipe's own
//! additions, pruning, and the checks that find what is broken.

pub mod accounts;
mod ahead;
pub mod apply;
pub mod closure;
pub mod container;
pub mod download;
pub mod effects;
pub mod kernel;
pub mod prune;
pub mod scripts;
pub mod units;
pub mod zones;

use std::collections::BTreeMap;
use std::path::PathBuf;

use slipway_images::content::Content;
use slipway_images::tree::{Node, RootTree, TreeError, TreePath};

use crate::deb::Package;
use crate::lock::Lock;
use crate::recipe::{Container, Recipe};
use accounts::AccountError;
use kernel::{Kernel, KernelError};
use prune::{PruneError, Pruned};
use units::UnitError;
use zones::ZoneError;

/// All that a tree is made of. Everything is read already: composing does no I/O but reading contents.
pub struct Inputs<'a> {
    /// What is to be built.
    pub recipe: &'a Recipe,
    /// The pinned ids of accounts.
    pub lock: &'a Lock,
    /// The packages of role root.
    pub packages: &'a [Package],
    /// The static program for `/usr/bin/slipway-agent`.
    pub agent: Content,
    /// Container images, as archives that `docker load` takes.
    pub containers: &'a [(&'a Container, Content)],
    /// Entries from `[[download]]`.
    pub downloads: Vec<(TreePath, Node)>,
    /// The files that `[[file]] source = …` names, by absolute path.
    pub local_files: BTreeMap<PathBuf, Content>,
}

/// A finished root.
#[derive(Debug)]
pub struct Composition {
    /// The root.
    pub tree: RootTree,
    /// The kernel, which is not in it.
    pub kernel: Kernel,
    /// What was left out, and why.
    pub pruned: Vec<Pruned>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Why a root could not be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Two packages bring one path.
    #[error("`{path}` is brought by `{first}` and by `{second}`")]
    Conflict {
        /// The path.
        path: TreePath,
        /// A package.
        first: String,
        /// Another.
        second: String,
    },
    /// Ids that the lock has to pin, and doesn't.
    #[error("the lock pins no id for {}: run `slipway lock`", .0.join(", "))]
    NotPinned(Vec<String>),
    /// An owner or group that nobody makes.
    #[error("`{path}` is to belong to `{name}`, which is no account of this image")]
    UnknownOwner {
        /// The path.
        path: TreePath,
        /// The owner or group.
        name: String,
    },
    /// A local file that was not handed in.
    #[error("`{0}` was not read")]
    LocalFile(PathBuf),
    /// A file of the tree could not be read.
    #[error("`{path}` can't be read")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        source: std::io::Error,
    },
    /// An effect that can't be applied to these packages.
    #[error("effect `{effect}`: {problem}")]
    Effect {
        /// Its name.
        effect: &'static str,
        /// What is in the way, and what to do.
        problem: String,
    },
    /// Accounts.
    #[error(transparent)]
    Accounts(#[from] AccountError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Units.
    #[error(transparent)]
    Units(#[from] UnitError),
    /// Pruning.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// Time zones of windows.
    #[error(transparent)]
    Zones(#[from] ZoneError),
    /// The tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Composes a root: packages, then the frame of the file system, the recipe's own additions, the modelled effects (none
/// overrides what the recipe put there), the kernel, the units, and what is left out.
pub fn compose(inputs: &Inputs<'_>) -> Result<Composition, ComposeError> {
    let (users, groups) = (&inputs.lock.users, &inputs.lock.groups);
    let accounts = accounts::assign(inputs.packages, inputs.recipe, (users, groups))?;
    let unpinned = accounts.unpinned(users, groups);
    if !unpinned.is_empty() {
        return Err(ComposeError::NotPinned(unpinned));
    }
    let mut stage = effects::Stage::new(apply::merge(inputs.packages)?, inputs, accounts);
    effects::frame(&mut stage)?;
    apply::apply(&mut stage.tree, inputs, &stage.accounts)?;
    let kernel = kernel::install(&mut stage.tree, &inputs.recipe.kernel)?;
    effects::run(&mut stage)?;
    let (mut tree, mut pruned, mut notes) = stage.finish();
    pruned.extend(prune::prune(&mut tree, &inputs.recipe.prune)?);
    pruned.sort();
    notes.extend(ahead::install(&mut tree, &kernel, &inputs.recipe.boot.read_ahead)?);
    if let Some(update) = &inputs.recipe.update {
        zones::check(&tree, &update.settings.windows)?;
    }
    Ok(Composition { tree, kernel, pruned, notes })
}

#[cfg(test)]
mod fixture;

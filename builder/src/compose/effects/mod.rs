//! What maintainer scripts would have done, and what makes a tree a read-only host: one module per effect.
//!
//! An effect is a function over the [`Stage`]. Its name becomes the [`Origin::Effect`] of what it makes, so that a report
//! can say where every file comes from. No effect overrides what the recipe put at a path.

mod alternatives;
mod base;
mod certificates;
mod config;
mod containers;
mod docker;
mod enablement;
mod identity;
mod metrics;
mod migrations;
mod network;
mod nsswitch;
mod pam;
mod skeleton;
mod slipway;
mod ssh;
mod state;
mod systemd;
mod tmpfiles;
mod trial;
mod update;
mod var;

use slipway_images::content::Content;
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};

use super::accounts::Accounts;
use super::prune::Pruned;
use super::{ComposeError, Inputs};

/// An effect: its name, and what it does.
type Effect = (&'static str, fn(&mut Stage<'_>) -> Result<(), ComposeError>);

/// Before the recipe's own files: what those must find in place.
const FRAME: &[Effect] = &[("skeleton", skeleton::apply)];

/// After the recipe's own files, in this order: units are enabled when all of them are there, `/var` is looked at last.
const EFFECTS: &[Effect] = &[
    ("accounts", identity::accounts),
    ("users", identity::homes_and_keys),
    ("identity", identity::names),
    ("base", base::apply),
    ("nsswitch", nsswitch::apply),
    ("pam", pam::apply),
    ("certificates", certificates::apply),
    ("alternatives", alternatives::apply),
    ("ssh", ssh::apply),
    ("docker", docker::apply),
    ("network", network::apply),
    ("state", state::apply),
    ("slipway", slipway::apply),
    ("config", config::apply),
    ("trial", trial::apply),
    ("update", update::apply),
    ("metrics", metrics::apply),
    ("containers", containers::apply),
    ("migrations", migrations::apply),
    ("systemd", systemd::apply),
    ("tmpfiles", tmpfiles::apply),
    ("units", enablement::apply),
    ("var", var::apply),
];

/// A tree while effects are applied to it.
pub struct Stage<'a> {
    /// The tree.
    pub tree: RootTree,
    /// Its accounts.
    pub accounts: Accounts,
    inputs: &'a Inputs<'a>,
    pruned: Vec<Pruned>,
    notes: Vec<String>,
    effect: &'static str,
}

/// Makes the frame of the file system.
pub fn frame(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    stage.apply(FRAME)
}

/// Applies every effect.
pub fn run(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    stage.apply(EFFECTS)
}

impl<'a> Stage<'a> {
    /// Begins with the merged packages.
    pub fn new(tree: RootTree, inputs: &'a Inputs<'a>, accounts: Accounts) -> Self {
        Self { tree, accounts, inputs, pruned: Vec::new(), notes: Vec::new(), effect: "" }
    }

    /// The tree, what was left out, and notes.
    pub fn finish(self) -> (RootTree, Vec<Pruned>, Vec<String>) {
        (self.tree, self.pruned, self.notes)
    }

    fn apply(&mut self, effects: &[Effect]) -> Result<(), ComposeError> {
        for (name, effect) in effects {
            self.effect = name;
            effect(self)?;
        }
        Ok(())
    }

    fn origin(&self) -> Origin {
        Origin::Effect(self.effect.into())
    }

    fn has_package(&self, name: &str) -> bool {
        self.inputs.packages.iter().any(|package| &*package.name == name)
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    fn problem(&self, problem: impl Into<String>) -> ComposeError {
        ComposeError::Effect { effect: self.effect, problem: problem.into() }
    }

    fn has(&self, path: &str) -> Result<bool, ComposeError> {
        Ok(self.tree.resolve(&TreePath::new(path)?).is_some())
    }

    /// Whether the recipe says what is at `path`.
    fn is_recipes(&self, path: &TreePath) -> bool {
        self.tree.get(path).is_some_and(|node| node.origin == Origin::Recipe && !matches!(node.kind, Kind::Folder))
            || self.inputs.recipe.directories.iter().any(|entry| entry.path == *path)
    }

    fn put(&mut self, path: TreePath, meta: Meta, kind: Kind) -> Result<(), ComposeError> {
        if !self.is_recipes(&path) {
            let origin = self.origin();
            self.tree.insert(path, Node { meta, kind, origin })?;
        }
        Ok(())
    }

    fn file(&mut self, path: &str, mode: u16, content: impl Into<Vec<u8>>) -> Result<(), ComposeError> {
        let kind = Kind::File(Content::from_bytes(content));
        self.put(TreePath::new(path)?, Meta::root_owned(mode), kind)
    }

    fn content(&mut self, path: &str, mode: u16, content: Content) -> Result<(), ComposeError> {
        self.put(TreePath::new(path)?, Meta::root_owned(mode), Kind::File(content))
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), ComposeError> {
        self.put(TreePath::new(path)?, Meta::root_owned(0o777), Kind::Symlink(target.to_owned()))
    }

    fn folder(&mut self, path: &str, mode: u16) -> Result<(), ComposeError> {
        self.put(TreePath::new(path)?, Meta::root_owned(mode), Kind::Folder)
    }

    /// A file only where none is.
    fn default_file(&mut self, path: &str, mode: u16, content: impl Into<Vec<u8>>) -> Result<(), ComposeError> {
        if self.tree.contains(&TreePath::new(path)?) { Ok(()) } else { self.file(path, mode, content) }
    }

    /// The text of a file of the tree, links followed.
    fn text(&self, path: &str) -> Result<Option<String>, ComposeError> {
        let path = TreePath::new(path)?;
        match self.tree.file(&path) {
            None => Ok(None),
            Some(content) => content.to_text().map(Some).map_err(|source| ComposeError::Read { path, source }),
        }
    }

    /// A copy of a file of the tree at another place, where it is there and nothing is in the way.
    fn copy(&mut self, from: &str, to: &str) -> Result<(), ComposeError> {
        if self.tree.contains(&TreePath::new(to)?) {
            return Ok(());
        }
        match self.tree.file(&TreePath::new(from)?).cloned() {
            Some(content) => self.content(to, 0o644, content),
            None => Ok(()),
        }
    }

    /// Takes something out for good.
    fn drop(&mut self, path: &str, reason: &str) -> Result<(), ComposeError> {
        let path = TreePath::new(path)?;
        if self.is_recipes(&path) {
            return Ok(());
        }
        for (path, node) in self.tree.remove(&path) {
            let size = if let Kind::File(content) = &node.kind { content.len() } else { 0 };
            self.pruned.push(Pruned { path, size, reason: reason.to_owned() });
        }
        Ok(())
    }

    /// A unit of ours, started by `wanted_by`.
    fn unit(&mut self, name: &str, text: &str, wanted_by: &[&str]) -> Result<(), ComposeError> {
        self.file(&format!("/usr/lib/systemd/system/{name}"), 0o644, text)?;
        for target in wanted_by {
            self.link(&format!("/usr/lib/systemd/system/{target}.wants/{name}"), &format!("../{name}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

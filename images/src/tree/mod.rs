//! A root file system in memory: every path with its owner, mode, content and where it came from.
//!
//! Times are no part of a tree: every inode of an image has the image's one epoch, so that a package
//! built later with the same bytes costs nothing in an update.

mod path;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::content::Content;

pub use path::TreePath;

/// What is wrong with a path or with an operation on a tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError {
    /// The text is no absolute normalised path.
    #[error("`{0}` is no absolute path without `.`, `..` and empty parts")]
    BadPath(String),
    /// The parent of a new entry is there and is no folder.
    #[error("`{path}` can't be made: `{parent}` is no folder")]
    ParentNotFolder {
        /// The path that was to be made.
        path: TreePath,
        /// The parent that is in the way.
        parent: TreePath,
    },
    /// A folder stands where something else is to go, or the other way round.
    #[error("`{0}` is a folder on one side and something else on the other")]
    KindConflict(TreePath),
    /// A hard link to nothing, or to something that is no regular file.
    #[error("hard link `{path}` points to `{target}`, which is no regular file")]
    BadHardLink {
        /// The link.
        path: TreePath,
        /// What it names.
        target: TreePath,
    },
}

/// Owner, mode and extended attributes of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with set-user-id, set-group-id and sticky: at most `0o7777`.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Extended attributes by full name (`security.capability`).
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Meta {
    /// Owned by root:root with this mode and no attributes.
    pub fn root_owned(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0, xattrs: BTreeMap::new() }
    }
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File(Content),
    /// A symbolic link with this text.
    Symlink(String),
    /// Another name of the regular file at this path. The [`Meta`] of the entry is that of the file.
    HardLink(TreePath),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Who put an entry into a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A package, by name.
    Package(Arc<str>),
    /// A modelled effect, by name.
    Effect(Arc<str>),
    /// The recipe itself.
    Recipe,
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Owner and mode.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
    /// Where it came from.
    pub origin: Origin,
}

/// A whole root file system, sorted by path. The root folder always exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootTree {
    nodes: BTreeMap<TreePath, Node>,
}

impl Default for RootTree {
    fn default() -> Self {
        Self::new()
    }
}

impl RootTree {
    /// A tree with nothing but `/`, mode 0755, owned by root.
    pub fn new() -> Self {
        let root = Node { meta: Meta::root_owned(0o755), kind: Kind::Folder, origin: Origin::Effect("root".into()) };
        Self { nodes: BTreeMap::from([(TreePath::root(), root)]) }
    }

    /// Puts `node` at `path`. Missing parents are made as root:root 0755 of the same origin. A folder over a folder
    /// takes the new owner and mode and keeps what is in it; anything else replaces a non-folder.
    pub fn insert(&mut self, path: TreePath, node: Node) -> Result<(), TreeError> {
        self.make_parents(&path, &node.origin)?;
        match self.nodes.entry(path) {
            Entry::Vacant(slot) => {
                slot.insert(node);
            }
            Entry::Occupied(mut slot) => {
                if matches!(slot.get().kind, Kind::Folder) != matches!(node.kind, Kind::Folder) {
                    return Err(TreeError::KindConflict(slot.key().clone()));
                }
                slot.insert(node);
            }
        }
        Ok(())
    }

    fn make_parents(&mut self, path: &TreePath, origin: &Origin) -> Result<(), TreeError> {
        let mut missing = Vec::new();
        let mut next = path.parent();
        while let Some(parent) = next {
            match self.nodes.get(&parent).map(|node| &node.kind) {
                Some(Kind::Folder) => break,
                Some(_) => return Err(TreeError::ParentNotFolder { path: path.clone(), parent }),
                None => {
                    next = parent.parent();
                    missing.push(parent);
                }
            }
        }
        for parent in missing {
            let folder = Node { meta: Meta::root_owned(0o755), kind: Kind::Folder, origin: origin.clone() };
            self.nodes.insert(parent, folder);
        }
        Ok(())
    }

    /// Puts a regular file owned by root at `path`.
    pub fn insert_file(
        &mut self,
        path: TreePath,
        mode: u16,
        content: impl Into<Vec<u8>>,
        origin: Origin,
    ) -> Result<(), TreeError> {
        let kind = Kind::File(Content::from_bytes(content));
        self.insert(path, Node { meta: Meta::root_owned(mode), kind, origin })
    }

    /// Puts a symbolic link at `path`.
    pub fn insert_symlink(&mut self, path: TreePath, target: &str, origin: Origin) -> Result<(), TreeError> {
        let kind = Kind::Symlink(target.to_owned());
        self.insert(path, Node { meta: Meta::root_owned(0o777), kind, origin })
    }

    /// Puts a folder owned by root at `path`.
    pub fn insert_folder(&mut self, path: TreePath, mode: u16, origin: Origin) -> Result<(), TreeError> {
        self.insert(path, Node { meta: Meta::root_owned(mode), kind: Kind::Folder, origin })
    }

    /// The entry at `path`, links not followed.
    pub fn get(&self, path: &TreePath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The entry at `path`, links not followed, to change its owner or content.
    pub fn get_mut(&mut self, path: &TreePath) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// Whether there is an entry at `path`, links not followed.
    pub fn contains(&self, path: &TreePath) -> bool {
        self.nodes.contains_key(path)
    }

    /// The path and entry that `path` names once every symbolic link on the way, and at the end, is followed.
    /// `None` where that leads nowhere or in circles.
    pub fn resolve(&self, path: &TreePath) -> Option<(TreePath, &Node)> {
        let mut pending: Vec<String> = path.parts().map(str::to_owned).collect();
        pending.reverse();
        let mut at = TreePath::root();
        let mut links_left = 40;
        while let Some(part) = pending.pop() {
            let next = at.join(&part).ok()?;
            match &self.nodes.get(&next)?.kind {
                Kind::Symlink(target) => {
                    links_left -= 1;
                    if links_left == 0 {
                        return None;
                    }
                    at = TreePath::root();
                    let pointed = next.resolve_link(target);
                    pending.extend(pointed.parts().map(str::to_owned).collect::<Vec<_>>().into_iter().rev());
                }
                _ => at = next,
            }
        }
        self.nodes.get(&at).map(|node| (at, node))
    }

    /// The content of the regular file that `path` names, links followed.
    pub fn file(&self, path: &TreePath) -> Option<&Content> {
        let (_, node) = self.resolve(path)?;
        match &node.kind {
            Kind::File(content) => Some(content),
            Kind::HardLink(target) => self.file(target),
            _ => None,
        }
    }

    /// Takes away `path` and all below it; returns what was taken. Where a file goes that has other names outside,
    /// the first of them becomes the file.
    pub fn remove(&mut self, path: &TreePath) -> Vec<(TreePath, Node)> {
        self.remove_all(std::iter::once(path))
    }

    /// Takes away each of `paths` and all below them, as [`RootTree::remove`] does, in one pass for all of them.
    pub fn remove_all<'a>(&mut self, paths: impl IntoIterator<Item = &'a TreePath>) -> Vec<(TreePath, Node)> {
        let mut removed = Vec::new();
        for path in paths {
            let taken: Vec<TreePath> = self.below(path).map(|(path, _)| path.clone()).collect();
            let taken = taken.into_iter().filter(|path| *path != TreePath::root());
            removed.extend(taken.filter_map(|path| self.nodes.remove_entry(&path)));
        }
        let files = removed.iter().filter_map(|(path, node)| match &node.kind {
            Kind::File(content) => Some((path, content)),
            _ => None,
        });
        let files: BTreeMap<&TreePath, &Content> = files.collect();
        if !files.is_empty() {
            self.promote_links(&files);
        }
        removed
    }

    fn promote_links(&mut self, gone: &BTreeMap<&TreePath, &Content>) {
        let mut heirs: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        for (path, node) in &mut self.nodes {
            let Kind::HardLink(target) = &node.kind else { continue };
            let Some(content) = gone.get(target) else { continue };
            node.kind = if let Some(heir) = heirs.get(target) {
                Kind::HardLink(heir.clone())
            } else {
                heirs.insert(target.clone(), path.clone());
                Kind::File((*content).clone())
            };
        }
    }

    /// Every entry, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.nodes.iter()
    }

    /// Every entry, to change owners or contents.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&TreePath, &mut Node)> {
        self.nodes.iter_mut()
    }

    /// `path` and every entry below it.
    pub fn below<'a>(&'a self, path: &TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Node)> + use<'a> {
        let folder = path.clone();
        self.nodes.range(path.clone()..).take_while(move |(path, _)| path.is_within(&folder))
    }

    /// The entries directly in the folder `path`, by name.
    pub fn children<'a>(&'a self, path: &TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Node)> + use<'a> {
        let folder = path.clone();
        self.below(path).filter(move |(path, _)| path.parent().as_ref() == Some(&folder))
    }

    /// How many entries there are, `/` counted.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A tree is never empty: it has `/`.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Checks that every hard link names a regular file of the tree.
    pub fn check_hard_links(&self) -> Result<(), TreeError> {
        for (path, node) in &self.nodes {
            if let Kind::HardLink(target) = &node.kind
                && !matches!(self.nodes.get(target), Some(Node { kind: Kind::File(_), .. }))
            {
                return Err(TreeError::BadHardLink { path: path.clone(), target: target.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().unwrap()
    }

    fn origin() -> Origin {
        Origin::Recipe
    }

    #[test]
    fn a_folder_sorts_directly_before_its_content() {
        let mut tree = RootTree::new();
        for name in ["/a-b", "/a/c", "/a", "/a.d"] {
            tree.insert_folder(path(name), 0o755, origin()).unwrap();
        }
        let order: Vec<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(order, ["/", "/a", "/a/c", "/a-b", "/a.d"]);
        assert_eq!(tree.below(&path("/a")).count(), 2);
        assert_eq!(tree.children(&TreePath::root()).count(), 3);
    }

    #[test]
    fn links_are_followed_like_a_kernel_would() {
        let mut tree = RootTree::new();
        tree.insert_folder(path("/usr/bin"), 0o755, origin()).unwrap();
        tree.insert_symlink(path("/bin"), "usr/bin", origin()).unwrap();
        tree.insert_file(path("/usr/bin/dash"), 0o755, *b"x", origin()).unwrap();
        tree.insert_symlink(path("/usr/bin/sh"), "dash", origin()).unwrap();
        tree.insert_symlink(path("/loop"), "loop", origin()).unwrap();
        assert_eq!(tree.resolve(&path("/bin/sh")).unwrap().0, path("/usr/bin/dash"));
        assert!(tree.resolve(&path("/loop")).is_none());
        assert_eq!(tree.file(&path("/bin/sh")).unwrap().len(), 1);
    }

    #[test]
    fn removing_a_file_passes_it_on_to_its_other_names() {
        let mut tree = RootTree::new();
        tree.insert_file(path("/a"), 0o644, *b"x", origin()).unwrap();
        for name in ["/b", "/c"] {
            let kind = Kind::HardLink(path("/a"));
            tree.insert(path(name), Node { meta: Meta::root_owned(0o644), kind, origin: origin() }).unwrap();
        }
        tree.remove(&path("/a"));
        tree.check_hard_links().unwrap();
        assert!(matches!(tree.get(&path("/b")).unwrap().kind, Kind::File(_)));
        assert_eq!(tree.get(&path("/c")).unwrap().kind, Kind::HardLink(path("/b")));
    }

    #[test]
    fn of_several_names_that_go_at_once_only_those_that_stay_inherit() {
        let mut tree = RootTree::new();
        for (file, links) in [("/a", ["/b", "/c", "/d"]), ("/x", ["/y", "/z", "/zz"])] {
            tree.insert_file(path(file), 0o644, file.as_bytes(), origin()).unwrap();
            for name in links {
                let kind = Kind::HardLink(path(file));
                tree.insert(path(name), Node { meta: Meta::root_owned(0o644), kind, origin: origin() }).unwrap();
            }
        }
        let gone = ["/a", "/b", "/x"].map(path);
        assert_eq!(tree.remove_all(&gone).into_iter().map(|(path, _)| path).collect::<Vec<_>>(), gone);
        tree.check_hard_links().unwrap();
        for (heir, other, text) in [("/c", "/d", "/a"), ("/y", "/z", "/x")] {
            assert_eq!(tree.file(&path(heir)).unwrap().to_text().unwrap(), text);
            assert_eq!(tree.get(&path(other)).unwrap().kind, Kind::HardLink(path(heir)));
        }
    }

    #[test]
    fn a_file_is_never_put_over_a_folder() {
        let mut tree = RootTree::new();
        tree.insert_folder(path("/etc"), 0o755, origin()).unwrap();
        assert_eq!(tree.insert_file(path("/etc"), 0o644, *b"", origin()), Err(TreeError::KindConflict(path("/etc"))));
        tree.insert_file(path("/f"), 0o644, *b"", origin()).unwrap();
        assert!(matches!(
            tree.insert_file(path("/f/x"), 0o644, *b"", origin()),
            Err(TreeError::ParentNotFolder { .. })
        ));
    }
}

//! The recipe's own files, folders, links and downloads, with owners by name.

use slipway_images::content::Content;
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};

use crate::compose::accounts::Accounts;
use crate::compose::{ComposeError, Inputs};
use crate::recipe::{FileSource, Ownership};

/// Puts what the recipe adds into `tree`. A folder comes first, then what goes into it. Files below `/var` go where
/// [`factory_path`] says, since `/var` of the image is covered by the state partition.
pub fn apply(tree: &mut RootTree, inputs: &Inputs<'_>, accounts: &Accounts) -> Result<(), ComposeError> {
    let recipe = inputs.recipe;
    let mut directories: Vec<_> = recipe.directories.iter().collect();
    directories.sort_by(|one, other| one.path.cmp(&other.path));
    for entry in directories {
        let meta = meta(accounts, &entry.path, &entry.ownership)?;
        tree.insert(entry.path.clone(), Node { meta, kind: Kind::Folder, origin: Origin::Recipe })?;
    }
    for (path, node) in &inputs.downloads {
        if !(matches!(node.kind, Kind::Folder) && tree.get(path).is_some()) {
            tree.insert(path.clone(), node.clone())?;
        }
    }
    for entry in &recipe.files {
        let content = match &entry.source {
            FileSource::Inline(text) => Content::from_bytes(text.as_bytes()),
            FileSource::Local(path) => {
                inputs.local_files.get(path).ok_or_else(|| ComposeError::LocalFile(path.clone()))?.clone()
            }
        };
        let meta = meta(accounts, &entry.path, &entry.ownership)?;
        put_over(tree, &entry.path, Node { meta, kind: Kind::File(content), origin: Origin::Recipe })?;
    }
    for entry in &recipe.links {
        let kind = Kind::Symlink(entry.target.clone());
        put_over(tree, &entry.path, Node { meta: Meta::root_owned(0o777), kind, origin: Origin::Recipe })?;
    }
    Ok(())
}

/// Where the image keeps a file that is to be in `/var`: systemd-tmpfiles copies it from there when it is missing.
pub fn factory_path(path: &TreePath) -> Result<TreePath, ComposeError> {
    Ok(TreePath::new(&format!("/usr/share/factory{path}"))?)
}

/// Replaces a file even where it has other names: those keep the old content.
fn put_over(tree: &mut RootTree, path: &TreePath, node: Node) -> Result<(), ComposeError> {
    if tree.get(path).is_some_and(|present| !matches!(present.kind, Kind::Folder)) {
        tree.remove(path);
    }
    Ok(tree.insert(path.clone(), node)?)
}

fn meta(accounts: &Accounts, path: &TreePath, ownership: &Ownership) -> Result<Meta, ComposeError> {
    let unknown = |name: &str| ComposeError::UnknownOwner { path: path.clone(), name: name.to_owned() };
    let uid = accounts.uid(&ownership.owner).ok_or_else(|| unknown(&ownership.owner))?;
    let gid = accounts.gid(&ownership.group).ok_or_else(|| unknown(&ownership.group))?;
    Ok(Meta { uid, gid, ..Meta::root_owned(ownership.mode) })
}

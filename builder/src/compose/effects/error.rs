//! Why an effect could not be applied.

use std::io;

use slipway_images::content::Content;
use slipway_images::tree::{Origin, RootTree, TreeError, TreePath};

/// Why an effect could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// An entry could not be put into the tree.
    #[error("the tree refuses an entry")]
    Tree(#[from] TreeError),
    /// A file of the tree can't be read.
    #[error("can't read `{path}`")]
    Read {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// A file that the effect works on isn't as it expects.
    #[error("`{path}` {what}")]
    Invalid {
        /// The file.
        path: TreePath,
        /// What is wrong with it.
        what: String,
    },
}

/// The text of the file at `path`, links followed; `None` where there is none.
pub fn text_of(tree: &RootTree, path: &str) -> Result<Option<String>, EffectError> {
    let path = TreePath::new(path)?;
    tree.file(&path).map(Content::to_text).transpose().map_err(|source| EffectError::Read { path, source })
}

/// Puts a file of root's there, mode 0644, in place of one that may be there.
pub fn put_file(tree: &mut RootTree, path: &str, text: impl Into<Vec<u8>>, effect: &str) -> Result<(), EffectError> {
    Ok(tree.insert_file(TreePath::new(path)?, 0o644, text, Origin::Effect(effect.into()))?)
}

/// Puts a symbolic link there, in place of a file or link that may be there.
pub fn put_link(tree: &mut RootTree, path: &str, target: &str, effect: &str) -> Result<(), EffectError> {
    Ok(tree.insert_symlink(TreePath::new(path)?, target, Origin::Effect(effect.into()))?)
}

//! Debian binary packages: what is in one, and how it gets out of its `.deb`.

pub mod ar;
mod cache;
pub mod control;
mod entries;
pub mod relation;
pub mod unpack;
pub mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_images::tree::{Node, TreePath};

pub use cache::UnpackedCache;
pub use unpack::{DebError, unpack_all};

/// A package, unpacked. Contents lie in an unpacked-package cache file or in memory; nothing was extracted to disk as files.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name.
    pub name: Arc<str>,
    /// Debian version.
    pub version: String,
    /// The fields of `control`, by name as written (`Depends`, `Installed-Size`).
    pub control: BTreeMap<String, String>,
    /// `preinst`, `postinst`, `prerm`, `postrm`, `config`, as text.
    pub scripts: BTreeMap<String, String>,
    /// Further members of the control archive (`conffiles`, `md5sums`, `triggers`, `shlibs`, …), as text.
    pub control_files: BTreeMap<String, String>,
    /// The data archive: canonical paths (merged `/usr`), in archive order. Owners by number as in the archive.
    pub entries: Vec<(TreePath, Node)>,
}

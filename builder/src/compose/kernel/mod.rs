//! The kernel: its image comes out of the root, its modules are pruned to what the recipe asks for, stored decompressed,
//! and indexed for modprobe.
//!
//! Decompressed because an update then costs what changed in a module, not the whole of it.

pub mod index;
mod module;
mod select;

use slipway_images::content::Content;
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreeError, TreePath};

use crate::recipe::KernelSection;

pub use module::{Module, ModuleInfo, normalise};
pub use select::ModuleSet;

/// The kernel of an image.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What `uname -r` says.
    pub release: String,
    /// `/boot/vmlinuz-RELEASE` of the package: a bzImage with an EFI stub.
    pub vmlinuz: Content,
    /// What the initrd loads, in this order.
    pub initrd_modules: Vec<InitrdModule>,
    /// The files of what is loaded while the init starts, in this order.
    pub load_ahead: Vec<TreePath>,
}

/// A module that the initrd loads.
#[derive(Clone, Debug)]
pub struct InitrdModule {
    /// Base name: `dm-verity.ko`.
    pub file_name: String,
    /// The ELF object, not compressed.
    pub content: Content,
    /// Whether the machine boots without it: accelerators refuse to load on processors that lack the instructions,
    /// and soft dependencies are wishes.
    pub optional: bool,
    /// What it says about itself.
    pub info: ModuleInfo,
}

/// Why the kernel could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No package brought one.
    #[error("no package brings a `/boot/vmlinuz-*`")]
    NoKernel,
    /// More than one.
    #[error("more than one kernel: `{0}` and `{1}`")]
    TwoKernels(TreePath, TreePath),
    /// A kernel without modules.
    #[error("`{0}` is missing: the kernel has no modules")]
    NoModules(TreePath),
    /// A module that the recipe names is neither a file nor built in.
    #[error("no module `{wanted}` in kernel {release}{}", suggestion(.similar.as_deref()))]
    UnknownModule {
        /// As the recipe has it.
        wanted: String,
        /// The kernel.
        release: String,
        /// A name that is there.
        similar: Option<String>,
    },
    /// A glob of the recipe.
    #[error("`{pattern}` is no glob pattern")]
    Pattern {
        /// As the recipe has it.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A dependency that the package lacks.
    #[error("module `{module}` depends on `{dependency}`, which is neither there nor built in")]
    MissingDependency {
        /// The module that says so.
        module: String,
        /// What it names.
        dependency: String,
    },
    /// Modules that depend on each other in a ring.
    #[error("module `{0}` depends on itself through others")]
    Cycle(String),
    /// A module could not be read.
    #[error("module `{path}` can't be read")]
    Read {
        /// Where it is.
        path: TreePath,
        /// Why.
        source: std::io::Error,
    },
    /// A module is no sound ELF object.
    #[error("module `{path}` is no kernel module")]
    Elf {
        /// Where it is.
        path: TreePath,
        /// Why.
        source: object::Error,
    },
    /// A name or alias that the index format can't hold.
    #[error("`{0}` is not plain ASCII: it can't go into a module index")]
    NotAscii(String),
    /// The tree refused an entry.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

fn suggestion(similar: Option<&str>) -> String {
    similar.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Takes the kernel out of `tree`: `/boot` is emptied, modules that nobody asked for are dropped, the rest is stored
/// decompressed with new indexes.
pub fn install(tree: &mut RootTree, section: &KernelSection) -> Result<Kernel, KernelError> {
    let (release, vmlinuz) = take_image(tree)?;
    let folder = TreePath::new(&format!("/usr/lib/modules/{release}"))?;
    if tree.get(&folder).is_none() {
        return Err(KernelError::NoModules(folder));
    }
    let set = ModuleSet::scan(tree, &folder, &release)?;
    let wanted = section.modules.iter().chain(&section.initrd_modules).chain(&section.load_ahead);
    let names = set.choose(wanted.map(String::as_str))?;
    let modules = set.load_closure(names)?;
    let initrd_modules = select::initrd_order(&set, &modules, &section.initrd_modules)?;
    let ahead = select::load_order(&set, &modules, &section.load_ahead)?;
    let load_ahead = ahead.iter().map(|module| folder.join(&module.path)).collect::<Result<_, _>>()?;

    let owner = set.origin();
    tree.remove_all(set.files());
    remove_empty_folders(tree, &folder);
    for module in modules.values() {
        let kind = Kind::File(module.content.clone());
        let path = folder.join(&module.path)?;
        tree.insert(path, Node { meta: Meta::root_owned(0o644), kind, origin: owner.clone() })?;
    }
    let order = text_of(tree, &folder, "modules.order")?;
    let builtin = text_of(tree, &folder, "modules.builtin")?;
    let builtin_info = text_of(tree, &folder, "modules.builtin.modinfo")?;
    let inputs = index::Inputs { modules: &modules, order: &order, builtin: &builtin, builtin_info: &builtin_info };
    for (name, bytes) in index::write(&inputs)? {
        tree.insert_file(folder.join(name)?, 0o644, bytes, Origin::Effect("kernel".into()))?;
    }
    Ok(Kernel { release, vmlinuz, initrd_modules, load_ahead })
}

fn take_image(tree: &mut RootTree) -> Result<(String, Content), KernelError> {
    let boot = TreePath::new("/boot")?;
    let mut found: Option<(TreePath, String, Content)> = None;
    for (path, node) in tree.children(&boot) {
        let (Some(release), Kind::File(content)) = (path.name().strip_prefix("vmlinuz-"), &node.kind) else { continue };
        if let Some((first, ..)) = found {
            return Err(KernelError::TwoKernels(first, path.clone()));
        }
        found = Some((path.clone(), release.to_owned(), content.clone()));
    }
    let (_, release, vmlinuz) = found.ok_or(KernelError::NoKernel)?;
    let inside: Vec<TreePath> = tree.children(&boot).map(|(path, _)| path.clone()).collect();
    tree.remove_all(&inside);
    Ok((release, vmlinuz))
}

fn remove_empty_folders(tree: &mut RootTree, folder: &TreePath) {
    let folders: Vec<TreePath> = tree
        .below(folder)
        .filter(|(path, node)| *path != folder && matches!(node.kind, Kind::Folder))
        .map(|(path, _)| path.clone())
        .collect();
    for path in folders.iter().rev() {
        if tree.below(path).nth(1).is_none() {
            tree.remove(path);
        }
    }
}

fn text_of(tree: &RootTree, folder: &TreePath, name: &str) -> Result<String, KernelError> {
    let path = folder.join(name)?;
    match tree.file(&path) {
        None => Ok(String::new()),
        Some(content) => content.to_text().map_err(|source| KernelError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests;

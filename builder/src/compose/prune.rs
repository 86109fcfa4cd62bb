//! What is left out of a root: what no running host reads, and what the recipe says.

use std::collections::BTreeSet;

use glob::{MatchOptions, Pattern};
use slipway_images::tree::{Kind, Node, RootTree, TreePath};

use crate::recipe::PruneSection;

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pruned {
    /// What.
    pub path: TreePath,
    /// Its bytes; 0 for what is no regular file.
    pub size: u64,
    /// Why.
    pub reason: String,
}

/// Why nothing could be pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A pattern of the recipe.
    #[error("`{pattern}` is no glob pattern")]
    Pattern {
        /// As the recipe has it.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
}

/// Left out of every image, with the reason. Licence texts (`/usr/share/doc/*/copyright`, `/usr/share/common-licenses`)
/// are kept: whoever passes an image on must pass them on. They cost some 2 MB.
const ALWAYS: &[(&str, &[&str])] = &[
    (
        "documentation",
        &[
            "/usr/share/doc/**",
            "/usr/share/man/**",
            "/usr/share/info/**",
            "/usr/share/doc-base/**",
            "/usr/share/gtk-doc/**",
            "/usr/share/lintian/**",
            "/usr/share/bug/**",
            "/usr/share/reportbug/**",
        ],
    ),
    ("translations", &["/usr/share/locale/**", "/usr/share/i18n/**", "/usr/lib/systemd/catalog/**"]),
    (
        "completions and editor files",
        &[
            "/usr/share/bash-completion/**",
            "/etc/bash_completion.d/**",
            "/usr/share/zsh/**",
            "/usr/share/fish/**",
            "/usr/share/vim/**",
            "/usr/share/emacs/**",
            "/usr/share/nano/**",
        ],
    ),
    ("desktop files", &["/usr/share/applications/**", "/usr/share/icons/**", "/usr/share/pixmaps/**"]),
    ("hardware database: nothing on a headless host asks it", &["/usr/lib/udev/hwdb.d/**", "/usr/lib/udev/hwdb.bin"]),
    (
        "package management: the image is the package",
        &[
            "/etc/apt/**",
            "/etc/dpkg/**",
            "/etc/kernel/**",
            "/usr/share/debconf/**",
            "/usr/share/dpkg/**",
            "/usr/share/perl5/**",
            "/usr/share/keyrings/**",
            "/usr/share/debianutils/**",
            "/usr/share/base-passwd/**",
            "/usr/share/base-files/**",
            "/usr/share/pam-configs/**",
            "/usr/share/pam/**",
            "/usr/share/openssh/**",
            "/usr/share/libc-bin/**",
            "/usr/lib/linux/triggers/**",
            "/usr/lib/sysusers.d/**",
        ],
    ),
    (
        "initrd generators: the initrd comes with the kernel image",
        &["/usr/share/initramfs-tools/**", "/etc/initramfs-tools/**", "/usr/lib/dracut/**"],
    ),
    (
        "other init systems",
        &[
            "/etc/init.d/**",
            "/etc/rc?.d/**",
            "/etc/init/**",
            "/etc/sv/**",
            "/etc/runit/**",
            "/usr/share/runit/**",
            "/usr/lib/runit-helper/**",
        ],
    ),
    ("cron: timers do it", &["/etc/cron.*/**"]),
    ("sources of the certificate bundle", &["/usr/share/ca-certificates/**", "/etc/ca-certificates/**"]),
    ("debugger hooks", &["/usr/share/gdb/**", "/usr/share/gcc/**"]),
    ("time zones by other names", &["/usr/share/zoneinfo/right/**", "/usr/share/zoneinfo/posix/**"]),
];

/// Never pruned by [`ALWAYS`].
const ALWAYS_KEPT: &[&str] = &["/usr/share/doc/*/copyright"];

/// Character sets that programs still ask for by name; UTF-8 and ASCII are built into libc.
const CHARSETS: &[&str] =
    &["UTF-16.so", "UTF-32.so", "UTF-7.so", "ISO8859-1.so", "ISO8859-15.so", "CP1252.so", "UNICODE.so"];

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Takes out of `tree` what [`ALWAYS`] and the recipe say, but not what the recipe keeps. Folders that this leaves empty
/// and links that it leaves dangling go too.
pub fn prune(tree: &mut RootTree, section: &PruneSection) -> Result<Vec<Pruned>, PruneError> {
    let rules = Rules::new(section)?;
    let mut pruned = Vec::new();
    let mut touched = BTreeSet::new();
    let sound_links = sound_links(tree);
    let doomed: Vec<(TreePath, String)> = tree
        .iter()
        .filter(|(_, node)| !matches!(node.kind, Kind::Folder))
        .filter_map(|(path, node)| Some((path.clone(), rules.reason(path, node)?)))
        .collect();
    touched.extend(doomed.iter().filter_map(|(path, _)| path.parent()));
    // None of them is a folder: each takes away itself and nothing else.
    let removed = tree.remove_all(doomed.iter().map(|(path, _)| path));
    pruned.extend(removed.into_iter().zip(doomed).map(|((path, node), (_, reason))| noted(path, &node, reason)));
    for path in sound_links {
        if tree.get(&path).is_some() && tree.resolve(&path).is_none() {
            touched.extend(path.parent());
            take(tree, &path, "points to what was left out", &mut pruned);
        }
    }
    remove_emptied(tree, touched, &rules, &mut pruned);
    Ok(pruned)
}

struct Rules {
    always: Vec<(&'static str, Vec<Pattern>)>,
    always_kept: Vec<Pattern>,
    drop: Vec<(String, Pattern)>,
    keep: Vec<Pattern>,
}

impl Rules {
    fn new(section: &PruneSection) -> Result<Self, PruneError> {
        let compile =
            |text: &str| Pattern::new(text).map_err(|source| PruneError::Pattern { pattern: text.to_owned(), source });
        let all = |texts: &[&str]| texts.iter().map(|text| compile(text)).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            always: ALWAYS.iter().map(|(why, texts)| Ok((*why, all(texts)?))).collect::<Result<_, PruneError>>()?,
            always_kept: all(ALWAYS_KEPT)?,
            drop: section
                .drop
                .iter()
                .map(|text| Ok((text.clone(), compile(text)?)))
                .collect::<Result<_, PruneError>>()?,
            keep: section.keep.iter().map(|text| compile(text)).collect::<Result<_, _>>()?,
        })
    }

    fn reason(&self, path: &TreePath, node: &Node) -> Option<String> {
        if self.keep.iter().any(|pattern| covers(pattern, path)) {
            return None;
        }
        if let Some((text, _)) = self.drop.iter().find(|(_, pattern)| covers(pattern, path)) {
            return Some(format!("recipe: {text}"));
        }
        // What the recipe itself put there is not dropped behind its back.
        if node.origin == slipway_images::tree::Origin::Recipe || matches_any(&self.always_kept, path) {
            return None;
        }
        let listed = self.always.iter().find(|(_, patterns)| matches_any(patterns, path)).map(|(why, _)| *why);
        listed.or_else(|| is_rare_charset(path).then_some("rare character sets")).map(str::to_owned)
    }
}

fn matches_any(patterns: &[Pattern], path: &TreePath) -> bool {
    patterns.iter().any(|pattern| pattern.matches_with(path.as_str(), OPTIONS))
}

/// Whether `pattern` matches the path or a folder above it: `/usr/share/doc` means all that is in it.
fn covers(pattern: &Pattern, path: &TreePath) -> bool {
    let mut next = Some(path.clone());
    while let Some(path) = next.filter(|path| *path != TreePath::root()) {
        if pattern.matches_with(path.as_str(), OPTIONS) {
            return true;
        }
        next = path.parent();
    }
    false
}

fn is_rare_charset(path: &TreePath) -> bool {
    let in_gconv = path.parent().is_some_and(|folder| folder.name() == "gconv");
    in_gconv && path.name().strip_suffix(".so").is_some() && !CHARSETS.contains(&path.name())
}

fn sound_links(tree: &RootTree) -> Vec<TreePath> {
    tree.iter()
        .filter(|(path, node)| matches!(node.kind, Kind::Symlink(_)) && tree.resolve(path).is_some())
        .map(|(path, _)| path.clone())
        .collect()
}

fn take(tree: &mut RootTree, path: &TreePath, reason: &str, pruned: &mut Vec<Pruned>) {
    pruned.extend(tree.remove(path).into_iter().map(|(path, node)| noted(path, &node, reason.to_owned())));
}

fn noted(path: TreePath, node: &Node, reason: String) -> Pruned {
    let size = match &node.kind {
        Kind::File(content) => content.len(),
        _ => 0,
    };
    Pruned { path, size, reason }
}

fn remove_emptied(tree: &mut RootTree, touched: BTreeSet<TreePath>, rules: &Rules, pruned: &mut Vec<Pruned>) {
    let mut pending: Vec<TreePath> = touched.into_iter().collect();
    while let Some(path) = pending.pop() {
        let is_kept = rules.keep.iter().any(|pattern| covers(pattern, &path));
        let is_recipe = tree.get(&path).is_some_and(|node| node.origin == slipway_images::tree::Origin::Recipe);
        let is_shallow = path.parts().count() < 3;
        if is_kept || is_recipe || is_shallow || tree.below(&path).nth(1).is_some() {
            continue;
        }
        take(tree, &path, "empty", pruned);
        pending.extend(path.parent());
    }
}

#[cfg(test)]
mod tests;

//! All packages in one tree.

use slipway_images::tree::{Kind, Node, Origin, RootTree, TreeError, TreePath};

use crate::compose::ComposeError;
use crate::deb::Package;

/// Puts the entries of `packages` into one tree, by name of package. Two packages that bring one path are an error
/// naming both, unless they bring the same, or one says that it replaces the other (Debian policy 7.6.1). A folder keeps
/// the owner and mode of the package that brought it first, as under dpkg.
pub fn merge(packages: &[Package]) -> Result<RootTree, ComposeError> {
    let mut sorted: Vec<&Package> = packages.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    let mut tree = RootTree::new();
    let mut links = Vec::new();
    for package in &sorted {
        for (path, node) in &package.entries {
            if *path == TreePath::root() {
                continue;
            }
            if let Kind::HardLink(_) = node.kind {
                links.push((*package, path, node));
            } else {
                put(&mut tree, &sorted, package, path, node)?;
            }
        }
    }
    for (package, path, node) in links {
        put(&mut tree, &sorted, package, path, node)?;
    }
    tree.check_hard_links()?;
    Ok(tree)
}

fn put(
    tree: &mut RootTree,
    packages: &[&Package],
    package: &Package,
    path: &TreePath,
    node: &Node,
) -> Result<(), ComposeError> {
    if let Some(present) = tree.get(path) {
        let both_folders = matches!((&present.kind, &node.kind), (Kind::Folder, Kind::Folder));
        if both_folders && is_declared(packages, &present.origin, path) {
            return Ok(());
        }
        if !both_folders {
            let same = present.kind == node.kind && present.meta == node.meta;
            if same || replaces(packages, &present.origin, package) {
                return Ok(());
            }
            if !replaces_other(package, &present.origin) {
                return Err(ComposeError::Conflict {
                    path: path.clone(),
                    first: origin_name(&present.origin),
                    second: package.name.to_string(),
                });
            }
        }
    }
    tree.insert(path.clone(), node.clone()).map_err(|error| match error {
        TreeError::ParentNotFolder { parent, .. } => ComposeError::Conflict {
            first: tree.get(&parent).map(|node| origin_name(&node.origin)).unwrap_or_default(),
            path: parent,
            second: package.name.to_string(),
        },
        other => other.into(),
    })
}

/// Whether the package of `origin` lists the folder itself, and not only something in it.
fn is_declared(packages: &[&Package], origin: &Origin, path: &TreePath) -> bool {
    let Origin::Package(name) = origin else { return true };
    let found = packages.iter().find(|package| package.name == *name);
    found.is_some_and(|package| package.entries.iter().any(|(entry, _)| entry == path))
}

/// Whether the package that is there already says that it replaces `newcomer`.
fn replaces(packages: &[&Package], present: &Origin, newcomer: &Package) -> bool {
    let Origin::Package(name) = present else { return false };
    let found = packages.iter().find(|package| package.name == *name);
    found.is_some_and(|package| names_in(package, "Replaces").any(|replaced| replaced == &*newcomer.name))
}

fn replaces_other(newcomer: &Package, present: &Origin) -> bool {
    let Origin::Package(name) = present else { return false };
    names_in(newcomer, "Replaces").any(|replaced| replaced == &**name)
}

fn names_in<'a>(package: &'a Package, field: &str) -> impl Iterator<Item = &'a str> {
    let value = package.control.get(field).map(String::as_str).unwrap_or_default();
    value.split(',').filter_map(|part| part.trim().split([' ', '(', ':']).next())
}

fn origin_name(origin: &Origin) -> String {
    match origin {
        Origin::Package(name) | Origin::Effect(name) => name.to_string(),
        Origin::Recipe => "the recipe".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use slipway_images::content::Content;
    use slipway_images::tree::Meta;

    use super::*;

    fn package(name: &str, replaces: &str, files: &[(&str, &str)]) -> Package {
        let entry = |(path, text): &(&str, &str)| {
            let node = Node {
                meta: Meta::root_owned(0o644),
                kind: Kind::File(Content::from_bytes(text.as_bytes())),
                origin: Origin::Package(name.into()),
            };
            (path.parse().unwrap(), node)
        };
        Package {
            name: name.into(),
            version: "1".to_owned(),
            control: BTreeMap::from([("Replaces".to_owned(), replaces.to_owned())]),
            scripts: BTreeMap::new(),
            control_files: BTreeMap::new(),
            entries: files.iter().map(entry).collect(),
        }
    }

    #[test]
    fn two_packages_with_one_path_are_both_named() {
        let packages = [package("b", "", &[("/usr/bin/x", "1")]), package("a", "", &[("/usr/bin/x", "2")])];
        let error = merge(&packages).unwrap_err().to_string();
        assert_eq!(error, "`/usr/bin/x` is brought by `a` and by `b`");
    }

    #[test]
    fn the_package_that_replaces_the_other_wins_in_either_order() {
        for (winner, loser) in [("a", "b"), ("b", "a")] {
            let packages = [
                package(winner, &format!("other, {loser} (<< 2)"), &[("/usr/bin/x", "winner")]),
                package(loser, "", &[("/usr/bin/x", "loser")]),
            ];
            let tree = merge(&packages).unwrap();
            assert_eq!(tree.file(&"/usr/bin/x".parse().unwrap()).unwrap().to_text().unwrap(), "winner");
        }
    }

    #[test]
    fn the_same_file_twice_is_no_conflict() {
        let packages = [package("a", "", &[("/etc/x", "1")]), package("b", "", &[("/etc/x", "1")])];
        assert_eq!(merge(&packages).unwrap().len(), 3);
    }
}

//! `/etc/ssl/certs/ca-certificates.crt`, as `update-ca-certificates` makes it: every certificate of the package in byte
//! order of its path, then those of `/usr/local/share/ca-certificates`, where a recipe puts its own.
//!
//! There are no links by hash: `/usr/lib/ssl/cert.pem`, which OpenSSL reads by default, points to the bundle.

use slipway_images::tree::{Kind, RootTree, TreePath};

use super::error::{EffectError, put_file, put_link, text_of};
use crate::deb::Package;

const NAME: &str = "ca-certificates";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Writes the bundle, where the package is there or the recipe brings certificates. Runs after the recipe's files.
pub fn apply(tree: &mut RootTree, _: &[Package]) -> Result<(), EffectError> {
    let mut bundle = String::new();
    for folder in ["/usr/share/ca-certificates", "/usr/local/share/ca-certificates"] {
        for path in certificates(tree, &TreePath::new(folder)?) {
            let text = text_of(tree, path.as_str())?.unwrap_or_default();
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err(EffectError::Invalid { path, what: "is no certificate in PEM form".into() });
            }
            bundle.push_str(&text);
            if !text.ends_with('\n') {
                bundle.push('\n');
            }
        }
    }
    if !bundle.is_empty() {
        put_file(tree, BUNDLE, bundle, NAME)?;
        put_link(tree, "/usr/lib/ssl/cert.pem", BUNDLE, NAME)?;
    }
    Ok(())
}

fn certificates(tree: &RootTree, folder: &TreePath) -> Vec<TreePath> {
    let mut found: Vec<TreePath> = tree
        .below(folder)
        .filter(|(path, node)| path.name().ends_with(".crt") && !matches!(node.kind, Kind::Folder))
        .map(|(path, _)| path.clone())
        .collect();
    found.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use slipway_images::tree::Origin;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> RootTree {
        let mut tree = RootTree::new();
        for (path, text) in files {
            tree.insert_file(path.parse().unwrap(), 0o644, *text, Origin::Recipe).unwrap();
        }
        tree
    }

    #[test]
    fn the_bundle_is_in_byte_order_with_the_recipes_own_last() {
        let certificate = |name: &str| format!("-----BEGIN CERTIFICATE-----\n{name}");
        let mut tree = tree(&[
            ("/usr/local/share/ca-certificates/own.crt", &certificate("own")),
            ("/usr/share/ca-certificates/mozilla/b.crt", &certificate("b")),
            ("/usr/share/ca-certificates/mozilla/A.crt", &certificate("A")),
            ("/usr/share/ca-certificates/README", "no certificate"),
        ]);
        apply(&mut tree, &[]).unwrap();
        let bundle = text_of(&tree, "/usr/lib/ssl/cert.pem").unwrap().unwrap();
        let names: Vec<&str> = bundle.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(names, ["A", "b", "own"]);
    }

    #[test]
    fn a_file_that_is_no_certificate_stops_the_build() {
        let mut tree = tree(&[("/usr/local/share/ca-certificates/own.crt", "binary")]);
        assert!(matches!(apply(&mut tree, &[]), Err(EffectError::Invalid { .. })));
    }
}

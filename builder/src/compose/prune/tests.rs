#![allow(clippy::unwrap_used)]

use super::*;
use crate::compose::fixture::{path, tree};

fn section(drop: &[&str], keep: &[&str]) -> PruneSection {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    PruneSection { drop: owned(drop), keep: owned(keep) }
}

fn dump(pruned: &[Pruned]) -> Vec<String> {
    pruned.iter().map(|entry| format!("{} {} ({})", entry.path, entry.size, entry.reason)).collect()
}

#[test]
fn documentation_goes_and_licences_stay() {
    let mut tree = tree(&[
        ("/usr/share/doc/bash/README", "12345"),
        ("/usr/share/doc/bash/copyright", "x"),
        ("/usr/share/doc/gone/changelog.gz", "x"),
        ("/usr/share/man/man1/pager.1.gz", "-> less.1.gz"),
        ("/usr/share/man/man1/less.1.gz", "x"),
        ("/usr/bin/less", "x"),
    ]);
    let pruned = prune(&mut tree, &section(&[], &[])).unwrap();
    let left: Vec<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        left,
        [
            "/",
            "/usr",
            "/usr/bin",
            "/usr/bin/less",
            "/usr/share",
            "/usr/share/doc",
            "/usr/share/doc/bash",
            "/usr/share/doc/bash/copyright"
        ]
    );
    assert!(dump(&pruned).contains(&"/usr/share/doc/bash/README 5 (documentation)".to_owned()), "{pruned:?}");
}

#[test]
fn what_the_recipe_keeps_wins_over_what_it_drops() {
    let mut tree = tree(&[("/opt/x/a", "1"), ("/opt/x/b", "2"), ("/usr/share/man/man1/x.1", "x")]);
    prune(&mut tree, &section(&["/opt/x"], &["/opt/x/b", "/usr/share/man/**"])).unwrap();
    assert!(tree.get(&path("/opt/x/a")).is_none());
    assert!(tree.get(&path("/opt/x/b")).is_some());
    assert!(tree.get(&path("/usr/share/man/man1/x.1")).is_some());
}

#[test]
fn links_to_what_went_go_too_and_those_that_dangled_before_stay() {
    let mut tree = tree(&[
        ("/usr/bin/ctr", "x"),
        ("/usr/bin/alias", "-> ctr"),
        ("/etc/resolv.conf", "-> ../run/systemd/resolve/stub-resolv.conf"),
    ]);
    let pruned = prune(&mut tree, &section(&["/usr/bin/ct*"], &[])).unwrap();
    assert_eq!(
        dump(&pruned)[..2],
        ["/usr/bin/ctr 1 (recipe: /usr/bin/ct*)", "/usr/bin/alias 0 (points to what was left out)"]
    );
    assert!(tree.get(&path("/etc/resolv.conf")).is_some());
}

#[test]
fn stars_do_not_cross_folders_and_bad_patterns_are_named() {
    let mut tree = tree(&[("/opt/a/x", "1"), ("/opt/x", "1")]);
    prune(&mut tree, &section(&["/opt/*x"], &[])).unwrap();
    assert!(tree.get(&path("/opt/a/x")).is_some() && tree.get(&path("/opt/x")).is_none());
    assert_eq!(prune(&mut tree, &section(&["/a**"], &[])).unwrap_err().to_string(), "`/a**` is no glob pattern");
}

//! Alternatives, from the `update-alternatives --install` lines of the packages' postinst scripts (`man
//! update-alternatives`): the highest priority wins, and brings its slaves. Slaves whose file isn't in the tree are left
//! out, as dpkg leaves them out.

use std::collections::BTreeMap;

use slipway_images::tree::{RootTree, TreePath};

use super::error::{EffectError, put_link};
use crate::deb::Package;

const NAME: &str = "alternatives";

/// One `--install`, or one of its `--slave`s.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    link: String,
    name: String,
    target: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternative {
    master: Choice,
    priority: i64,
    slaves: Vec<Choice>,
}

/// Links each alternative of `packages` to the best that the tree has.
pub fn apply(tree: &mut RootTree, packages: &[Package]) -> Result<(), EffectError> {
    let mut best: BTreeMap<String, Alternative> = BTreeMap::new();
    for package in packages {
        let script = package.scripts.get("postinst").map_or("", String::as_str);
        for alternative in parse(script) {
            if !is_there(tree, &alternative.master.target) {
                continue;
            }
            match best.get(&alternative.master.name) {
                Some(rival) if rival.priority >= alternative.priority => {}
                _ => {
                    best.insert(alternative.master.name.clone(), alternative);
                }
            }
        }
    }
    for alternative in best.into_values() {
        for choice in std::iter::once(&alternative.master).chain(&alternative.slaves) {
            if is_there(tree, &choice.target) {
                let selected = format!("/etc/alternatives/{}", choice.name);
                put_link(tree, &selected, &choice.target, NAME)?;
                put_link(tree, &choice.link, &selected, NAME)?;
            }
        }
    }
    Ok(())
}

fn is_there(tree: &RootTree, path: &str) -> bool {
    TreePath::new(path).is_ok_and(|path| tree.resolve(&path).is_some())
}

fn parse(script: &str) -> Vec<Alternative> {
    script
        .replace("\\\n", " ")
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "--install").skip(1);
            line.contains("update-alternatives").then_some(())?;
            let master = choice(&mut words)?;
            let priority = words.next()?.parse().ok()?;
            let mut slaves = Vec::new();
            while words.next() == Some("--slave") {
                slaves.push(choice(&mut words)?);
            }
            Some(Alternative { master, priority, slaves })
        })
        .collect()
}

fn choice<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Choice> {
    let mut next = || words.next().map(str::to_owned);
    Some(Choice { link: next()?, name: next()?, target: next()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use slipway_images::tree::Origin;

    use super::*;

    const IPTABLES: &str = "
if [ \"$1\" = \"configure\" ]; then
\tupdate-alternatives \\
\t  --install /usr/sbin/iptables iptables /usr/sbin/iptables-legacy 10 \\
\t  --slave /usr/sbin/iptables-save iptables-save /usr/sbin/iptables-legacy-save
        update-alternatives \\
          --install /usr/sbin/iptables iptables /usr/sbin/iptables-nft 20 \\
          --slave /usr/sbin/iptables-save iptables-save /usr/sbin/iptables-nft-save
fi
update-alternatives --install /usr/share/man/man7/builtins.7.gz builtins.7.gz /usr/share/man/man7/bash.7.gz 10 || true
";

    #[test]
    fn the_highest_priority_that_is_there_wins() {
        let mut tree = RootTree::new();
        for name in ["iptables-legacy", "iptables-legacy-save", "iptables-nft", "iptables-nft-save"] {
            let path = TreePath::new(&format!("/usr/sbin/{name}")).unwrap();
            tree.insert_file(path, 0o755, "", Origin::Recipe).unwrap();
        }
        let mut package = Package {
            name: "iptables".into(),
            version: "1".into(),
            control: BTreeMap::new(),
            scripts: BTreeMap::new(),
            control_files: BTreeMap::new(),
            entries: Vec::new(),
        };
        package.scripts.insert("postinst".into(), IPTABLES.into());
        apply(&mut tree, &[package]).unwrap();
        let resolved = |path: &str| tree.resolve(&path.parse().unwrap()).map(|(path, _)| path.to_string());
        assert_eq!(resolved("/usr/sbin/iptables").as_deref(), Some("/usr/sbin/iptables-nft"));
        assert_eq!(resolved("/usr/sbin/iptables-save").as_deref(), Some("/usr/sbin/iptables-nft-save"));
        assert!(!tree.contains(&"/usr/share/man/man7/builtins.7.gz".parse().unwrap()), "its file isn't in the tree");
    }
}

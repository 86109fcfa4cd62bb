#![allow(clippy::unwrap_used)]

use super::*;
use crate::compose::fixture::{path, tree};

const SYSTEM: &str = "/usr/lib/systemd/system";

fn origin() -> Origin {
    Origin::Recipe
}

fn links(tree: &RootTree) -> Vec<String> {
    tree.below(&path("/etc/systemd"))
        .filter_map(|(path, node)| match &node.kind {
            Kind::Symlink(target) => Some(format!("{path} -> {target}").replace("/etc/systemd/system/", "")),
            _ => None,
        })
        .collect()
}

#[test]
fn every_key_of_install_makes_its_links() {
    let ssh = "[Unit]\nWantedBy=ignored.target\n[Install]\nWantedBy=multi-user.target \\\n  rescue.target\nRequiredBy=a.target\n\
               UpheldBy=b.target\nAlias=sshd.service\nAlso=ssh.socket missing.service\n";
    let socket = "[Install]\nWantedBy=dropped.target\nWantedBy=\nWantedBy=sockets.target\n";
    let mut tree = tree(&[
        (&format!("{SYSTEM}/ssh.service"), ssh),
        (&format!("{SYSTEM}/ssh.socket"), socket),
        (&format!("{SYSTEM}/getty@.service"), "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n"),
    ]);
    enable(&mut tree, Manager::System, "ssh.service", &origin()).unwrap();
    enable(&mut tree, Manager::System, "getty@.service", &origin()).unwrap();
    enable(&mut tree, Manager::System, "getty@tty2.service", &origin()).unwrap();
    assert_eq!(
        links(&tree),
        [
            "a.target.requires/ssh.service -> /usr/lib/systemd/system/ssh.service",
            "b.target.upholds/ssh.service -> /usr/lib/systemd/system/ssh.service",
            "getty.target.wants/getty@tty1.service -> /usr/lib/systemd/system/getty@.service",
            "getty.target.wants/getty@tty2.service -> /usr/lib/systemd/system/getty@.service",
            "multi-user.target.wants/ssh.service -> /usr/lib/systemd/system/ssh.service",
            "rescue.target.wants/ssh.service -> /usr/lib/systemd/system/ssh.service",
            "sockets.target.wants/ssh.socket -> /usr/lib/systemd/system/ssh.socket",
            "sshd.service -> /usr/lib/systemd/system/ssh.service",
        ]
    );
    disable(&mut tree, Manager::System, "ssh.service").unwrap();
    assert_eq!(links(&tree).iter().filter(|link| link.contains("ssh.service")).count(), 0, "{:?}", links(&tree));
    mask(&mut tree, "ssh.service", &origin()).unwrap();
    assert!(links(&tree).contains(&"ssh.service -> /dev/null".to_owned()));
}

#[test]
fn what_cannot_be_enabled_is_said() {
    let mut tree = tree(&[
        (&format!("{SYSTEM}/docker.service"), "[Install]\nWantedBy=a.target\n"),
        (&format!("{SYSTEM}/static.service"), "[Service]\n"),
        (&format!("{SYSTEM}/x@.service"), "[Install]\nWantedBy=a.target\n"),
    ]);
    let mut enable = |unit| super::enable(&mut tree, Manager::System, unit, &origin()).unwrap_err().to_string();
    assert_eq!(enable("dockre.service"), "there is no unit `dockre.service`; did you mean `docker.service`?");
    assert!(enable("static.service").contains("no [Install] section"));
    assert_eq!(enable("x@.service"), "`x@.service` is a template and needs an instance: `x@NAME.service`");
}

#[test]
fn the_first_preset_rule_that_matches_decides() {
    let presets =
        Presets::parse("# c\nenable getty@.service\ndisable systemd-time-*\nenable *\ndisable late.service\n");
    assert!(presets.enables("getty@tty1.service"));
    assert!(!presets.enables("systemd-time-wait-sync.service"));
    assert!(presets.enables("late.service"));
    assert!(Presets::default().enables("any.service"));
}

#[test]
fn a_removed_unit_leaves_no_link_behind() {
    let mut tree = tree(&[
        (&format!("{SYSTEM}/ldconfig.service"), "[Service]\n"),
        (&format!("{SYSTEM}/sysinit.target.wants/ldconfig.service"), "-> ../ldconfig.service"),
        (&format!("{SYSTEM}/other.service"), "-> ldconfig.service"),
        (&format!("{SYSTEM}/kept.service"), "[Service]\n"),
    ]);
    assert_eq!(remove(&mut tree, "ldconfig.service").unwrap().len(), 3);
    assert_eq!(tree.below(&path(SYSTEM)).filter(|(_, node)| !matches!(node.kind, Kind::Folder)).count(), 1);
}

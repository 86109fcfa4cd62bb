//! `/var` of the image is covered by the state partition: its folders are made there at boot by systemd-tmpfiles, and its
//! files are copied from `/usr/share/factory` when they are missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use slipway_images::tree::{Kind, Node, Origin, TreePath};

use super::Stage;
use super::skeleton::MOVED;
use crate::compose::ComposeError;
use crate::compose::apply::factory_path;

/// base-files makes these in its script.
const LOGS: [(&str, &str); 5] = [
    ("/var/log/wtmp", "f /var/log/wtmp 0664 root utmp -"),
    ("/var/log/btmp", "f /var/log/btmp 0660 root utmp -"),
    ("/var/log/lastlog", "f /var/log/lastlog 0664 root utmp -"),
    ("/var/mail", "d /var/mail 2775 root mail -"),
    ("/var/spool/mail", "L /var/spool/mail - - - - ../mail"),
];

/// Of the skeleton, and so among the folders of `/var` already.
const EARLY: [&str; 1] = ["/var/opt"];

/// Folders of tools that change packages, and of other init systems.
const NEEDLESS: [&str; 6] =
    ["/var/lib/dpkg", "/var/lib/pam", "/var/lib/apt", "/var/cache/apt", "/var/cache/debconf", "/var/log/runit"];

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let made = made_by_packages(stage)?;
    let mut text = "# Made from what packages and the recipe put below /var.\n".to_owned();
    let is_new = |path: &str| !made.contains(path);
    for (_, _, path) in MOVED.into_iter().filter(|(_, _, path)| is_new(path) && !EARLY.contains(path)) {
        let _ = writeln!(text, "d {path} 0755 root root -");
    }
    let entries: Vec<(TreePath, Node)> = stage
        .tree
        .below(&TreePath::new("/var")?)
        .filter(|(path, _)| path.as_str() != "/var" && !made.contains(path.as_str()) && !is_needless(path))
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect();
    for (path, node) in entries {
        let word = if path.as_str().contains(char::is_whitespace) { format!("\"{path}\"") } else { path.to_string() };
        let owner = format!("{:04o} {} {}", node.meta.mode, node.meta.uid, node.meta.gid);
        match &node.kind {
            Kind::Folder => {
                let _ = writeln!(text, "d {word} {owner} -");
            }
            Kind::Symlink(target) => {
                let _ = writeln!(text, "L {word} - - - - {target}");
            }
            Kind::File(_) => {
                let factory = factory_path(&path)?;
                let _ = writeln!(text, "C {word} {owner} - {factory}");
                stage.tree.remove(&path);
                stage.tree.insert(factory, node)?;
            }
            _ => return Err(stage.problem(format!("`{path}` can be neither a folder nor a file nor a link in `/var`"))),
        }
    }
    if stage.accounts.gid("utmp").is_some() && stage.accounts.gid("mail").is_some() {
        text.extend(LOGS.iter().filter(|(path, _)| is_new(path)).flat_map(|(_, line)| [*line, "\n"]));
    }
    stage.file("/usr/lib/tmpfiles.d/slipway-var.conf", 0o644, text)?;
    trim(stage)
}

/// Paths for which a package has a tmpfiles.d line: a second one would be ignored with a warning.
fn made_by_packages(stage: &Stage<'_>) -> Result<BTreeSet<String>, ComposeError> {
    let mut paths = BTreeSet::new();
    let files: Vec<TreePath> =
        stage.tree.children(&TreePath::new("/usr/lib/tmpfiles.d")?).map(|(path, _)| path.clone()).collect();
    for file in files {
        let text = stage.text(file.as_str())?.unwrap_or_default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let makes = words.next().is_some_and(|kind| kind.starts_with(['d', 'D', 'q', 'Q', 'f', 'L', 'C']));
            paths.extend(words.next().filter(|_| makes).map(str::to_owned));
        }
    }
    Ok(paths)
}

fn is_needless(path: &TreePath) -> bool {
    NEEDLESS
        .iter()
        .any(|folder| path.as_str().strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Of the folders, those stay in the image that something needs before the partition is mounted; the recipe's too, so
/// that a report shows them.
fn trim(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let from_packages: Vec<TreePath> = stage
        .tree
        .below(&TreePath::new("/var")?)
        .filter(|(path, node)| path.parts().count() > 2 && matches!(node.origin, Origin::Package(_)))
        .map(|(path, _)| path.clone())
        .collect();
    for path in from_packages {
        stage.tree.remove(&path);
    }
    Ok(())
}

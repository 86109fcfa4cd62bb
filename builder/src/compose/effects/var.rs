//! `/var` of the image is covered by the state partition: its folders are made there at boot by systemd-tmpfiles, and its
//! files are copied from `/usr/share/factory` when they are missing.

use std::fmt::Write as _;

use slipway_images::tree::{Kind, Node, Origin, TreePath};

use super::Stage;
use super::skeleton::MOVED;
use crate::compose::ComposeError;
use crate::compose::apply::factory_path;

/// base-files makes these in its script.
const LOGS: &str = "\
f /var/log/wtmp 0664 root utmp -
f /var/log/btmp 0660 root utmp -
f /var/log/lastlog 0664 root utmp -
d /var/mail 2775 root mail -
L /var/spool/mail - - - - ../mail
";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let mut text = "# Made from what packages and the recipe put below /var.\n".to_owned();
    for (_, _, path) in MOVED {
        let _ = writeln!(text, "d {path} 0755 root root -");
    }
    let entries: Vec<(TreePath, Node)> = stage
        .tree
        .below(&TreePath::new("/var")?)
        .filter(|(path, _)| path.as_str() != "/var")
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
        text.push_str(LOGS);
    }
    stage.file("/usr/lib/tmpfiles.d/slipway-var.conf", 0o644, text)?;
    trim(stage)
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

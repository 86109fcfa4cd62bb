//! The frame of the file system.
//!
//! `/` and all below it but `/etc` (an overlay in memory), `/run`, `/tmp` (memory) and `/var` (the state partition) is
//! read-only. `/home`, `/opt`, `/srv`, `/mnt` and `/media` therefore point into `/var`, where there is no difference
//! between the image's and the machine's: programs that expect to write there do. `/root` is a read-only folder of the
//! image, so that root's shell starts the same on every boot; `/usr/local` belongs to the image too.

use slipway_images::tree::{Kind, TreePath};

use super::Stage;
use crate::compose::ComposeError;

const MOUNT_POINTS: [(&str, u16); 8] = [
    ("/dev", 0o755),
    ("/proc", 0o555),
    ("/sys", 0o555),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/boot", 0o755),
    ("/efi", 0o755),
    ("/var", 0o755),
];

const MERGED: [(&str, &str); 4] =
    [("/bin", "usr/bin"), ("/sbin", "usr/sbin"), ("/lib", "usr/lib"), ("/lib64", "usr/lib64")];

/// Folders that belong to the machine, and where in `/var` they are. Made there by tmpfiles.
pub(super) const MOVED: [(&str, &str, &str); 5] = [
    ("/home", "var/home", "/var/home"),
    ("/opt", "var/opt", "/var/opt"),
    ("/srv", "var/srv", "/var/srv"),
    ("/mnt", "var/mnt", "/var/mnt"),
    ("/media", "run/media", "/run/media"),
];

/// What services find in `/var` before the state partition is mounted: mount namespaces are set up that early.
const EARLY_VAR: [(&str, u16); 7] = [
    ("/var/cache", 0o755),
    ("/var/lib", 0o755),
    ("/var/local", 0o755),
    ("/var/log", 0o755),
    ("/var/opt", 0o755),
    ("/var/spool", 0o755),
    ("/var/tmp", 0o1777),
];

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    for (path, mode) in MOUNT_POINTS.into_iter().chain(EARLY_VAR) {
        stage.folder(path, mode)?;
    }
    for (path, target) in MERGED {
        if !stage.tree.contains(&TreePath::new(path)?) && stage.has(&format!("/{target}"))? {
            stage.link(path, target)?;
        }
    }
    stage.folder("/root", 0o700)?;
    for folder in ["", "/bin", "/etc", "/games", "/include", "/lib", "/sbin", "/share", "/src"] {
        stage.folder(&format!("/usr/local{folder}"), 0o755)?;
    }
    for (path, target, _) in MOVED {
        replace_empty_folder(stage, path, target)?;
    }
    replace_empty_folder(stage, "/var/run", "../run")?;
    replace_empty_folder(stage, "/var/lock", "../run/lock")
}

/// A link in place of a folder that packages ship empty. One with files is left alone: it is the image's then.
fn replace_empty_folder(stage: &mut Stage<'_>, path: &str, target: &str) -> Result<(), ComposeError> {
    let at = TreePath::new(path)?;
    let has_files = stage.tree.below(&at).any(|(_, node)| !matches!(node.kind, Kind::Folder));
    if has_files {
        stage.note(format!("`{path}` holds files of packages: it is a read-only folder, not a link to `{target}`"));
        return Ok(());
    }
    stage.tree.remove(&at);
    stage.link(path, target)
}

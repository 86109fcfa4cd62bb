//! What systemd needs in an image, and what it must not have: units and generators that would build at every boot what is
//! built already, or ask questions.

use slipway_images::tree::{Origin, TreePath};

use super::Stage;
use crate::compose::ComposeError;
use crate::compose::prune::Pruned;
use crate::compose::units;

/// Units and why they are left out.
const UNITS: &[(&str, &str)] = &[
    ("ldconfig.service", "no cache is needed: libraries are in the default folders"),
    ("systemd-hwdb-update.service", "the hardware database is left out"),
    ("systemd-journal-catalog-update.service", "the message catalogue is left out"),
    ("systemd-firstboot.service", "it asks questions on the console"),
    ("systemd-sysusers.service", "accounts are made when the image is built"),
    ("systemd-update-done.service", "nothing is updated in place"),
    ("systemd-machine-id-commit.service", "the machine id is kept on the state partition"),
    ("systemd-remount-fs.service", "the root is read-only for good"),
    ("systemd-growfs-root.service", "the root never grows"),
    ("systemd-fsck-root.service", "verity checks the root"),
    ("systemd-repart.service", "slipway-state.service does it"),
    ("systemd-boot-update.service", "the agent keeps the boot loader"),
    ("systemd-boot-system-token.service", "the seed is kept on the state partition"),
    ("systemd-boot-random-seed.service", "the seed is kept on the state partition"),
    ("systemd-hibernate-clear.service", "a host doesn't hibernate"),
    ("systemd-quotacheck-root.service", "the root has no quota"),
    ("quotaon-root.service", "the root has no quota"),
    ("e2scrub_all.service", "it needs LVM"),
    ("e2scrub_all.timer", "it needs LVM"),
    ("e2scrub_reap.service", "it needs LVM"),
    ("apt-daily.timer", "packages don't change on the host"),
    ("apt-daily-upgrade.timer", "packages don't change on the host"),
    ("dpkg-db-backup.timer", "packages don't change on the host"),
    ("man-db.timer", "manual pages are left out"),
];

/// Generators that stay: consoles, and credentials and the kernel command line for tests. All others cost time at every
/// boot and find nothing in such an image.
const GENERATORS: [&str; 2] = ["systemd-getty-generator", "systemd-debug-generator"];

const TMPFILES: [(&str, &str); 2] =
    [("/usr/lib/tmpfiles.d/x11.conf", "no display"), ("/usr/lib/tmpfiles.d/home.conf", "homes are in `/var`")];

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let folder = "/usr/lib/systemd/system";
    if !stage.has(folder)? {
        return Ok(());
    }
    for (unit, reason) in UNITS {
        let is_recipes = stage.is_recipes(&TreePath::new(&format!("/etc/systemd/system/{unit}"))?);
        if is_recipes {
            continue;
        }
        for path in units::remove(&mut stage.tree, unit)? {
            stage.pruned.push(Pruned { path, size: 0, reason: (*reason).to_owned() });
        }
    }
    generators(stage)?;
    if !stage.has("/usr/lib/systemd/systemd-sysroot-fstab-check")? {
        stage.drop("/usr/lib/systemd/systemd-sysroot-fstab-check", "points to a generator that is left out")?;
    }
    for (path, reason) in TMPFILES {
        stage.drop(path, reason)?;
    }
    // The initrd writes the id of the machine into the overlay of `/etc` before systemd reads it.
    stage.file("/etc/machine-id", 0o444, "")?;
    stage.file("/etc/.updated", 0o644, "# Nothing is to be updated after boot: the image is built whole.\n")?;
    stage.link(&format!("{folder}/local-fs.target.wants/tmp.mount"), "../tmp.mount")?;
    default_target(stage, folder)
}

fn generators(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let folder = TreePath::new("/usr/lib/systemd/system-generators")?;
    let has_fstab = stage.is_recipes(&TreePath::new("/etc/fstab")?);
    let needless: Vec<TreePath> = stage
        .tree
        .children(&folder)
        .filter(|(path, node)| {
            let is_systemds = path.name().starts_with("systemd-") && node.origin != Origin::Recipe;
            let is_needed =
                GENERATORS.contains(&path.name()) || (has_fstab && path.name() == "systemd-fstab-generator");
            is_systemds && !is_needed
        })
        .map(|(path, _)| path.clone())
        .collect();
    for path in needless {
        stage.drop(path.as_str(), "finds nothing in an image, and takes time at every boot")?;
    }
    Ok(())
}

/// No graphical session: one target less on the way.
fn default_target(stage: &mut Stage<'_>, folder: &str) -> Result<(), ComposeError> {
    if stage.has(&format!("{folder}/multi-user.target"))? {
        stage.link("/etc/systemd/system/default.target", &format!("{folder}/multi-user.target"))?;
    }
    Ok(())
}

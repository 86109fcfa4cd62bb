//! The state partition: made and grown at boot by systemd-repart, checked, mounted on `/var`.
//!
//! The initrd names the disk it booted from: udev links `/dev/slipway/{disk,esp,root-a,root-b,state}`, and the partition's
//! UUID in `/run/repart.d/50-state.conf.d/`. So a second disk with the same image in it is never touched.

use super::Stage;
use crate::compose::ComposeError;

const REPART: &str = "\
[Partition]
Type=var
Label=state
SizeMinBytes=256M
GrowFileSystem=yes
";

/// repart formats through a loop device; without one it would write to a temporary file, for which there is no place yet
/// but memory.
const STATE_UNIT: &str = "\
[Unit]
Description=Make or grow the state partition
DefaultDependencies=no
Requires=dev-slipway-disk.device
Wants=modprobe@loop.service
After=dev-slipway-disk.device modprobe@loop.service systemd-udevd.service
Before=var.mount systemd-fsck@dev-slipway-state.service local-fs-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=TMPDIR=/run
ExecStart=/usr/bin/systemd-repart --dry-run=no /dev/slipway/disk
";

const GROWFS_UNIT: &str = "systemd-growfs@var.service";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let filesystem = stage.inputs.recipe.disk.state_filesystem.clone();
    let package = match filesystem.as_str() {
        "ext4" => "e2fsprogs",
        "xfs" => "xfsprogs",
        _ => "btrfs-progs",
    };
    for (program, package) in [("systemd-repart", "systemd-repart"), (&format!("mkfs.{filesystem}"), package)] {
        if !stage.has(&format!("/usr/bin/{program}"))? && !stage.has(&format!("/usr/sbin/{program}"))? {
            return Err(stage.problem(format!("the state partition needs `{program}`: add {package} to the packages")));
        }
    }
    stage.file("/usr/lib/repart.d/50-state.conf", 0o644, format!("{REPART}Format={filesystem}\n"))?;
    stage.unit("slipway-state.service", STATE_UNIT, &[])?;
    let mount = format!(
        "[Unit]\nDescription=State partition\nWants=slipway-state.service\n\
         Requires=systemd-fsck@dev-slipway-state.service\n\
         After=slipway-state.service systemd-fsck@dev-slipway-state.service\n\
         Before=local-fs.target\nConflicts=umount.target\nBefore=umount.target\nDefaultDependencies=no\n\n\
         [Mount]\nWhat=/dev/slipway/state\nWhere=/var\nType={filesystem}\nOptions=noatime\n"
    );
    stage.file("/usr/lib/systemd/system/var.mount", 0o644, mount)?;
    stage.link("/usr/lib/systemd/system/local-fs.target.requires/var.mount", "../var.mount")?;
    let growfs = format!("/usr/lib/systemd/system/var.mount.wants/{GROWFS_UNIT}");
    stage.link(&growfs, "../systemd-growfs@.service")?;
    let journal = "# The journal lasts from the first boot on.\n[Journal]\nStorage=persistent\n";
    stage.file("/usr/lib/systemd/journald.conf.d/10-slipway.conf", 0o644, journal)
}

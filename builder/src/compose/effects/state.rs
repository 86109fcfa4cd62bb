//! The state partition: made and grown at boot by systemd-repart, checked, mounted on `/var`.
//!
//! The initrd names the disk it booted from: by the links `/run/slipway/{disk,state}`, and the new partition's UUID in
//! `/run/repart.d/50-state.conf.d/`. So a second disk with the same image in it is never touched.

use super::Stage;
use crate::compose::ComposeError;

/// `/var/run` is there from the start: what starts before systemd-tmpfiles, and asks for a folder in it, would make it a folder.
const REPART: &str = "\
[Partition]
Type=var
Label=state
SizeMinBytes=256M
GrowFileSystem=yes
MakeSymlinks=/run:../run
";

/// At a first boot. It waits for no device: the initrd links the disk's node, and names the one that the partition will have.
/// repart writes the table last, so that a power cut while it formats leaves no partition. It formats through a loop device;
/// without one it would write to a temporary file, for which there is no place yet but memory.
const STATE_UNIT: &str = "\
[Unit]
Description=Make the state partition
DefaultDependencies=no
ConditionPathExists=/run/repart.d/50-state.conf.d/uuid.conf
Before=slipway-check-state.service var.mount local-fs-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=TMPDIR=/run
ExecStartPre=-/usr/sbin/modprobe loop
ExecStart=/usr/bin/systemd-repart --dry-run=no /run/slipway/disk
";

/// Not where the initrd has mounted it: that is what it does with one that was unmounted in good order.
/// `systemd-fsck@.service` would wait until udev has gone through all devices, and start three programs, one by the other.
/// e2fsck says 1 when it has mended something. xfs and btrfs have no such check: they recover when they are mounted.
const CHECK_UNIT: &str = "\
[Unit]
Description=Check the state partition
DefaultDependencies=no
ConditionPathIsMountPoint=!/var
After=slipway-state.service
Before=var.mount local-fs-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/e2fsck -p /run/slipway/state
SuccessExitStatus=1
TimeoutSec=infinity
";

/// A disk that was enlarged is a matter for after the boot: file systems grow while they are in use. A partition that this very
/// boot made fills its disk.
const GROW_UNIT: &str = "\
[Unit]
Description=Grow the state partition with its disk
DefaultDependencies=no
ConditionPathExists=!/run/repart.d/50-state.conf.d/uuid.conf
Requires=var.mount
After=var.mount multi-user.target
Before=shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=TMPDIR=/run
ExecStart=/usr/bin/systemd-repart --dry-run=no /run/slipway/disk
ExecStart=/usr/lib/systemd/systemd-growfs /var
";

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
    let checked = if filesystem == "ext4" {
        stage.unit("slipway-check-state.service", CHECK_UNIT, &[])?;
        "Requires=slipway-check-state.service\nAfter=slipway-check-state.service\n"
    } else {
        ""
    };
    stage.unit("slipway-grow-state.service", GROW_UNIT, &["multi-user.target"])?;
    // Not a path below `/dev`, or systemd would wait until udev has seen it.
    let mount = format!(
        "[Unit]\nDescription=State partition\nWants=slipway-state.service\nAfter=slipway-state.service\n\
         {checked}Before=local-fs.target\nConflicts=umount.target\nBefore=umount.target\nDefaultDependencies=no\n\n\
         [Mount]\nWhat=/run/slipway/state\nWhere=/var\nType={filesystem}\nOptions=noatime\n"
    );
    stage.file("/usr/lib/systemd/system/var.mount", 0o644, mount)?;
    stage.link("/usr/lib/systemd/system/local-fs.target.requires/var.mount", "../var.mount")?;
    let journal = "# The journal lasts from the first boot on.\n[Journal]\nStorage=persistent\n";
    stage.file("/usr/lib/systemd/journald.conf.d/10-slipway.conf", 0o644, journal)
}

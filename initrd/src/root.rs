//! The file systems: those of the kernel, the verified root, the overlay on `/etc`, and the change into the root.

use std::ffi::{CStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountFlags, mount, mount_move};

use crate::failure::{BootError, Context as _};

/// Where the root is put together.
pub const SYSROOT: &str = "/sysroot";

/// The writable layer of `/etc`: gone at the next boot.
pub const ETC_UPPER: &str = "/run/slipway/etc/upper";
const ETC_WORK: &str = "/run/slipway/etc/work";

/// The programs that may be the root's init.
const INITS: [&str; 2] = ["/sbin/init", "/usr/lib/systemd/systemd"];

/// File systems of the kernel that the root takes over.
const MOVED: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// `statfs` type numbers of what an initrd is unpacked into (linux/magic.h).
const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// Mounts what every Linux system has, with systemd's options.
pub fn mount_kernel_file_systems() -> Result<(), BootError> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let mounts: [(&str, &str, MountFlags, Option<&CStr>); 4] = [
        ("devtmpfs", "/dev", MountFlags::NOSUID | MountFlags::STRICTATIME, Some(c"mode=0755")),
        ("proc", "/proc", plain, None),
        ("sysfs", "/sys", plain, None),
        (
            "tmpfs",
            "/run",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::STRICTATIME,
            Some(c"mode=0755,size=20%,nr_inodes=800k"),
        ),
    ];
    for (kind, target, flags, data) in mounts {
        fs::create_dir_all(target).at("make the folder", target)?;
        mount(kind, target, kind, flags, data).at("mount", target)?;
    }
    Ok(())
}

/// Mounts the firmware's variables, where there are any.
pub fn mount_efivars(target: &Path) -> io::Result<()> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    Ok(mount("efivarfs", target, "efivarfs", plain, None)?)
}

/// Mounts the verified device.
pub fn mount_root(device: &str) -> Result<(), BootError> {
    fs::create_dir_all(SYSROOT).at("make the folder", SYSROOT)?;
    mount(device, SYSROOT, "erofs", MountFlags::RDONLY, None).at("mount the root", device)
}

/// Makes a file below `/run`, with its folders.
pub fn write_file(path: &str, content: &str, mode: u32) -> Result<(), BootError> {
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder).at("make the folder", folder)?;
    }
    fs::write(path, content).at("write", path)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path)
}

/// Makes a link below `/run`, in a folder that is there or is made.
pub fn link(path: &str, target: &Path) -> Result<(), BootError> {
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder).at("make the folder", folder)?;
    }
    symlink(target, path).at("make the link", path)
}

/// Makes the folders of the layer over `/etc`. Files may be put into the upper one until [`enter`].
pub fn prepare_etc() -> Result<(), BootError> {
    for folder in [ETC_UPPER, ETC_WORK] {
        fs::create_dir_all(folder).at("make the folder", folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o755)).at("set the mode of", folder)?;
    }
    Ok(())
}

/// Gives the device mapper's device its usual name.
pub fn name_device(name: &str, node: &str) -> Result<(), BootError> {
    let link = Path::new("/dev/mapper").join(name);
    let target = Path::new("..").join(node.trim_start_matches("/dev/"));
    symlink(target, &link).at("make the link", &link)
}

/// Makes `/sysroot` the root and frees what the initrd took up. Afterwards paths are the root's.
pub fn enter() -> Result<(), BootError> {
    for path in MOVED {
        let target = format!("{SYSROOT}{path}");
        mount_move(path, &target).at("move a mount to", &target)?;
    }
    free_initrd();
    std::env::set_current_dir(SYSROOT).at("change to", SYSROOT)?;
    mount_move(".", "/").at("move the root to", "/")?;
    rustix::process::chroot(".").at("change root to", SYSROOT)?;
    std::env::set_current_dir("/").at("change to", "/")?;
    // Mounted from inside, so that the options that userspace sees name paths that it has.
    let layers = c"lowerdir=/etc,upperdir=/run/slipway/etc/upper,workdir=/run/slipway/etc/work";
    mount("overlay", "/etc", "overlay", MountFlags::empty(), layers).at("mount the overlay on", "/etc")
}

/// Becomes the root's init, with this program's arguments. Only returns when that fails.
pub fn execute_init() -> BootError {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for init in INITS {
        last = Command::new(init).args(&arguments).exec();
        if last.kind() != io::ErrorKind::NotFound {
            return BootError::System { what: "execute", target: init.into(), source: last };
        }
    }
    BootError::System { what: "execute", target: INITS[0].into(), source: last }
}

/// Deletes the initrd's own files, which take up memory as long as they exist. Only where the root is memory: a root on
/// a disk is nobody's to delete. What can't be deleted costs some memory, and is no reason not to boot.
fn free_initrd() {
    let is_memory = rustix::fs::statfs("/").is_ok_and(|stat| matches!(stat.f_type, TMPFS_MAGIC | RAMFS_MAGIC));
    if let (true, Ok(root)) = (is_memory, fs::symlink_metadata("/")) {
        delete_below(Path::new("/"), root.dev());
    }
}

/// Deletes what is on the file system `device` below `folder`; never enters another one.
fn delete_below(folder: &Path, device: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.dev() != device => {}
            Ok(meta) if meta.is_dir() => {
                delete_below(&path, device);
                let _ = fs::remove_dir(&path);
            }
            Ok(_) => {
                let _ = fs::remove_file(&path);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn deleting_stays_on_its_file_system_and_follows_no_link() {
        let place = tempfile::tempdir().unwrap();
        let (initrd, outside) = (place.path().join("initrd"), place.path().join("outside"));
        fs::create_dir_all(initrd.join("lib/modules")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(initrd.join("lib/modules/a.ko"), "x").unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        symlink(&outside, initrd.join("link")).unwrap();
        let device = fs::metadata(&initrd).unwrap().dev();
        delete_below(&initrd, device + 1);
        assert!(initrd.join("lib/modules/a.ko").exists());
        delete_below(&initrd, device);
        assert_eq!(fs::read_dir(&initrd).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
    }
}

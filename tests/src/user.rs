//! Programs run as someone who owns nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use crate::program::{PROGRAMS, binaries};

const NOBODY: u32 = 65534;

/// Whether this process is root, who may be anyone.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The words before a command that make it run as a user without rights: none when this is such a user already.
pub fn as_nobody() -> Vec<String> {
    if !is_root() {
        return Vec::new();
    }
    let user = NOBODY.to_string();
    ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"].map(str::to_owned).to_vec()
}

/// Gives all below `path` to that user.
pub fn give_to_nobody(path: &Path) {
    if !is_root() {
        return;
    }
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_to_nobody(&entry.unwrap().path());
        }
    }
}

/// Whether `path` belongs to that user, or to this one if it is the same.
pub fn is_nobodys(path: &Path) -> bool {
    !is_root() || fs::metadata(path).unwrap().uid() == NOBODY
}

/// Copies the programs into `folder`: their own folder may be one that only its owner enters.
pub fn copy_programs(folder: &Path) {
    fs::create_dir_all(folder.join("guest")).unwrap();
    for name in PROGRAMS {
        fs::copy(binaries().join(name), folder.join(name)).unwrap();
    }
}

/// `words` as a command.
pub fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

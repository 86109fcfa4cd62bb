//! Opens the verified root, and begins what systemd would wait for: the `/init` of a Slipway image's initrd.
//!
//! It loads the modules it is given, finds the disk that the firmware booted from and on it the root and its hash tree,
//! which the kernel command line names by `roothash=`, has the kernel verify every block, puts `/etc` under an overlay
//! in memory, mounts a clean state partition, settles the machine id, leaves its findings in `/run` and a process that
//! loads modules and reads ahead, and becomes the root's init. Whatever fails is one line on the consoles and a restart.

mod ahead;
mod boot;
mod cmdline;
mod dm;
mod drivers;
mod efi;
mod failure;
mod hardware;
mod machine_id;
mod modules;
mod pick;
mod root;
mod scan;
mod state;
mod sys;
mod tell;
mod verity;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Longer than any boot that still succeeds takes, and short enough for somebody who waits.
const TIME_LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    if std::process::id() != 1 {
        if std::env::args_os().nth(1).is_some_and(|argument| argument == ahead::ARGUMENT) {
            return ahead::work();
        }
        // It mounts over folders and restarts the machine when it fails: no program to try out in a shell.
        let _ = std::io::stderr().write_all(b"slipway-initrd: runs as process 1 of an initrd only\n");
        return ExitCode::from(2);
    }
    failure::stop_on_panic();
    failure::limit_time(TIME_LIMIT);
    let error = match boot::open_root() {
        Ok(()) => root::execute_init(),
        Err(error) => error,
    };
    failure::stop(&error)
}

//! Work that the root's services will ask for, begun while one processor has nothing to do: by a process of its own, which the
//! machine neither waits for nor depends on. What it can't do is done later by whoever needs it, who says what is wrong.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use slipway_images::boot::{AHEAD_LIST, Ahead};

use crate::failure::{Severity, say};
use crate::modules;

/// The argument with which this program does that work, and nothing else.
pub const ARGUMENT: &str = "--ahead";

/// Starts the process, in the root that was entered.
pub fn start() {
    if !Path::new(AHEAD_LIST).exists() {
        return;
    }
    // The file behind this path is gone with the initrd; the program is there for as long as it runs.
    if let Err(error) = Command::new("/proc/self/exe").arg(ARGUMENT).spawn() {
        say(Severity::Warning, &format!("nothing is done ahead: {error}"));
    }
}

/// Does the work, as far as it can be done.
pub fn work() -> ExitCode {
    let start = Instant::now();
    let list = fs::read_to_string(AHEAD_LIST).unwrap_or_default();
    let (loaded, bytes) = work_off(&list);
    let took = start.elapsed().as_millis();
    say(Severity::Notice, &format!("loaded {loaded} modules and read {bytes} bytes ahead, in {took} ms"));
    ExitCode::SUCCESS
}

/// Returns how many modules were loaded, or had been, and how many bytes were read.
fn work_off(list: &str) -> (usize, u64) {
    let (mut loaded, mut bytes) = (0, 0);
    for item in list.lines().filter_map(Ahead::parse) {
        match item {
            Ahead::Load(path) => loaded += usize::from(modules::load(Path::new(path)).is_ok()),
            Ahead::Read(path) => bytes += read(path).unwrap_or(0),
        }
    }
    (loaded, bytes)
}

/// Fills the page cache with the file.
fn read(path: &str) -> io::Result<u64> {
    io::copy(&mut File::open(path)?, &mut io::sink())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_can_t_be_done_keeps_nothing_else_from_being_done() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[1; 10_000]).unwrap();
        let list = format!("load /nowhere.ko\nread /nowhere\nlater words\nread {}\n", file.path().display());
        assert_eq!(work_off(&list), (0, 10_000));
    }
}

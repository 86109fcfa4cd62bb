//! The kernel modules that the builder put into the initrd.
//!
//! Several are loaded at once, since the kernel spends most of the time on their signatures: without hardware
//! virtualisation that is a tenth of a second for each. A module waits for those of the list that its `.modinfo` says it
//! depends on; among those that can be loaded the order of the list holds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use rustix::io::Errno;
use slipway_images::boot::{INITRD_MODULE_FOLDER, INITRD_MODULE_LIST};

use crate::failure::{BootError, Context as _, Severity, say};

/// More would only wait for each other.
const MOST_THREADS: usize = 4;

/// A module that is to be loaded.
#[derive(Debug, PartialEq, Eq)]
struct Module {
    file: String,
    optional: bool,
    /// Names of the modules that must be there first.
    depends: Vec<String>,
}

/// What is still to be done.
#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Module>,
    /// Names of those that are being loaded.
    running: Vec<String>,
    failure: Option<BootError>,
}

/// Loads them all. Those that are loaded already, or built in under the same name, are fine.
pub fn load_all() -> Result<(), BootError> {
    let list = fs::read_to_string(INITRD_MODULE_LIST).at("read the module list", INITRD_MODULE_LIST)?;
    let waiting = entries(&list).map(|(file, optional)| Module::read(file, optional)).collect::<Result<_, _>>()?;
    let (queue, changed) = (Mutex::new(Queue { waiting, ..Queue::default() }), Condvar::new());
    let threads = available_parallelism().map_or(1, |count| count.get().min(MOST_THREADS));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work(&queue, &changed));
        }
        work(&queue, &changed);
    });
    queue.into_inner().unwrap_or_else(PoisonError::into_inner).failure.map_or(Ok(()), Err)
}

/// Loads what can be loaded until nothing is left, or one has failed that must not.
fn work(queue: &Mutex<Queue>, changed: &Condvar) {
    let mut state = lock(queue);
    while state.failure.is_none() && !state.waiting.is_empty() {
        let Some(position) = next(&state.waiting, &state.running) else {
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let module = state.waiting.remove(position);
        let name = module_name(&module.file);
        state.running.push(name.clone());
        drop(state);
        let result = module.load();
        state = lock(queue);
        state.running.retain(|running| *running != name);
        match result {
            Err(error) if module.optional => say(Severity::Warning, &format!("{error}; goes on without")),
            Err(error) => state.failure = Some(error),
            Ok(()) => {}
        }
        changed.notify_all();
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first that waits for no other of the list. Where all wait for each other, the first: the kernel will say why not.
fn next(waiting: &[Module], running: &[String]) -> Option<usize> {
    let is_to_come =
        |name: &String| running.contains(name) || waiting.iter().any(|other| module_name(&other.file) == *name);
    let ready = waiting.iter().position(|module| !module.depends.iter().any(is_to_come));
    ready.or_else(|| running.is_empty().then_some(0))
}

impl Module {
    fn read(file: &str, optional: bool) -> Result<Self, BootError> {
        let image = fs::read(path(file)).at("read the module", file)?;
        Ok(Self { file: file.to_owned(), optional, depends: dependencies(&image) })
    }

    fn load(&self) -> Result<(), BootError> {
        let file = File::open(path(&self.file)).at("open the module", &self.file)?;
        match rustix::system::finit_module(file, c"", 0) {
            Err(Errno::EXIST) => Ok(()),
            result => result.at("load the module", &self.file),
        }
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(INITRD_MODULE_FOLDER).join(file)
}

/// The files of the list, and whether each is optional.
fn entries(list: &str) -> impl Iterator<Item = (&str, bool)> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.strip_prefix('-').map_or((line, false), |file| (file, true)))
}

/// The kernel's name of a module's file: `dm_mod` of `dm-mod.ko`.
fn module_name(file: &str) -> String {
    file.trim_end_matches(".ko").replace('-', "_")
}

/// What the text `depends=a,b` of a module names. The text lies between NULs in the section `.modinfo`; nothing else of
/// a module's file looks like that, and if it did, all that followed is a wait for a module that is loaded anyway.
fn dependencies(image: &[u8]) -> Vec<String> {
    let text = image.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"depends="));
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(file: &str, depends: &[&str]) -> Module {
        let image = format!("\x7fELF\0license=GPL\0depends={}\0retpoline=Y\0", depends.join(",")).into_bytes();
        Module { file: file.into(), optional: false, depends: dependencies(&image) }
    }

    #[test]
    fn a_dash_makes_a_module_optional() {
        let found: Vec<_> = entries("dm-mod.ko\n\n-sha256-ssse3.ko\n").collect();
        assert_eq!(found, [("dm-mod.ko", false), ("sha256-ssse3.ko", true)]);
    }

    #[test]
    fn a_module_waits_for_what_it_depends_on() {
        let bufio = || module("dm-bufio.ko", &["dm-mod"]);
        let verity = || module("dm-verity.ko", &["dm-mod", "dm-bufio", "not_in_the_list"]);
        assert_eq!(verity().depends, ["dm_mod", "dm_bufio", "not_in_the_list"]);
        let running = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        // Also where the list has it first.
        assert_eq!(next(&[verity(), bufio(), module("dm-mod.ko", &[])], &[]), Some(2));
        assert_eq!(next(&[verity(), bufio()], &running(&["dm_mod"])), None);
        assert_eq!(next(&[verity(), bufio(), module("erofs.ko", &[])], &running(&["dm_mod"])), Some(2));
        assert_eq!(next(&[verity(), bufio()], &[]), Some(1));
        assert_eq!(next(&[verity()], &[]), Some(0));
    }

    #[test]
    fn modules_that_wait_for_each_other_are_handed_to_the_kernel() {
        assert_eq!(next(&[module("a.ko", &["b"]), module("b.ko", &["a"])], &[]), Some(0));
        assert_eq!(next(&[module("a.ko", &["b"]), module("b.ko", &["a"])], &["c".to_owned()]), None);
    }
}

//! The kernel modules that the builder put into the initrd, in its order.

use std::fs::File;
use std::path::Path;

use rustix::io::Errno;
use slipway_images::boot::{INITRD_MODULE_FOLDER, INITRD_MODULE_LIST};

use crate::failure::{BootError, Context as _, Severity, say};

/// One line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    file: &'a str,
    optional: bool,
}

/// Loads them all. Those that are loaded already, or built in under the same name, are fine.
pub fn load_all() -> Result<(), BootError> {
    let list = std::fs::read_to_string(INITRD_MODULE_LIST).at("read the module list", INITRD_MODULE_LIST)?;
    for entry in entries(&list) {
        match load(entry.file) {
            Err(error) if entry.optional => say(Severity::Warning, &format!("{error}; goes on without")),
            result => result?,
        }
    }
    Ok(())
}

fn load(file: &str) -> Result<(), BootError> {
    let path = Path::new(INITRD_MODULE_FOLDER).join(file);
    let module = File::open(&path).at("open the module", &path)?;
    match rustix::system::finit_module(module, c"", 0) {
        Err(Errno::EXIST) => Ok(()),
        result => result.at("load the module", &path),
    }
}

fn entries(list: &str) -> impl Iterator<Item = Entry<'_>> {
    list.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| match line.strip_prefix('-') {
        Some(file) => Entry { file, optional: true },
        None => Entry { file: line, optional: false },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_makes_a_module_optional() {
        let found: Vec<_> = entries("dm-mod.ko\n\n-sha256-ssse3.ko\n").collect();
        assert_eq!(
            found,
            [Entry { file: "dm-mod.ko", optional: false }, Entry { file: "sha256-ssse3.ko", optional: true }]
        );
    }
}

//! The initrd of an image: one program, the modules it loads, and the list of them.

use std::io;

use slipway_images::boot::{INITRD_MODULE_FOLDER, INITRD_MODULE_LIST};
use slipway_images::content::Content;
use slipway_images::cpio::{Cpio, CpioError, compress};
use slipway_images::tree::{TreeError, TreePath};

use crate::compose::kernel::InitrdModule;

/// Why there is no initrd.
#[derive(Debug, thiserror::Error)]
pub enum InitrdError {
    /// A module or the program can't be read.
    #[error("can't read `{name}` for the initrd")]
    Read {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The archive refuses an entry.
    #[error("the initrd can't hold an entry")]
    Cpio(#[from] CpioError),
    /// A module with a name that can't be a file's.
    #[error("the initrd can't hold an entry")]
    Name(#[from] TreeError),
    /// The archive can't be compressed.
    #[error("can't compress the initrd")]
    Compress(#[source] io::Error),
}

/// The archive that the kernel unpacks: `program` as `/init`, and `modules` in the order they are loaded. Compressed.
pub fn initrd(program: &Content, modules: &[InitrdModule]) -> Result<Vec<u8>, InitrdError> {
    let read = |name: &str, content: &Content| {
        content.to_vec().map_err(|source| InitrdError::Read { name: name.to_owned(), source })
    };
    let mut archive = Cpio::new();
    for folder in ["/dev", "/proc", "/sys", "/run", "/sysroot", "/lib", INITRD_MODULE_FOLDER] {
        archive.folder(&TreePath::new(folder)?, 0o755)?;
    }
    // Standard input and output of process 1, until it has mounted `/dev`.
    archive.char_device(&TreePath::new("/dev/console")?, 0o600, 5, 1)?;
    archive.file(&TreePath::new("/init")?, 0o755, &read("slipway-initrd", program)?)?;
    let folder = TreePath::new(INITRD_MODULE_FOLDER)?;
    let mut list = String::new();
    for module in modules {
        archive.file(&folder.join(&module.file_name)?, 0o644, &read(&module.file_name, &module.content)?)?;
        list.push_str(if module.optional { "-" } else { "" });
        list.push_str(&module.file_name);
        list.push('\n');
    }
    archive.file(&TreePath::new(INITRD_MODULE_LIST)?, 0o644, list.as_bytes())?;
    compress(&archive.finish()).map_err(InitrdError::Compress)
}

//! The initrd of an image: one program, the modules it loads, and the list of them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use slipway_images::boot::{INITRD_MODULE_FOLDER, INITRD_MODULE_LIST};
use slipway_images::content::Content;
use slipway_images::cpio::{Cpio, CpioError, compress};
use slipway_images::digest::Digest;
use slipway_images::tree::{TreeError, TreePath};

use crate::compose::kernel::InitrdModule;
use crate::disuse::mark_used;

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

/// The archive that the kernel unpacks: `program` as `/init`, and `modules` in the order they are loaded. Compressed; and
/// as that takes longer than all else of a small change, kept in the folder `cache` by the archive's digest.
pub fn initrd(program: &Content, modules: &[InitrdModule], cache: &Path) -> Result<Vec<u8>, InitrdError> {
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
        list.push_str(&line(module));
    }
    archive.file(&TreePath::new(INITRD_MODULE_LIST)?, 0o644, list.as_bytes())?;
    let archive = archive.finish();
    let kept = cache.join("initrd").join(Digest::of(&archive).to_hex());
    if let Some(compressed) = read_kept(&kept) {
        mark_used(&kept);
        return Ok(compressed);
    }
    let compressed = compress(&archive).map_err(InitrdError::Compress)?;
    // What can't be kept is made again next time.
    let _ = keep(&kept, &compressed);
    Ok(compressed)
}

/// The module's line in the list that the initrd goes by. An alias with white space in it, which none has, is left out.
fn line(module: &InitrdModule) -> String {
    let dash = if module.optional { "-" } else { "" };
    let mut line = format!("{dash}{} depends={}", module.file_name, module.info.depends.join(","));
    for alias in module.info.aliases.iter().filter(|alias| !alias.contains(char::is_whitespace)) {
        line.push_str(" alias=");
        line.push_str(alias);
    }
    line.push('\n');
    line
}

/// The file holds the digest of what follows it, so that a damaged one is noticed.
fn read_kept(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let (digest, compressed) = bytes.split_at_checked(32)?;
    (Digest::of(compressed).as_bytes() == digest).then(|| compressed.to_vec())
}

fn keep(path: &Path, compressed: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(Digest::of(compressed).as_bytes())?;
    file.write_all(compressed)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::compose::kernel::ModuleInfo;

    fn module() -> InitrdModule {
        let info = ModuleInfo {
            depends: vec!["b_c".into(), "d".into()],
            aliases: vec!["pci:v1*".into(), "not a word".into(), "fs-a".into()],
            ..ModuleInfo::default()
        };
        InitrdModule { file_name: "a.ko".into(), content: Content::from_bytes("module"), optional: true, info }
    }

    #[test]
    fn the_list_says_what_a_module_says_of_itself() {
        assert_eq!(line(&module()), "-a.ko depends=b_c,d alias=pci:v1* alias=fs-a\n");
        let plain = InitrdModule { optional: false, info: ModuleInfo::default(), ..module() };
        assert_eq!(line(&plain), "a.ko depends=\n");
    }

    #[test]
    fn a_kept_initrd_is_the_same_and_a_damaged_one_is_made_again() {
        let cache = tempfile::tempdir().unwrap();
        let module = module();
        let make = || initrd(&Content::from_bytes("program"), std::slice::from_ref(&module), cache.path()).unwrap();
        let first = make();
        let kept = fs::read_dir(cache.path().join("initrd")).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&kept).unwrap();
        assert_eq!(bytes[32..], first);
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&kept, bytes).unwrap();
        assert_eq!(make(), first);
    }
}

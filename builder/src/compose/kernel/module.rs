//! One kernel module: its bytes, and what its `.modinfo` section and symbol table say.
//!
//! Modules come from packages whose digests are locked; a damaged one must still end in an error. What a module may do
//! wrong, and what stops it: a compressed stream that never ends (a cap on the decompressed size), or that needs all of the
//! memory (decoders with a limit), sections that point outside the file (the `object` crate checks every offset), text that is
//! no UTF-8 (replaced, and refused by the index writer, which takes ASCII alone).

use std::io::{self, Read};

use object::{Object, ObjectSection, ObjectSymbol};
use slipway_images::content::Content;
use slipway_images::tree::TreePath;

use super::KernelError;
use crate::archive::compression::{Capped, Compression, Threads};

/// No module of a distribution kernel comes near this; with debug information they are some 50 MB.
const MAX_MODULE: u64 = 256 << 20;

/// The ways in which distributions compress modules.
const SUFFIXES: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// A module, decompressed.
#[derive(Clone, Debug)]
pub struct Module {
    /// Normalised name: `dm_verity`.
    pub name: String,
    /// Path below `/usr/lib/modules/RELEASE`, ends in `.ko`.
    pub path: String,
    /// The ELF object.
    pub content: Content,
    /// What it says about itself.
    pub info: ModuleInfo,
}

/// What a module says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Normalised names of the modules whose symbols it uses.
    pub depends: Vec<String>,
    /// Device and other aliases, as written.
    pub aliases: Vec<String>,
    /// Soft dependencies, as written: `pre: a b post: c`.
    pub softdeps: Vec<String>,
    /// Weak dependencies, as written.
    pub weakdeps: Vec<String>,
    /// Symbols that it exports.
    pub symbols: Vec<String>,
}

/// `-` is `_` in module names.
pub fn normalise(name: &str) -> String {
    name.replace('-', "_")
}

/// The path of a module file without its compression suffix, if it is one.
pub(super) fn plain_path(path: &str) -> Option<&str> {
    let suffix = SUFFIXES.iter().find(|suffix| path.ends_with(*suffix))?;
    path.get(..path.len() - suffix.len() + ".ko".len())
}

/// The normalised name in a path that ends in `.ko`.
pub(super) fn name_of(plain: &str) -> String {
    let base = plain.rsplit('/').next().unwrap_or(plain);
    normalise(base.strip_suffix(".ko").unwrap_or(base))
}

impl Module {
    /// Reads and decompresses the module file at `file`, which lies at `relative` below the modules' folder.
    pub(super) fn load(file: &TreePath, relative: &str, content: &Content) -> Result<Self, KernelError> {
        let read = |source| KernelError::Read { path: file.clone(), source };
        let plain = plain_path(relative).unwrap_or(relative);
        let content = if plain == relative {
            content.clone()
        } else {
            let packed = content.to_vec().map_err(read)?;
            Content::from_bytes(unpack(relative, plain, &packed).map_err(read)?)
        };
        let bytes = content.to_vec().map_err(read)?;
        let info = ModuleInfo::parse(&bytes).map_err(|source| KernelError::Elf { path: file.clone(), source })?;
        Ok(Self { name: name_of(plain), path: plain.to_owned(), content, info })
    }

    /// Base name: `dm-verity.ko`.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Decompresses a module file whose path without its compression suffix is `plain`.
fn unpack(path: &str, plain: &str, packed: &[u8]) -> io::Result<Vec<u8>> {
    let compression = Compression::by_name(path, plain).map_err(io::Error::other)?;
    let decoder = compression.decoder(packed, packed.len() as u64, Threads::One).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    Capped::new(decoder, MAX_MODULE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl ModuleInfo {
    /// Reads `.modinfo` (`key=value`, NUL after each) and the exported symbols: the names of the `__crc_*` symbols or,
    /// in a kernel without symbol versions, the strings of `__ksymtab_strings`, as depmod does.
    pub fn parse(elf: &[u8]) -> Result<Self, object::Error> {
        let file = object::File::parse(elf)?;
        let mut info = Self::default();
        if let Some(section) = file.section_by_name(".modinfo") {
            for (key, value) in fields(section.data()?) {
                match key.as_str() {
                    "depends" => {
                        info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(normalise));
                    }
                    "alias" => info.aliases.push(value),
                    "softdep" => info.softdeps.push(value),
                    "weakdep" => info.weakdeps.push(value),
                    _ => {}
                }
            }
        }
        info.symbols =
            file.symbols().filter_map(|symbol| symbol.name().ok()?.strip_prefix("__crc_").map(str::to_owned)).collect();
        if info.symbols.is_empty()
            && let Some(section) = file.section_by_name("__ksymtab_strings")
        {
            let names = section.data()?.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            info.symbols = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        }
        Ok(info)
    }

    /// Normalised names after `pre:` in the soft dependencies.
    pub fn soft_before(&self) -> Vec<String> {
        self.soft("pre:")
    }

    /// Normalised names after `post:` in the soft dependencies.
    pub fn soft_after(&self) -> Vec<String> {
        self.soft("post:")
    }

    fn soft(&self, side: &str) -> Vec<String> {
        let mut names = Vec::new();
        for line in &self.softdeps {
            let mut current = "";
            for word in line.split_whitespace() {
                match word {
                    "pre:" | "post:" => current = word,
                    name if current == side => names.push(normalise(name)),
                    _ => {}
                }
            }
        }
        names
    }
}

fn fields(section: &[u8]) -> impl Iterator<Item = (String, String)> + '_ {
    section.split(|byte| *byte == 0).filter_map(|field| {
        let text = String::from_utf8_lossy(field);
        let (key, value) = text.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stream_that_needs_all_of_the_memory_is_refused() {
        let module = vec![7; 10_000];
        let mut packed = liblzma::encode_all(&module[..], 1).unwrap();
        assert_eq!(unpack("a.ko.xz", "a.ko", &packed).unwrap(), module);
        // The .xz file format: after the stream's header of 12 bytes that of the block, whose dictionary shall have 4 GiB.
        assert_eq!(packed[12..16], [2, 0, 0x21, 1]);
        packed[16] = 40;
        let mut sum = flate2::Crc::new();
        sum.update(&packed[12..20]);
        packed[20..24].copy_from_slice(&sum.sum().to_le_bytes());
        let error = unpack("a.ko.xz", "a.ko", &packed).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }
}

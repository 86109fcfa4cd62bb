//! What goes into a build beside packages: files of the user, and the boot package's two programs.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use object::read::elf::ProgramHeader as _;
use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::tree::{Kind, Node, TreePath};

use super::{BuildError, Depot, PackagesError};
use crate::compose::download::DownloadError;
use crate::compose::{container, download};
use crate::deb::Package;
use crate::fetch::Wanted;
use crate::lock::Lock;
use crate::recipe::{Container, ContainerImage, Recipe};

/// The programs of the boot package.
pub struct BootFiles {
    /// systemd-boot.
    pub loader: Content,
    /// systemd-stub.
    pub stub: Content,
}

/// Finds them in the unpacked boot package.
pub fn boot_files(recipe: &Recipe, packages: &[Package]) -> Result<BootFiles, BuildError> {
    let find = |path: &str| {
        packages
            .iter()
            .flat_map(|package| &package.entries)
            .find_map(|(found, node)| match &node.kind {
                Kind::File(content) if found.as_str() == path => Some(content.clone()),
                _ => None,
            })
            .ok_or_else(|| BuildError::Lacking {
                path: path.to_owned(),
                place: format!("the boot package `{}`", recipe.boot.package),
            })
    };
    Ok(BootFiles {
        loader: find("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")?,
        stub: find("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")?,
    })
}

/// Whether a program is one that only a dynamic loader can start. What is no ELF file at all isn't.
pub fn needs_interpreter(program: &[u8]) -> bool {
    let Ok(file) = object::read::elf::ElfFile64::<object::Endianness>::parse(program) else { return false };
    file.elf_program_headers().iter().any(|header| header.p_type(file.endian()) == object::elf::PT_INTERP)
}

/// A file of the user's, by its digest. It is read again when its bytes are needed, and stays open until then.
pub fn file_content(path: &Path) -> Result<Content, BuildError> {
    let failed = |source| BuildError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let (digest, len) = Digest::of_reader(&mut file).map_err(failed)?;
    Ok(Content::from_extent(Arc::new(file), 0, len, digest))
}

/// The archive of each container that the recipe carries. What is large lies in nameless files in `scratch`.
pub fn containers<'a>(
    recipe: &'a Recipe,
    lock: &Lock,
    packages: &[Package],
    scratch: &Path,
) -> Result<Vec<(&'a Container, Content)>, BuildError> {
    recipe
        .containers
        .iter()
        .map(|container| {
            let package = match &container.image {
                ContainerImage::Package(name) => packages.iter().find(|package| *package.name == **name),
                ContainerImage::Local(_) => None,
            };
            Ok((container, container::pack(container, package, lock.epoch, scratch)?))
        })
        .collect()
}

/// The entries of all downloads, fetched where they are not in the cache. What is unpacked lies in nameless files in
/// `scratch`.
pub fn downloads(
    recipe: &Recipe,
    lock: &Lock,
    depot: &Depot<'_>,
    scratch: &Path,
) -> Result<Vec<(TreePath, Node)>, BuildError> {
    let wanted: Vec<Wanted> = recipe
        .downloads
        .iter()
        .map(|download| Wanted {
            urls: vec![download.url.clone()],
            digest: download.sha256,
            size: None,
            label: download.url.clone(),
        })
        .collect();
    let fetch = |wanted: &[Wanted]| depot.cache.fetch_all(depot.client, wanted, depot.progress);
    let files = fetch(&wanted).map_err(PackagesError::Fetch)?;
    let mut entries = Vec::new();
    for ((download, wanted), file) in recipe.downloads.iter().zip(wanted).zip(files) {
        let taken = match download::entries(download, &file, lock, scratch) {
            Err(DownloadError::Digest { expected, .. }) => {
                depot.drop_damaged(&wanted.label, expected)?;
                fetch(std::slice::from_ref(&wanted)).map_err(|source| PackagesError::Damaged {
                    label: wanted.label.clone(),
                    source: Box::new(source.into()),
                })?;
                download::entries(download, &file, lock, scratch)
            }
            taken => taken,
        };
        entries.extend(taken?);
    }
    Ok(entries)
}

/// Name and digest of each container image that lies on this machine.
pub fn local_containers(recipe: &Recipe) -> Result<Vec<(String, Digest)>, BuildError> {
    let mut found = Vec::new();
    for container in &recipe.containers {
        if let ContainerImage::Local(path) = &container.image {
            found.push((container.name.clone(), folder_digest(path)?));
        }
    }
    Ok(found)
}

/// The digest of a file, or over the names and digests of all files below a folder.
fn folder_digest(path: &Path) -> Result<Digest, BuildError> {
    if !path.is_dir() {
        return Ok(file_content(path)?.digest());
    }
    let failed = |source| BuildError::Read { path: path.to_owned(), source };
    let mut entries: Vec<_> =
        std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<_>>).map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut text = String::new();
    for entry in entries {
        // Names that are no text, and those that differ in it only, stay apart: their bytes are digested too.
        let name = Digest::of(entry.file_name().as_encoded_bytes());
        let _ = writeln!(text, "{} {name}", folder_digest(&entry.path())?);
    }
    Ok(Digest::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_told_from_one_without() {
        // This test is one that needs the loader.
        assert!(needs_interpreter(&std::fs::read(std::env::current_exe().unwrap()).unwrap()));
        assert!(!needs_interpreter(b"\x7fELF"));
        assert!(!needs_interpreter(b"#!/bin/sh\n"));
    }
}

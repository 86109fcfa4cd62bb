//! From a composed root to the files of an image: `root.erofs`, `root.verity`, `uki.efi`, `disk.raw`.
//!
//! Each step takes what the one before it made: the command line of the UKI can only be had from a verity tree, and the
//! disk only from a UKI.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use slipway_images::content::Content;
use slipway_images::digest::{Digest, DigestWriter};
use slipway_images::disk::{
    DiskIdentity, DiskLayout, DiskSizes, FilledSlot, LayoutError, Part, PartGuid, Region, Slot, WriteTableError,
    derived_uuid, write_table,
};
use slipway_images::erofs::{self, ErofsError, Layout, WriteOptions};
use slipway_images::esp::{
    self, BudgetError, EspNeeds, EspOptions, FALLBACK_LOADER, FormatError, LOADER_CONF, SYSTEMD_BOOT, VolumeLabel,
    check_budget,
};
use slipway_images::names::{BootEntryName, PartitionLabel};
use slipway_images::tree::RootTree;
use slipway_images::uki::{AssembleError, Uki, UkiParts, assemble};
use slipway_images::verity::{RootHash, Salt, VerityError, VerityTree, tree_len};

use super::output::{OutputError, OutputFolder};
use crate::recipe::DiskSection;

/// Names of the files.
pub const ROOT: &str = "root.erofs";
/// The hash tree.
pub const VERITY: &str = "root.verity";
/// The unified kernel image.
pub const UKI: &str = "uki.efi";
/// The disk.
pub const DISK: &str = "disk.raw";

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// An output file.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The root file system.
    #[error("can't write the root file system")]
    Erofs(#[from] ErofsError),
    /// The hash tree.
    #[error("can't make the hash tree")]
    Verity(#[from] VerityError),
    /// The unified kernel image.
    #[error("can't make the unified kernel image")]
    Uki(#[from] AssembleError),
    /// The image doesn't fit its disk.
    #[error("the image doesn't fit: change `[disk]` in the recipe, or what goes into the image")]
    Layout(#[from] LayoutError),
    /// The boot files don't fit the ESP.
    #[error("the boot files don't fit: raise `esp` of `[disk]` in the recipe")]
    Budget(#[from] BudgetError),
    /// The ESP.
    #[error("can't make the EFI system partition")]
    Esp(#[from] FormatError),
    /// The partition table.
    #[error("can't write the partition table")]
    Table(#[from] WriteTableError),
    /// The kernel, initrd or loader can't be read.
    #[error("can't read the {what}")]
    Read {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A file that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// A root file system that was written to `root.erofs`.
pub struct RootImage {
    file: File,
    /// Size and digest.
    pub written: Written,
}

/// The hash tree of a [`RootImage`], written to `root.verity`.
pub struct SealedRoot {
    root: RootImage,
    verity: File,
    /// Size and digest of the hash tree.
    pub written: Written,
    /// What the kernel checks the root against.
    pub root_hash: RootHash,
}

impl SealedRoot {
    /// The root file system.
    pub fn root(&self) -> &RootImage {
        &self.root
    }
}

/// Writes the root file system.
pub fn write_root(
    output: &OutputFolder,
    tree: &RootTree,
    label: &PartitionLabel,
    epoch: u64,
    advance: &(dyn Fn(u64) + Sync),
) -> Result<RootImage, ImageError> {
    let options = write_options(label, epoch);
    let file = output.create(ROOT)?;
    let mut writer = DigestWriter::new(BufWriter::with_capacity(1 << 20, &file));
    let mut before = 0;
    let summary = erofs::write(tree, &options, &mut writer, &mut |total| {
        advance(total - before);
        before = total;
    })?;
    let (_, sha256) = writer.finish();
    Ok(RootImage { file, written: Written { size: summary.len, sha256 } })
}

fn write_options(label: &PartitionLabel, epoch: u64) -> WriteOptions {
    let id = label.id().as_str();
    let mut volume_name = id.to_owned();
    volume_name.truncate(16);
    WriteOptions { epoch, uuid: derived_uuid("root", &[id]), volume_name, layout: Layout::default() }
}

/// Makes and writes the hash tree of a root.
pub fn seal_root(output: &OutputFolder, root: RootImage, label: &PartitionLabel) -> Result<SealedRoot, ImageError> {
    let salt = Salt::for_image(label.id());
    let uuid = derived_uuid("verity", &[label.id().as_str()]);
    let tree = VerityTree::build(&root.file, root.written.size, &salt, uuid)?;
    let verity = output.create(VERITY)?;
    let mut writer = DigestWriter::new(BufWriter::new(&verity));
    tree.write_to(&mut writer)?;
    let (_, sha256) = writer.finish();
    let size = verity.metadata().map_err(|e| OutputError::new("read", &output.path(VERITY), e))?.len();
    Ok(SealedRoot { root, verity, written: Written { size, sha256 }, root_hash: tree.root_hash() })
}

/// What a UKI is made of beside the root hash.
pub struct KernelParts<'a> {
    /// systemd-stub.
    pub stub: &'a Content,
    /// The kernel.
    pub kernel: &'a Content,
    /// Its release.
    pub release: &'a str,
    /// The compressed initrd.
    pub initrd: &'a [u8],
    /// The root's os-release.
    pub os_release: &'a str,
    /// What the recipe adds to the command line.
    pub command_line: &'a [String],
}

/// The command line for this root.
pub fn command_line(root: &SealedRoot, recipe: &[String]) -> String {
    let mut line = format!("roothash={}", root.root_hash.to_hex());
    for word in recipe {
        line.push(' ');
        line.push_str(word);
    }
    line
}

/// Assembles and writes the UKI that boots `root`.
pub fn write_uki(
    output: &OutputFolder,
    root: &SealedRoot,
    parts: &KernelParts<'_>,
) -> Result<(Uki, Written), ImageError> {
    let read = |what, content: &Content| content.to_vec().map_err(|source| ImageError::Read { what, source });
    let uki = assemble(&UkiParts {
        stub: &read("boot stub", parts.stub)?,
        kernel: &read("kernel", parts.kernel)?,
        initrd: parts.initrd,
        os_release: parts.os_release,
        command_line: &command_line(root, parts.command_line),
        kernel_release: parts.release,
    })?;
    output.write(UKI, uki.as_bytes())?;
    let written = Written { size: uki.as_bytes().len() as u64, sha256: Digest::of(uki.as_bytes()) };
    Ok((uki, written))
}

/// Where the partitions of the recipe's disk go.
pub fn plan_disk(disk: &DiskSection) -> Result<DiskLayout, ImageError> {
    Ok(DiskLayout::plan(DiskSizes { disk: disk.size, esp: disk.esp, slot: disk.slot })?)
}

/// Checks that the root of `tree` and its hash tree will fit a slot of `layout`, before a byte of them is written.
pub fn check_root_fit(
    layout: DiskLayout,
    disk: &DiskSection,
    tree: &RootTree,
    label: &PartitionLabel,
    epoch: u64,
) -> Result<(), ImageError> {
    let root = erofs::measure(tree, &write_options(label, epoch))?.len;
    Ok(layout.check_fit(root, tree_len(root), disk.headroom_percent)?)
}

/// Checks that the boot files fit the ESP, now and with what an update needs.
pub fn check_boot_fit(disk: &DiskSection, uki: u64, loader: u64) -> Result<(), ImageError> {
    check_budget(disk.esp, EspNeeds { uki, loader })?;
    Ok(())
}

/// Writes the disk: table, ESP with boot loader and UKI, slot A filled, slot B empty. Holes stay holes.
pub fn write_disk(
    output: &OutputFolder,
    layout: DiskLayout,
    label: &PartitionLabel,
    root: &SealedRoot,
    uki: &Uki,
    loader: &Content,
    menu_timeout: u32,
) -> Result<(), ImageError> {
    let path = output.path(DISK);
    let failed = |e| OutputError::new("write", &path, e);
    let mut disk = output.create(DISK)?;
    disk.set_len(layout.disk_bytes()).map_err(failed)?;
    let slot = FilledSlot {
        label: label.clone(),
        root: PartGuid(root.root_hash.root_part_guid()),
        verity: PartGuid(root.root_hash.verity_part_guid()),
    };
    let identity = DiskIdentity::derive(label);
    write_table(&mut disk, layout, &identity, &slot)?;

    let range = |part| layout.span(part).bytes();
    let esp_range = range(Part::Esp);
    let size = esp_range.end - esp_range.start;
    let options = EspOptions {
        serial: identity.esp_serial,
        label: VolumeLabel::ESP,
        files: vec![
            (FALLBACK_LOADER.to_owned(), loader.clone()),
            (SYSTEMD_BOOT.to_owned(), loader.clone()),
            (LOADER_CONF.to_owned(), Content::from_bytes(loader_conf(menu_timeout))),
            (BootEntryName::good(label.clone()).path(), uki.clone().into_content()),
        ],
    };
    esp::format(&mut Region::new(&mut disk, esp_range), size, &options)?;

    copy(&root.root.file, &mut disk, range(Part::Root(Slot::A)).start, &path)?;
    copy(&root.verity, &mut disk, range(Part::Verity(Slot::A)).start, &path)?;
    Ok(())
}

/// systemd-boot's configuration. The editor is off: a command line typed at the console could start another root. Where no menu is
/// wanted, none comes, whatever key is pressed: it would wait for a person, and a serial line is never as silent as one hopes.
fn loader_conf(timeout: u32) -> String {
    let timeout = if timeout == 0 { "menu-disabled".to_owned() } else { timeout.to_string() };
    format!("timeout {timeout}\neditor no\n")
}

/// Copies all of `from` to `offset` of `to`, within the kernel where it can, sharing blocks where the file system can.
fn copy(from: &File, to: &mut File, offset: u64, path: &Path) -> Result<(), OutputError> {
    let failed = |e| OutputError::new("write", path, e);
    let len = from.metadata().map_err(failed)?.len();
    let (mut from_at, mut to_at) = (0, offset);
    while from_at < len {
        let wanted = usize::try_from(len - from_at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut from_at), &*to, Some(&mut to_at), wanted) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(rustix::io::Errno::XDEV | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {
                return copy_by_hand(from, from_at, len, to, to_at).map_err(failed);
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, mut from_at: u64, len: u64, to: &mut File, to_at: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    to.seek(SeekFrom::Start(to_at))?;
    while from_at < len {
        let count = usize::try_from(len - from_at).unwrap_or(usize::MAX).min(buffer.len());
        from.read_exact_at(&mut buffer[..count], from_at)?;
        to.write_all(&buffer[..count])?;
        from_at += count as u64;
    }
    Ok(())
}

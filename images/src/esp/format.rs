//! Making the file system: the same bytes for the same options.

use std::collections::BTreeSet;
use std::io::{self, Seek, Write};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

use super::blocks::SparseBlocks;
use super::{FirstMoment, clusters, folders};
use crate::content::Content;

const SECTOR: u64 = 512;

/// The label of a FAT volume: up to eleven of `A-Z 0-9 _ -`, padded with spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeLabel([u8; 11]);

impl VolumeLabel {
    /// The label `ESP`.
    pub const ESP: Self = Self(*b"ESP        ");

    /// Checks and pads `text`.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let mut label = [b' '; 11];
        label.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (!text.is_empty() && text.bytes().all(plain)).then_some(Self(label))
    }
}

/// What an ESP is made of.
#[derive(Clone, Debug)]
pub struct EspOptions {
    /// The volume's serial number, such as [`DiskIdentity::esp_serial`](crate::disk::DiskIdentity::esp_serial).
    pub serial: u32,
    /// The volume's label.
    pub label: VolumeLabel,
    /// Files by path (`EFI/Linux/web_1.efi`), in the order in which they are to lie. Their folders are made as needed.
    pub files: Vec<(String, Content)>,
}

/// An ESP that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Too small for a FAT32, or no multiple of a sector, or beyond the 2 TiB that FAT can count.
    #[error("{0} bytes make no FAT32 file system")]
    Size(u64),
    /// No relative path of plain parts, or twice the same but for upper and lower case.
    #[error("`{0}` can't be a path on the ESP, or is there twice")]
    Path(String),
    /// The files don't fit.
    #[error("no room on the ESP for `{path}` of {size} bytes")]
    Full {
        /// The file that had no place.
        path: String,
        /// Its size.
        size: u64,
    },
    /// A file could not be read or written.
    #[error("can't put `{path}` on the ESP")]
    File {
        /// The path on the ESP.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file system could not be made or written out.
    #[error("can't make the ESP's file system")]
    Io(#[from] io::Error),
}

/// Makes a FAT32 file system of `size` bytes at the start of `out`, which must be fresh: blocks of zeros are not written.
pub fn format(out: &mut (impl Write + Seek), size: u64, options: &EspOptions) -> Result<(), FormatError> {
    check_paths(&options.files)?;
    let (cluster_bytes, _) = clusters(size).filter(|_| size.is_multiple_of(SECTOR)).ok_or(FormatError::Size(size))?;
    let sectors = u32::try_from(size / SECTOR).map_err(|_| FormatError::Size(size))?;
    let mut blocks = SparseBlocks::new(size);
    let volume = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_sector(512)
        .bytes_per_cluster(cluster_bytes)
        .total_sectors(sectors)
        .volume_id(options.serial)
        .volume_label(options.label.0);
    fatfs::format_volume(&mut blocks, volume)?;

    let file_system = FileSystem::new(&mut blocks, FsOptions::new().time_provider(&FirstMoment))?;
    // Counts the free clusters once, so that their number is on the disk for whoever mounts it.
    file_system.stats()?;
    for (path, content) in &options.files {
        let stats = file_system.stats()?;
        // A cluster more for each folder that may have to be made or to grow.
        let room = u64::from(stats.free_clusters()).saturating_sub(2 * path.split('/').count() as u64);
        if room * u64::from(stats.cluster_size()) < content.len() || content.len() > u64::from(u32::MAX) {
            return Err(FormatError::Full { path: path.clone(), size: content.len() });
        }
        put(&file_system, path, content).map_err(|source| FormatError::File { path: path.clone(), source })?;
    }
    file_system.unmount()?;
    folders::mend(&mut blocks)?;
    Ok(blocks.write_to(out)?)
}

fn put(file_system: &FileSystem<&mut SparseBlocks>, path: &str, content: &Content) -> io::Result<()> {
    let mut folder = file_system.root_dir();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder = folder.create_dir(part)?;
    }
    let mut file = folder.create_file(name)?;
    io::copy(&mut content.reader(), &mut file)?;
    file.flush()
}

fn check_paths(files: &[(String, Content)]) -> Result<(), FormatError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+~^ ".contains(&byte);
    let part_is_good = |part: &str| {
        !part.is_empty()
            && part.len() <= 255
            && !part.starts_with([' ', '.'])
            && !part.ends_with([' ', '.'])
            && part.bytes().all(plain)
    };
    let mut seen = BTreeSet::new();
    for (path, _) in files {
        if !path.split('/').all(part_is_good) || !seen.insert(path.to_ascii_lowercase()) {
            return Err(FormatError::Path(path.clone()));
        }
    }
    Ok(())
}

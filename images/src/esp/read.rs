//! Reading an ESP for inspection.
//!
//! Expected is a file system that somebody damaged or forged: cluster chains that run in circles, folders without end,
//! sizes that lie, a boot sector whose numbers contradict each other. What stops it: the boot sector's numbers are checked
//! against the device before `fatfs` computes with them; the device that `fatfs` is given refuses every write, and after a
//! number of reads in proportion to its size every read, which ends all circles; a listing ends by depth and number; of
//! a file no more is read than the caller allows.

use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{Dir, FileSystem, FsOptions};

const MAX_DEPTH: usize = 8;
const MAX_ENTRIES: usize = 4096;
/// Calls to the device that reading may take; `fatfs` reads 32 bytes of a folder, or 4 of a table, at a time.
const MAX_CALLS: u64 = 4 << 20;
/// The largest cluster that any driver takes.
const MAX_CLUSTER_BYTES: u64 = 128 << 10;

/// A file on an ESP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspEntry {
    /// Its path, such as `EFI/Linux/web_1.efi`.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// An ESP that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No FAT file system, or a damaged one.
    #[error("no valid FAT file system")]
    FileSystem(#[source] io::Error),
    /// A boot sector that can't be right.
    #[error("no valid FAT file system: {0}")]
    BootSector(&'static str),
    /// A folder or file could not be read.
    #[error("can't read `{path}`")]
    Path {
        /// The path on the ESP.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// More files, or folders within folders, than an ESP has.
    #[error("more than {MAX_ENTRIES} files, or folders deeper than {MAX_DEPTH}")]
    TooMany,
    /// A file that is larger than the caller allows.
    #[error("`{path}` has {size} bytes, more than the {limit} expected")]
    TooLarge {
        /// The path.
        path: String,
        /// Bytes it claims to have.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
}

/// All files of the ESP in `device`, sorted by path.
pub fn list(device: &mut (impl Read + Seek)) -> Result<Vec<EspEntry>, ReadError> {
    let file_system = open(device)?;
    let mut entries = Vec::new();
    let mut folders = vec![(String::new(), file_system.root_dir(), 0)];
    while let Some((path, folder, depth)) = folders.pop() {
        for entry in folder.iter() {
            let entry = entry.map_err(|source| ReadError::Path { path: path.clone(), source })?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() + folders.len() >= MAX_ENTRIES || depth >= MAX_DEPTH {
                return Err(ReadError::TooMany);
            }
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            if entry.is_dir() {
                folders.push((path, entry.to_dir(), depth + 1));
            } else {
                entries.push(EspEntry { path, size: entry.len() });
            }
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The content of a file of at most `limit` bytes.
pub fn read(device: &mut (impl Read + Seek), path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::Path { path: path.to_owned(), source };
    let file_system = open(device)?;
    let root: Dir<'_, _> = file_system.root_dir();
    let mut file = root.open_file(path).map_err(failed)?;
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    if size > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), size, limit });
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 == size { Ok(content) } else { Err(failed(io::ErrorKind::UnexpectedEof.into())) }
}

fn open<D: Read + Seek>(device: &mut D) -> Result<FileSystem<ReadOnly<'_, D>>, ReadError> {
    check_boot_sector(device)?;
    device.seek(SeekFrom::Start(0)).map_err(ReadError::FileSystem)?;
    FileSystem::new(ReadOnly { device, calls: 0 }, FsOptions::new()).map_err(ReadError::FileSystem)
}

/// Checks what `fatfs` computes with: the numbers of the BIOS parameter block must describe areas that lie on the device.
fn check_boot_sector(device: &mut (impl Read + Seek)) -> Result<(), ReadError> {
    let size = device.seek(SeekFrom::End(0)).map_err(ReadError::FileSystem)?;
    let mut sector = [0; 512];
    device.seek(SeekFrom::Start(0)).and_then(|_| device.read_exact(&mut sector)).map_err(ReadError::FileSystem)?;
    let u16_at = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
    let u32_at =
        |at: usize| u64::from(u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]));
    let check = |good: bool, what| if good { Ok(()) } else { Err(ReadError::BootSector(what)) };
    let or = |small: u64, large: u64| if small == 0 { large } else { small };

    let sector_bytes = u16_at(11);
    let per_cluster = u64::from(sector[13]);
    let (reserved, tables, root_entries) = (u16_at(14), u64::from(sector[16]), u16_at(17));
    let (total, per_table) = (or(u16_at(19), u32_at(32)), or(u16_at(22), u32_at(36)));
    check(sector_bytes.is_power_of_two() && (512..=4096).contains(&sector_bytes), "sector size")?;
    check(per_cluster.is_power_of_two() && per_cluster * sector_bytes <= MAX_CLUSTER_BYTES, "cluster size")?;
    check(total > 0 && total * sector_bytes <= size, "more sectors than the device has")?;
    check(reserved > 0 && (1..=2).contains(&tables) && per_table > 0, "allocation tables")?;
    let before_data = reserved + tables * per_table + (root_entries * 32).div_ceil(sector_bytes);
    check(before_data < total, "no room for data")?;
    let data_clusters = (total - before_data) / per_cluster;
    check(data_clusters > 0 && data_clusters < 0x0fff_fff5, "number of clusters")?;
    check(per_table * sector_bytes * 8 / 12 >= data_clusters, "allocation tables too small")?;
    if u16_at(22) == 0 {
        check(per_table * sector_bytes / 4 >= data_clusters + 2, "allocation tables too small")?;
        check((2..data_clusters + 2).contains(&u32_at(44)), "place of the root folder")?;
        check(u16_at(48) < reserved, "place of the information sector")?;
    }
    Ok(())
}

/// A device that can't be written to, nor read for ever.
struct ReadOnly<'a, D> {
    device: &'a mut D,
    calls: u64,
}

impl<D: Read> Read for ReadOnly<'_, D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file system goes round in circles"));
        }
        self.device.read(buf)
    }
}

impl<D: Seek> Seek for ReadOnly<'_, D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.device.seek(to)
    }
}

impl<D> Write for ReadOnly<'_, D> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

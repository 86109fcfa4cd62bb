//! Mends the folders of a file system that `fatfs` made.
//!
//! `fatfs` 0.3.6 gives the entries `.` and `..` of a new folder long names too, so that they are not the folder's first two
//! entries, and lets `..` of a folder in the root name the root's cluster where 0 belongs ("FAT: General Overview of On-Disk
//! Format", 1.03, chapter 6). `fsck.vfat` calls both damage, and repairs it by renaming.

use std::io::{self, Read, Seek, SeekFrom, Write};

const ENTRY: usize = 32;
const ENTRY_BYTES: u64 = 32;
const DELETED: u8 = 0xe5;
const LONG_NAME: u8 = 0x0f;
const FOLDER: u8 = 0x10;
const LAST_CLUSTERS: u32 = 0x0fff_fff0;

/// A cluster's number, counted from 2.
type Cluster = u32;

/// Puts `.` and `..` of every folder in their places.
pub(super) fn mend(device: &mut (impl Read + Write + Seek)) -> io::Result<()> {
    let geometry = Geometry::read(device)?;
    let mut folders = vec![(geometry.root, None)];
    while let Some((folder, parent)) = folders.pop() {
        if let Some(parent) = parent {
            mend_folder(device, geometry.place_of(folder), parent)?;
        }
        let as_parent = if folder == geometry.root { 0 } else { folder };
        let mut cluster = folder;
        while (2..LAST_CLUSTERS).contains(&cluster) {
            for index in 0..geometry.cluster_bytes / ENTRY_BYTES {
                let entry: [u8; ENTRY] = read_at(device, geometry.place_of(cluster) + index * ENTRY_BYTES)?;
                if entry[11] == FOLDER && !matches!(entry[0], b'.' | DELETED | 0) {
                    let [high, low] = [20, 26].map(|at| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]])));
                    folders.push((high << 16 | low, Some(as_parent)));
                }
            }
            cluster = u32::from_le_bytes(read_at(device, geometry.table + 4 * u64::from(cluster))?) & 0x0fff_ffff;
        }
    }
    Ok(())
}

/// Of the entries long name, `.`, long name, `..` makes `.`, `..` and two deleted ones.
fn mend_folder(device: &mut (impl Read + Write + Seek), place: u64, parent: Cluster) -> io::Result<()> {
    let entries: [u8; 4 * ENTRY] = read_at(device, place)?;
    let (mut own, mut up) = ([0; ENTRY], [0; ENTRY]);
    own.copy_from_slice(&entries[ENTRY..2 * ENTRY]);
    up.copy_from_slice(&entries[3 * ENTRY..]);
    let as_known = entries[11] == LONG_NAME
        && entries[2 * ENTRY + 11] == LONG_NAME
        && own.starts_with(b".          ")
        && up.starts_with(b"..         ");
    if !as_known {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a new folder doesn't begin as fatfs 0.3.6 makes it"));
    }
    let [a, b, c, d] = parent.to_le_bytes();
    up[26..28].copy_from_slice(&[a, b]);
    up[20..22].copy_from_slice(&[c, d]);
    let mut deleted = [0; ENTRY];
    deleted[0] = DELETED;
    device.seek(SeekFrom::Start(place))?;
    device.write_all(&[own, up, deleted, deleted].concat())
}

/// Where things lie, in bytes.
struct Geometry {
    table: u64,
    data: u64,
    cluster_bytes: u64,
    root: Cluster,
}

impl Geometry {
    fn read(device: &mut (impl Read + Seek)) -> io::Result<Self> {
        let boot: [u8; 512] = read_at(device, 0)?;
        let u32_at = |at: usize| u32::from_le_bytes([boot[at], boot[at + 1], boot[at + 2], boot[at + 3]]);
        let sector = u64::from(u16::from_le_bytes([boot[11], boot[12]]));
        let table = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * sector;
        let data = table + u64::from(boot[16]) * u64::from(u32_at(36)) * sector;
        Ok(Self { table, data, cluster_bytes: u64::from(boot[13]) * sector, root: u32_at(44) })
    }

    fn place_of(&self, cluster: Cluster) -> u64 {
        self.data + u64::from(cluster.saturating_sub(2)) * self.cluster_bytes
    }
}

fn read_at<const N: usize>(device: &mut (impl Read + Seek), place: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    device.seek(SeekFrom::Start(place))?;
    device.read_exact(&mut bytes)?;
    Ok(bytes)
}

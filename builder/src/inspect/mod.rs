//! What a disk image holds, and whether all of it belongs together.
//!
//! The image may be anything: cut short by a full disk, damaged on a stick, or altered by somebody who wants to see it
//! pass. What is expected, and what stops it: a part that lies about another part (each is recomputed from the bytes, and
//! a [`Check`] names the one that is wrong); a damaged part that hides the rest (every part is looked at, whatever came of
//! the others); formats made to crash or to grow (they are read by the readers of `slipway-images`, each with its own
//! bounds; whole files are read up to a limit; sums are checked); names with control characters, which would
//! write on a terminal (whoever prints them escapes them, see [`Inspection`]).
//!
//! What is *not* found out here: whether this is the image that somebody published. An image that was replaced as a whole,
//! root hash included, is sound in itself. That is for signatures to say.

mod bytes;
mod check;
mod esp;
mod folder;
mod root;
mod table;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use check::{Check, Checks};
pub use esp::{EntryFacts, EspFacts, FileFacts, SectionFacts};
pub use folder::ManifestFacts;
pub use root::{OsRelease, PackageFacts, RootFacts};
pub use table::{PartitionFacts, TableFacts};

use crate::build::{DISK, MANIFEST};

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file can't be opened.
    #[error("can't open `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder that holds no disk.
    #[error("`{0}` is no output folder of a build: it has no {DISK}")]
    NoDisk(PathBuf),
}

/// What was found. Texts are as the image has them: to be escaped before they go to a terminal.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The disk that was looked at.
    pub disk: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// The partition table, if there is a good copy.
    pub table: Option<TableFacts>,
    /// What is on the EFI system partition, if it can be read.
    pub esp: Option<EspFacts>,
    /// The roots, by slot; of an empty slot none.
    pub roots: Vec<RootFacts>,
    /// What `manifest.json` says, if there is one beside the disk.
    pub manifest: Option<ManifestFacts>,
    /// What was checked, in order.
    pub checks: Vec<Check>,
}

impl Inspection {
    /// Whether every check held.
    pub fn is_sound(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// Looks at the disk image at `path`, or at that of an output folder together with the files beside it.
pub fn inspect(path: &Path) -> Result<Inspection, InspectError> {
    let folder = path.is_dir().then_some(path);
    let disk_path = folder.map_or_else(|| path.to_owned(), |folder| folder.join(DISK));
    let open = |path: &Path| {
        let opened = File::open(path).and_then(|file| Ok((bytes::length(&file)?, Arc::new(file))));
        opened.map_err(|source| InspectError::Open { path: path.to_owned(), source })
    };
    let (size, disk) = match open(&disk_path) {
        Err(InspectError::Open { source, .. }) if folder.is_some() && source.kind() == io::ErrorKind::NotFound => {
            return Err(InspectError::NoDisk(path.to_owned()));
        }
        opened => opened?,
    };

    let mut checks = Checks::default();
    let table = table::read(&disk, &mut checks);
    let partitions = table.as_ref().map(|table| table.partitions.as_slice()).unwrap_or_default();
    let esp = esp::read(&disk, partitions, &mut checks);
    let roots = root::read_all(&disk, partitions, &mut checks);
    if let Some(esp) = &esp {
        esp::compare_with_roots(esp, &roots, &mut checks);
    }
    let manifest = folder.filter(|folder| folder.join(MANIFEST).exists()).and_then(|folder| {
        let seen = folder::Seen { disk: &disk, table: table.as_ref(), esp: esp.as_ref(), roots: &roots };
        folder::read(folder, &seen, &mut checks)
    });
    Ok(Inspection { disk: disk_path, size, table, esp, roots, manifest, checks: checks.into_list() })
}

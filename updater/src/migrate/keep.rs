//! What is put by for the way back: programs, and copies of files and folders, all below one folder of the state partition.
//!
//! ```text
//! keep/NAME/down     the program that undoes migration NAME
//! keep/NAME/0/copy   a copy of its first file or folder; without `copy` it was put back, or there was none
//! away/NAME-0-1      what was in the way when it was put back
//! ```
//!
//! Everything here can be cut off at any point and begun again. A copy becomes the original by being renamed, never by being
//! copied back: there is no time at which it is there in part.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{statvfs, syncfs};
use slipway_images::digest::Digest;
use slipway_images::migration::{MIGRATIONS_STATE, MigrationName};

use super::MigrateError;
use super::journal::{Journal, Original};
use crate::host::below;
use crate::process;

/// Bytes that must stay free on the state partition beside the copies.
const SPARE: u64 = 64 << 20;
/// What copying a program may take.
const PROGRAM_LIMIT: Duration = Duration::from_mins(1);
/// Bytes of a program's output that are kept.
const OUTPUT: usize = 64 << 10;

/// The folder of all that is put by.
#[derive(Debug)]
pub struct Keep {
    root: PathBuf,
    folder: PathBuf,
    /// Bytes that must stay free.
    pub(super) spare: u64,
}

impl Keep {
    /// That of the host whose root is at `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), folder: below(root, MIGRATIONS_STATE), spare: SPARE }
    }

    /// The folder itself, in which the journal is, too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path below the root.
    pub fn on_host(&self, path: &str) -> PathBuf {
        below(&self.root, path)
    }

    /// Whether anything is put by.
    pub fn holds_anything(&self) -> Result<bool, MigrateError> {
        Ok(!self.names("keep")?.is_empty() || !self.names("away")?.is_empty())
    }

    /// The file or folder as it is before a step.
    pub fn original(&self, path: &str) -> Result<Original, MigrateError> {
        let there = metadata(&self.on_host(path))?;
        if there.as_ref().is_some_and(fs::Metadata::is_symlink) {
            return Err(MigrateError::Link(path.to_owned()));
        }
        Ok(Original { path: path.to_owned(), was_there: there.is_some() })
    }

    /// Whether copies of all of these fit.
    pub fn check_room(&self, originals: &[Original]) -> Result<(), MigrateError> {
        let place = self.made("keep")?;
        let device = place.metadata().map_err(failed("look at", &place))?.dev();
        let mut needed = self.spare;
        for original in originals.iter().filter(|original| original.was_there) {
            let path = self.on_host(&original.path);
            needed = needed.saturating_add(occupied(&path, device)?);
        }
        if Self::shares_blocks(&place) {
            return Ok(());
        }
        let there = statvfs(&place).map_err(|error| failed("measure", &place)(error.into()))?;
        let free = there.f_bavail.saturating_mul(there.f_frsize);
        if needed > free { Err(MigrateError::NoRoom { needed, free }) } else { Ok(()) }
    }

    /// Copies a file or folder with all that belongs to it: owners, modes, times, links, attributes.
    pub fn copy_aside(
        &self,
        name: &MigrationName,
        index: usize,
        original: &Original,
        within: Duration,
    ) -> Result<(), MigrateError> {
        let place = self.place(name, index);
        // A copy that was cut off.
        remove(&place)?;
        self.made(&format!("keep/{name}/{index}"))?;
        if !original.was_there {
            return Ok(());
        }
        // It knows all that a file system can hold, and shares blocks where that is possible.
        copy(&["-aT", "--reflink=auto"], &self.on_host(&original.path), &place.join("copy"), within)
    }

    /// Moves away what is at the place of a copy that is still to be put back.
    pub fn put_away(&self, name: &MigrationName, index: usize, original: &Original) -> Result<(), MigrateError> {
        let place = self.place(name, index);
        if metadata(&place)?.is_none() {
            return Err(MigrateError::CopyGone { name: name.clone(), path: original.path.clone() });
        }
        let is_back = original.was_there && metadata(&place.join("copy"))?.is_none();
        let path = self.on_host(&original.path);
        if is_back || metadata(&path)?.is_none() {
            return Ok(());
        }
        let away = self.made("away")?;
        // What a former attempt moved may be there already, if something was made in its place since. None goes before all do.
        let taken = self.names("away")?;
        let to = away.join(format!("{name}-{index}-{}", taken.len()));
        fs::rename(&path, &to).map_err(failed("move away", &path))
    }

    /// Moves a copy to where it was made, if it is still here.
    pub fn put_back(&self, name: &MigrationName, index: usize, original: &Original) -> Result<(), MigrateError> {
        let copy = self.place(name, index).join("copy");
        if metadata(&copy)?.is_none() {
            return Ok(());
        }
        let path = self.on_host(&original.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("make", folder))?;
        }
        fs::rename(&copy, &path).map_err(failed("put back", &path))
    }

    /// The digest of a program of the image.
    pub fn digest(&self, program: &str) -> Result<Digest, MigrateError> {
        let path = self.on_host(program);
        fs::read(&path).map(|bytes| Digest::of(&bytes)).map_err(failed("read", &path))
    }

    /// Keeps a copy of a program of the image.
    pub fn keep_program(&self, name: &MigrationName, program: &str, sha256: Digest) -> Result<(), MigrateError> {
        let folder = self.made(&format!("keep/{name}"))?;
        let (new, kept) = (folder.join(".down.new"), folder.join("down"));
        remove(&new)?;
        // Not by this process: as long as one that it starts has the file open, it can't be run.
        copy(&["-T"], &self.on_host(program), &new, PROGRAM_LIMIT)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o700)).map_err(failed("make a program of", &new))?;
        File::open(&new).and_then(|file| file.sync_all()).map_err(failed("sync", &new))?;
        fs::rename(&new, &kept).map_err(failed("rename", &new))?;
        self.kept_program(name, sha256).map(|_| ())
    }

    /// The kept program, if it is what was kept.
    pub fn kept_program(&self, name: &MigrationName, sha256: Digest) -> Result<PathBuf, MigrateError> {
        let path = self.folder.join(format!("keep/{name}/down"));
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        if Digest::of(&bytes) == sha256 { Ok(path) } else { Err(MigrateError::ProgramDiffers(name.clone())) }
    }

    /// Removes what the journal doesn't know, and what was moved away.
    pub fn sweep(&self, journal: &Journal) -> Result<(), MigrateError> {
        for name in self.names("away")? {
            remove(&self.folder.join("away").join(name))?;
        }
        for name in self.names("keep")? {
            if !journal.steps.iter().any(|step| step.name.as_str() == name) {
                remove(&self.folder.join("keep").join(name))?;
            }
        }
        Ok(())
    }

    /// Sees to it that everything on the state partition is on the disk.
    pub fn sync(&self) -> Result<(), MigrateError> {
        let folder = File::open(&self.folder).map_err(failed("open", &self.folder))?;
        syncfs(folder).map_err(|error| failed("sync", &self.folder)(error.into()))
    }

    fn place(&self, name: &MigrationName, index: usize) -> PathBuf {
        self.folder.join(format!("keep/{name}/{index}"))
    }

    fn made(&self, inner: &str) -> Result<PathBuf, MigrateError> {
        let path = self.folder.join(inner);
        // For root's eyes only: what is in it may be anybody's secrets.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed("make", &path))?;
        Ok(path)
    }

    fn names(&self, inner: &str) -> Result<Vec<String>, MigrateError> {
        let path = self.folder.join(inner);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &path)(error)),
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<_>>().map_err(failed("list", &path))
    }

    /// Whether a copy takes no room of its own, as on btrfs and xfs.
    fn shares_blocks(place: &Path) -> bool {
        let (one, other) = (place.join(".probe-1"), place.join(".probe-2"));
        let probe = || -> io::Result<()> {
            fs::write(&one, [0; 4096])?;
            Ok(rustix::fs::ioctl_ficlone(File::create(&other)?, File::open(&one)?)?)
        };
        let shares = probe().is_ok();
        for path in [one, other] {
            // What stays goes with the next sweep.
            let _ = fs::remove_file(path);
        }
        shares
    }
}

fn copy(options: &[&str], from: &Path, to: &Path, within: Duration) -> Result<(), MigrateError> {
    let paths = [from, to].map(|path| path.to_string_lossy().into_owned());
    let argv: Vec<&str> = ["cp"].iter().chain(options).copied().chain(["--", &paths[0], &paths[1]]).collect();
    let finished = process::run(&argv, within, OUTPUT)?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(MigrateError::Copy { path: from.to_owned(), why: finished.failure() })
}

/// What is at `path`, links not followed.
fn metadata(path: &Path) -> Result<Option<fs::Metadata>, MigrateError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), MigrateError> {
    match metadata(path)? {
        None => Ok(()),
        Some(there) if there.is_dir() => fs::remove_dir_all(path).map_err(failed("remove", path)),
        Some(_) => fs::remove_file(path).map_err(failed("remove", path)),
    }
}

/// Bytes that a tree takes on its file system, which must be `device` all through: a copy elsewhere can't be renamed back.
fn occupied(path: &Path, device: u64) -> Result<u64, MigrateError> {
    let mut bytes = 0_u64;
    let mut seen = HashSet::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let there = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        if there.dev() != device {
            return Err(MigrateError::Elsewhere(path));
        }
        if there.nlink() <= 1 || there.is_dir() || seen.insert(there.ino()) {
            bytes = bytes.saturating_add(there.blocks().saturating_mul(512));
        }
        if there.is_dir() {
            for entry in fs::read_dir(&path).map_err(failed("list", &path))? {
                waiting.push(entry.map_err(failed("list", &path))?.path());
            }
        }
    }
    Ok(bytes)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MigrateError {
    let path = path.to_owned();
    move |source| MigrateError::File { what, path, source }
}

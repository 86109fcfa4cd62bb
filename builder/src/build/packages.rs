//! The packages of a lock, fetched and unpacked.
//!
//! The cache is the user's own, yet a disk, a power cut or a careless hand may change what is in it. A `.deb` is compared
//! with the lock before it is unpacked, and an unpacked copy with its own digests each time it is opened (see
//! [`crate::deb`]); while the copy is whole, the `.deb` that it came from isn't read and needn't be. What is not what was
//! locked is dropped, named, and fetched once more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use slipway_images::digest::Digest;

use crate::apt::{Mirrors, RepositoryError};
use crate::deb::{DebError, Package, UnpackedCache, unpack_all};
use crate::fetch::{Cache, Client, FetchError};
use crate::lock::{Lock, LockedPackage, Role};
use crate::progress::{Event, Progress};
use crate::recipe::Recipe;

/// Why the packages of a lock can't be had.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// There is no mirror to fetch from.
    #[error(transparent)]
    Mirror(#[from] RepositoryError),
    /// A download.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A package that can't be unpacked.
    #[error(transparent)]
    Unpack(#[from] DebError),
    /// A package in the cache was not what was locked, and there is no other.
    #[error("{label} in the cache was damaged and is dropped, and can't be fetched again")]
    Damaged {
        /// Name and version, or the URL of a download.
        label: String,
        /// Why.
        source: Box<PackagesError>,
    },
    /// The cache of unpacked packages.
    #[error("the cache of unpacked packages at `{path}` can't be used")]
    Unpacked {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Where packages come from and stay.
pub struct Depot<'a> {
    /// Downloads, by digest.
    pub cache: &'a Cache,
    /// Where what is missing is fetched from.
    pub mirrors: &'a Mirrors,
    /// Fetches it.
    pub client: &'a Client,
    /// Hears of it.
    pub progress: &'a dyn Progress,
}

/// The unpacked packages of a lock, by role, each in the order of the lock.
pub struct Unpacked {
    /// Those of the root.
    pub root: Vec<Package>,
    /// Those that bring boot loader and stub.
    pub boot: Vec<Package>,
    /// Those that containers are made of.
    pub container: Vec<Package>,
}

impl Unpacked {
    /// Every package, whatever its role.
    pub fn all(&self) -> impl Iterator<Item = &Package> {
        self.root.iter().chain(&self.boot).chain(&self.container)
    }
}

impl Depot<'_> {
    /// Fetches what is missing, and unpacks what was never unpacked.
    pub fn packages(&self, recipe: &Recipe, lock: &Lock) -> Result<Unpacked, PackagesError> {
        let folder = self.cache.root();
        let unpacked = UnpackedCache::open(folder)
            .map_err(|source| PackagesError::Unpacked { path: folder.to_owned(), source })?;
        let packages = self.unpack(recipe, lock, &unpacked)?;
        let mut result = Unpacked { root: Vec::new(), boot: Vec::new(), container: Vec::new() };
        for (package, locked) in packages.into_iter().zip(&lock.packages) {
            match locked.role {
                Role::Root => result.root.push(package),
                Role::Boot => result.boot.push(package),
                Role::Container => result.container.push(package),
            }
        }
        Ok(result)
    }

    /// Unpacks all. A `.deb` in the cache that isn't the locked one is fetched again, once.
    fn unpack(&self, recipe: &Recipe, lock: &Lock, unpacked: &UnpackedCache) -> Result<Vec<Package>, PackagesError> {
        let mut debs = self.fetch(recipe, lock)?;
        let mut dropped = BTreeSet::new();
        loop {
            let expected = match unpack_all(&debs, unpacked, self.progress) {
                Err(DebError::Digest { expected, .. }) if dropped.insert(expected) => expected,
                result => return Ok(result?),
            };
            let package = lock.packages.iter().find(|package| package.sha256 == expected);
            let label = package.map_or_else(String::new, |package| format!("{} {}", package.name, package.version));
            self.drop_damaged(&label, expected)?;
            debs = self
                .fetch(recipe, lock)
                .map_err(|source| PackagesError::Damaged { label, source: Box::new(source) })?;
        }
    }

    /// Drops a file of the cache that is not what its name says, and tells of it.
    pub fn drop_damaged(&self, label: &str, digest: Digest) -> Result<(), PackagesError> {
        let path = self.cache.path_of(&digest);
        self.progress
            .event(Event::Note(&format!("{label} in the cache is damaged, and is dropped: {}", path.display())));
        Ok(self.cache.remove(&digest)?)
    }

    fn fetch(&self, recipe: &Recipe, lock: &Lock) -> Result<Vec<(PathBuf, Digest)>, PackagesError> {
        let cached = |package: &LockedPackage| {
            Some((self.cache.get_sized(&package.sha256, Some(package.size))?, package.sha256))
        };
        // A build whose cache is full needs neither network nor mirror.
        if let Some(all) = lock.packages.iter().map(cached).collect() {
            return Ok(all);
        }
        let mirrors = self.mirrors.clone().with_repositories(&recipe.repositories);
        let wanted = lock.wanted(&mirrors, recipe.path.parent().unwrap_or(Path::new("/")))?;
        let paths = self.cache.fetch_all(self.client, &wanted, self.progress)?;
        Ok(paths.into_iter().zip(&wanted).map(|(path, wanted)| (path, wanted.digest)).collect())
    }
}

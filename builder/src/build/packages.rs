//! The packages of a lock, fetched and unpacked.

use std::path::{Path, PathBuf};

use slipway_images::digest::Digest;

use crate::apt::{Mirrors, RepositoryError};
use crate::deb::{DebError, Package, UnpackedCache, unpack_all};
use crate::fetch::{Cache, Client, FetchError};
use crate::lock::{Lock, LockedPackage, Role};
use crate::progress::Progress;
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

impl Depot<'_> {
    /// Fetches what is missing, and unpacks what was never unpacked.
    pub fn packages(&self, recipe: &Recipe, lock: &Lock) -> Result<Unpacked, PackagesError> {
        let debs = self.fetch(recipe, lock)?;
        let folder = self.cache.root();
        let unpacked = UnpackedCache::open(folder)
            .map_err(|source| PackagesError::Unpacked { path: folder.to_owned(), source })?;
        let packages = unpack_all(&debs, &unpacked, self.progress)?;
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

//! Package archives: where they are, what their signed indexes say, and which packages that makes available.
//!
//! Everything read here comes over the network. Expected, and what stops it: a foreign or changed index (`InRelease` must
//! be signed by a known key, and vouches for size and SHA-256 of every further file); a replay of an old index
//! (`Valid-Until`) or of another suite's (`Suite`, `Codename`); endless or explosive data (each download has a cap, and so
//! has what is unpacked from it); paths that lead out of the archive (checked in every record). A mirror that withholds
//! updates of a suite without `Valid-Until` is not noticed.

mod index;
mod keyring;
mod mirrors;
mod release;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;

use slipway_images::digest::Digest;
use slipway_trust::openpgp::{Certificates, OpenPgpError};
use slipway_trust::time::UnixTime;

pub use self::index::{PackageRecord, RecordError, record_from_control};
pub use self::keyring::debian_keys;
pub(crate) use self::mirrors::repository_of;
pub use self::mirrors::{DEBIAN, DEBIAN_SECURITY, LOCAL, Mirrors};
pub use self::release::{Release, ReleaseError};
use crate::fetch::{Cache, Client, FetchError};
use crate::progress::{Event, Phase, Progress};

/// The architecture of the images, as Debian names it.
pub const ARCHITECTURE: &str = "amd64";

/// What the archives offer.
#[derive(Clone, Debug, Default)]
pub struct Universe {
    /// All packages of all suites and repositories, in the order of the request; several versions of one are common.
    pub packages: Vec<PackageRecord>,
    /// The newest `Date` of the release files, in seconds since 1970.
    pub epoch: u64,
}

/// One suite of one repository to read.
#[derive(Clone, Debug)]
pub struct SuiteRequest {
    /// As the lock calls the repository.
    pub repository: Arc<str>,
    /// `trixie`, `trixie-security`; of a flat repository a path that ends in a slash.
    pub suite: Arc<str>,
    /// `main`, …; none for a flat repository.
    pub components: Vec<String>,
    /// Keys that may sign it.
    pub keys: Arc<Certificates>,
}

/// Why the offer of an archive is not known.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// Nobody says where the archive is.
    #[error(
        "no mirror of {0} is known: give --mirror URL, or set SLIPWAY_MIRROR (this machine has no apt sources for it)"
    )]
    NoMirror(String),
    /// A repository that the recipe doesn't have.
    #[error("no repository is called {0}")]
    UnknownRepository(String),
    /// A file of the archive can't be had, or is not what it must be.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// No such suite there.
    #[error("there is no {url}: is `{suite}` a suite of that archive?")]
    NoRelease {
        /// Where it was looked for.
        url: String,
        /// As asked for.
        suite: String,
    },
    /// The index is not signed as it must be.
    #[error("{url} is not trusted")]
    Signature {
        /// Which index.
        url: String,
        /// Why.
        #[source]
        source: OpenPgpError,
    },
    /// The index is signed, but can't be used.
    #[error("{url} is of no use")]
    Release {
        /// Which index.
        url: String,
        /// Why.
        #[source]
        source: ReleaseError,
    },
    /// A list of packages can't be unpacked or read.
    #[error("the package list {path} of {url} is damaged: {reason}")]
    Index {
        /// The signed index that names it.
        url: String,
        /// Its path there.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A key file of a repository.
    #[error("the key file {path} can't be used")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenPgpError,
    },
    /// A key file of a repository can't be read.
    #[error("the key file {path} can't be read")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A verified index, and the lists of packages it vouches for.
struct VerifiedRelease {
    url: String,
    base: String,
    release: Release,
}

impl Universe {
    /// Reads all that `requests` name, at the moment `now`. Lists of packages stay in the cache by their digest.
    pub fn read(
        requests: &[SuiteRequest],
        mirrors: &Mirrors,
        cache: &Cache,
        client: &Client,
        now: UnixTime,
        progress: &dyn Progress,
    ) -> Result<Self, RepositoryError> {
        progress.event(Event::Start(Phase::Index, None));
        let mut universe = Self::default();
        for request in requests {
            let verified = VerifiedRelease::fetch(request, mirrors, client, now)?;
            universe.epoch = universe.epoch.max(verified.release.date.as_secs());
            let lists = verified.release.package_lists(&request.components, &request.suite);
            let lists = lists.map_err(|source| RepositoryError::Release { url: verified.url.clone(), source })?;
            for list in lists {
                let text = index::fetch(&verified, &list, cache, client)?;
                let skipped = index::parse(&text, request, &mut universe.packages)
                    .map_err(|reason| verified.damaged(&list.path, reason.to_string()))?;
                progress.event(Event::Advance(Phase::Index, list.size));
                if let Some((count, first)) = skipped {
                    let note = format!("{count} packages of {} can't be read and are left out: {first}", verified.url);
                    progress.event(Event::Note(&note));
                }
            }
        }
        progress.event(Event::Done(Phase::Index, &format!("{} packages", universe.packages.len())));
        Ok(universe)
    }
}

impl VerifiedRelease {
    fn fetch(
        request: &SuiteRequest,
        mirrors: &Mirrors,
        client: &Client,
        now: UnixTime,
    ) -> Result<Self, RepositoryError> {
        let flat = request.suite.ends_with('/');
        let folder = if flat { request.suite.trim_matches('/').to_owned() } else { format!("dists/{}", request.suite) };
        let base = mirrors.url(&request.repository, &folder)?;
        let base = base.trim_end_matches('/').to_owned();
        let url = format!("{base}/InRelease");
        let bytes = client.read(&url, slipway_trust::openpgp::MAX_LEN as u64)?;
        let suite = || request.suite.to_string();
        let bytes = bytes.ok_or_else(|| RepositoryError::NoRelease { url: url.clone(), suite: suite() })?;
        let text = request.keys.verify(&bytes, now);
        let text = text.map_err(|source| RepositoryError::Signature { url: url.clone(), source })?;
        let release = Release::parse(&text, (!flat).then_some(&*request.suite), now);
        let release = release.map_err(|source| RepositoryError::Release { url: url.clone(), source })?;
        Ok(Self { url, base, release })
    }

    fn damaged(&self, path: &str, reason: String) -> RepositoryError {
        RepositoryError::Index { url: self.url.clone(), path: path.to_owned(), reason }
    }
}

/// A file that a signed index vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Path below the folder of the index.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

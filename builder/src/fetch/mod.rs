//! Downloads into a cache that is addressed by content.
//!
//! What a server sends is not trusted. Expected, and what stops it: other bytes than those asked for (only a file whose
//! SHA-256 was checked gets its name in the cache), more bytes than announced (the known size, or a cap, ends the
//! transfer), a transfer that never ends or stalls (a limit on the wait for each read, and on the number of attempts), a
//! range that isn't the one asked for (the answer's `Content-Range` must match; and a resumed file with a wrong digest is
//! fetched afresh). A build that is killed leaves partial files, which the next one goes on with; two builds at once
//! never write to the same partial file.

mod cache;
mod client;
mod download;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use slipway_images::digest::Digest;

pub use self::cache::Cache;
pub use self::client::{Client, ClientOptions};
use crate::progress::{Event, Phase, Progress};

/// Something to have in the cache.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where it may be had (`http:`, `https:`, `file:`), the first choice first.
    pub urls: Vec<String>,
    /// SHA-256 of its bytes: its name in the cache.
    pub digest: Digest,
    /// Its length in bytes, when known.
    pub size: Option<u64>,
    /// What a person calls it.
    pub label: String,
}

/// Why something is not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is nowhere to put the cache.
    #[error("there is no place for the cache: set SLIPWAY_CACHE, XDG_CACHE_HOME or HOME")]
    NoPlace,
    /// The cache can't be read or written.
    #[error("the cache at {path} can't be {what}")]
    Cache {
        /// File or folder.
        path: PathBuf,
        /// `read`, `written`, …
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The disk of the cache is full.
    #[error("the disk with the cache at {path} is full ({label} did not fit)")]
    DiskFull {
        /// File that was written.
        path: PathBuf,
        /// What was fetched.
        label: String,
    },
    /// No place to fetch from.
    #[error("{label} has no URL to fetch it from")]
    NoUrl {
        /// What was wanted.
        label: String,
    },
    /// The server says that it doesn't have it, or won't give it.
    #[error("{url} answers {status}")]
    Status {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The transfer failed again and again.
    #[error("{url} can't be fetched ({attempts} attempts): {reason}")]
    Transfer {
        /// Where.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong last.
        reason: String,
    },
    /// Other bytes than asked for.
    #[error("{label} from {url} is not what it should be: SHA-256 is {found}, not {expected}")]
    WrongDigest {
        /// What was wanted.
        label: String,
        /// Where it came from.
        url: String,
        /// As asked for.
        expected: Digest,
        /// As received.
        found: Digest,
    },
    /// More bytes than asked for, or another announced length.
    #[error("{label} from {url} is not what it should be: it has {found} bytes, not {expected}")]
    WrongSize {
        /// What was wanted.
        label: String,
        /// Where it came from.
        url: String,
        /// As asked for.
        expected: u64,
        /// As announced or received; at least.
        found: u64,
    },
    /// Something of unknown length is longer than this.
    #[error("{url} is longer than the {limit} bytes that are accepted")]
    TooLong {
        /// Where.
        url: String,
        /// Largest length accepted.
        limit: u64,
    },
    /// Neither http, https nor file.
    #[error("{url} is no http, https or file URL")]
    Scheme {
        /// As given.
        url: String,
    },
}

/// Transfers at once. More gain nothing on a mirror's link, and take sockets from others.
const THREADS: usize = 6;

impl Cache {
    /// Has all of `wanted` in the cache, and gives their paths in the same order. What is there already costs nothing;
    /// the rest is fetched in parallel. The first failure ends it.
    pub fn fetch_all(
        &self,
        client: &Client,
        wanted: &[Wanted],
        progress: &dyn Progress,
    ) -> Result<Vec<PathBuf>, FetchError> {
        // A package may be wanted for the root and for a container: it is fetched, and counted, once.
        let mut seen = HashSet::new();
        let is_missing = |want: &&Wanted| seen.insert(want.digest) && self.get_sized(&want.digest, want.size).is_none();
        let missing: Vec<_> = wanted.iter().filter(is_missing).collect();
        if !missing.is_empty() {
            let total = missing.iter().map(|wanted| wanted.size).sum::<Option<u64>>();
            progress.event(Event::Start(Phase::Fetch, total));
            self.fetch_missing(client, &missing, progress)?;
            let words = if missing.len() == 1 { missing[0].label.clone() } else { format!("{} files", missing.len()) };
            progress.event(Event::Done(Phase::Fetch, &words));
        }
        Ok(wanted.iter().map(|wanted| self.path_of(&wanted.digest)).collect())
    }

    fn fetch_missing(&self, client: &Client, missing: &[&Wanted], progress: &dyn Progress) -> Result<(), FetchError> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure = OnceLock::new();
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(wanted) = missing.get(at) else { return };
                let advance = |bytes| progress.event(Event::Advance(Phase::Fetch, bytes));
                if let Err(error) = download::download(self, client, wanted, &failed, &advance) {
                    // Those that fail later may do so because they were told to stop.
                    if !failed.swap(true, Ordering::Relaxed) {
                        let _ = failure.set(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS.min(missing.len()) {
                scope.spawn(work);
            }
        });
        match failure.into_inner() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

//! One download: into a partial file that is this process's alone, resumed where it can be, checked, and renamed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slipway_images::digest::{Digest, DigestWriter};

use super::client::{Client, Failure};
use super::{Cache, FetchError, Wanted};

/// Largest file of unknown length that is taken.
const MAX_UNSIZED: u64 = 16 << 30;
/// Attempts altogether, however much each brought: a server that closes after every few bytes is no server.
const MAX_ATTEMPTS: u32 = 50;

/// How often a file that was put together from several answers, and came out wrong, is fetched afresh.
const MAX_RESTARTS: u32 = 2;

/// Has `wanted` in the cache. Tells `advance` of new bytes; gives up early when `stop` is set.
pub(super) fn download(
    cache: &Cache,
    client: &Client,
    wanted: &Wanted,
    stop: &AtomicBool,
    advance: &dyn Fn(u64),
) -> Result<(), FetchError> {
    let Some(mut partial) = Partial::claim(cache, wanted, client.options.stall)? else {
        return Ok(());
    };
    let mut told = 0;
    let mut failure = FetchError::NoUrl { label: wanted.label.clone() };
    for url in &wanted.urls {
        let mut transfer = Transfer { client, wanted, url, stop, advance, told };
        match transfer.run(&mut partial) {
            Ok(()) => return partial.finish(cache, wanted),
            // Nothing at another place helps against these.
            Err(error @ (FetchError::Cache { .. } | FetchError::DiskFull { .. })) => return Err(error),
            Err(error) => failure = error,
        }
        told = transfer.told;
        partial.restart(wanted)?;
    }
    partial.drop_if_empty();
    Err(failure)
}

/// Bytes received so far, in a file that no other process writes to.
struct Partial {
    file: File,
    path: PathBuf,
    len: u64,
    /// Bytes of the front that an earlier process left, and nobody has checked.
    inherited: u64,
}

impl Partial {
    /// Claims the partial file of `wanted`, or `None` when the blob is there by now. When another process is at it, waits
    /// as long as its file grows; if it doesn't for `patience`, takes a file of its own.
    fn claim(cache: &Cache, wanted: &Wanted, patience: Duration) -> Result<Option<Self>, FetchError> {
        let path = cache.partial_folder().join(wanted.digest.to_hex());
        let failed = |source| FetchError::Cache { path: path.clone(), what: "written", source };
        let mut seen = (0, Instant::now());
        loop {
            if cache.get_sized(&wanted.digest, wanted.size).is_some() {
                return Ok(None);
            }
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {
                    // Between opening and locking, its owner may have renamed it to the finished blob.
                    let ours = file.metadata().map_err(failed)?;
                    if std::fs::metadata(&path)
                        .is_ok_and(|named| named.ino() == ours.ino() && named.dev() == ours.dev())
                    {
                        let len = ours.len();
                        return Ok(Some(Self { file, path, len, inherited: len }));
                    }
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) => {
                    let len = file.metadata().map_err(failed)?.len();
                    if len != seen.0 {
                        seen = (len, Instant::now());
                    } else if seen.1.elapsed() > patience {
                        return Self::own(cache).map(Some);
                    }
                    drop(file);
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }

    fn own(cache: &Cache) -> Result<Self, FetchError> {
        let folder = cache.partial_folder();
        let kept = tempfile::NamedTempFile::new_in(&folder).and_then(|file| file.keep().map_err(|error| error.error));
        let (file, path) = kept.map_err(|source| FetchError::Cache { path: folder, what: "written", source })?;
        Ok(Self { file, path, len: 0, inherited: 0 })
    }

    fn restart(&mut self, wanted: &Wanted) -> Result<(), FetchError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| self.failed(wanted, error))?;
        (self.len, self.inherited) = (0, 0);
        Ok(())
    }

    fn append(&mut self, wanted: &Wanted, bytes: &[u8]) -> Result<(), FetchError> {
        let written = self.file.seek(SeekFrom::Start(self.len)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|error| self.failed(wanted, error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn digest(&mut self) -> Result<Digest, FetchError> {
        let mut sink = DigestWriter::new(io::sink());
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| io::copy(&mut self.file, &mut sink));
        read.map_err(|source| FetchError::Cache { path: self.path.clone(), what: "read", source })?;
        Ok(sink.finish().1)
    }

    /// Names the file; to be called when its digest was checked. Its bytes are on the disk before its name is, so that a
    /// power cut can't leave a blob with holes.
    fn finish(self, cache: &Cache, wanted: &Wanted) -> Result<(), FetchError> {
        self.file.sync_data().map_err(|error| self.failed(wanted, error))?;
        cache.adopt(&self.path, &wanted.digest)
    }

    fn drop_if_empty(&self) {
        if self.len == 0 {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn failed(&self, wanted: &Wanted, source: io::Error) -> FetchError {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                FetchError::DiskFull { path, label: wanted.label.clone() }
            }
            _ => FetchError::Cache { path, what: "written", source },
        }
    }
}

/// The attempts to fetch from one place.
struct Transfer<'a> {
    client: &'a Client,
    wanted: &'a Wanted,
    url: &'a str,
    stop: &'a AtomicBool,
    advance: &'a dyn Fn(u64),
    /// How many bytes were told to whoever is watching; starting over doesn't count them again.
    told: u64,
}

impl Transfer<'_> {
    /// Fetches until the partial file is complete and its digest right.
    fn run(&mut self, partial: &mut Partial) -> Result<(), FetchError> {
        let limit = self.wanted.size.unwrap_or(MAX_UNSIZED);
        if partial.len > limit {
            partial.restart(self.wanted)?;
        }
        self.tell(partial.len);
        let (mut fruitless, mut restarts, mut reason) = (0, 0, String::new());
        for attempt in 1..=MAX_ATTEMPTS {
            let before = partial.len;
            match self.attempt(partial, limit) {
                Ok(()) => {
                    let found = partial.digest()?;
                    if found == self.wanted.digest {
                        return Ok(());
                    }
                    if partial.inherited == 0 || restarts == MAX_RESTARTS {
                        return Err(FetchError::WrongDigest {
                            label: self.wanted.label.clone(),
                            url: self.url.to_owned(),
                            expected: self.wanted.digest,
                            found,
                        });
                    }
                    // What was there before, or the server's idea of a range, was wrong: once more, from the first byte.
                    partial.restart(self.wanted)?;
                    restarts += 1;
                    continue;
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(why)) => reason = why,
            }
            fruitless = if partial.len > before { 1 } else { fruitless + 1 };
            if fruitless >= self.client.options.attempts || attempt == MAX_ATTEMPTS || self.stop.load(Ordering::Relaxed)
            {
                return Err(FetchError::Transfer { url: self.url.to_owned(), attempts: attempt, reason });
            }
            self.client.pause(fruitless);
        }
        Err(FetchError::Transfer { url: self.url.to_owned(), attempts: MAX_ATTEMPTS, reason })
    }

    /// One request. `Ok` when the file is as long as it should be.
    fn attempt(&mut self, partial: &mut Partial, limit: u64) -> Result<(), Failure> {
        if self.wanted.size == Some(partial.len) {
            return Ok(());
        }
        let answer = self.client.request(self.url, partial.len)?;
        match answer.status {
            206 if partial.len > 0 && answer.range_start == Some(partial.len) => {
                // All that was there before this answer is only known to be right when the digest is.
                partial.inherited = partial.len;
            }
            // The server sends the whole file, another range than asked for, or says that there is none.
            200 => partial.restart(self.wanted).map_err(Failure::Final)?,
            206 | 416 if partial.len > 0 => {
                partial.restart(self.wanted).map_err(Failure::Final)?;
                return Err(Failure::Passing("the server sent another range than was asked for".to_owned()));
            }
            status => return Err(Failure::of_status(self.url, status)),
        }
        let announced = answer.len.map(|len| len.saturating_add(partial.len));
        match (announced, self.wanted.size) {
            (Some(found), Some(expected)) if found != expected => return Err(self.wrong_size(partial, expected, found)),
            (Some(found), None) if found > limit => return Err(self.too_long(limit)),
            _ => {}
        }
        let (mut body, mut buffer) = (answer.body, vec![0; 64 << 10]);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Failure::Passing("another download failed".to_owned()));
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::of_io(&error)),
            };
            if partial.len + count as u64 > limit {
                return Err(match self.wanted.size {
                    Some(expected) => {
                        let found = partial.len + count as u64;
                        self.wrong_size(partial, expected, found)
                    }
                    None => self.too_long(limit),
                });
            }
            partial.append(self.wanted, &buffer[..count]).map_err(Failure::Final)?;
            self.tell(partial.len);
        }
        match self.wanted.size.or(announced) {
            Some(expected) if partial.len < expected => {
                Err(Failure::Passing(format!("the connection ended after {} of {expected} bytes", partial.len)))
            }
            _ => Ok(()),
        }
    }

    fn tell(&mut self, len: u64) {
        if len > self.told {
            (self.advance)(len - self.told);
            self.told = len;
        }
    }

    fn wrong_size(&self, partial: &mut Partial, expected: u64, found: u64) -> Failure {
        // What an earlier process left may be of another file; without it the next answer can be right.
        if partial.inherited > 0 {
            return match partial.restart(self.wanted) {
                Ok(()) => Failure::Passing("the part that was there doesn't fit the rest".to_owned()),
                Err(error) => Failure::Final(error),
            };
        }
        let (label, url) = (self.wanted.label.clone(), self.url.to_owned());
        Failure::Final(FetchError::WrongSize { label, url, expected, found })
    }

    fn too_long(&self, limit: u64) -> Failure {
        Failure::Final(FetchError::TooLong { url: self.url.to_owned(), limit })
    }
}

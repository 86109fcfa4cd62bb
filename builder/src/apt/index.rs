//! Lists of packages (`Packages`): fetched by digest, unpacked within bounds, read into records.

use std::io::Read as _;
use std::sync::Arc;

use slipway_images::digest::{Digest, DigestError};

use super::{ARCHITECTURE, ListedFile, RepositoryError, SuiteRequest, VerifiedRelease};
use crate::archive::compression::{Compression, Threads};
use crate::deb::control::{ControlError, Paragraph, paragraphs};
use crate::deb::relation::is_package_name;
use crate::deb::version::{DebVersion, DebVersionError};
use crate::fetch::{Cache, Client, Wanted};
use crate::progress::Silent;

/// A package that can be had. The relations are kept as text: of seventy thousand packages, a few hundred are looked at.
#[derive(Clone, Debug)]
pub struct PackageRecord {
    /// Name.
    pub name: Box<str>,
    /// Version.
    pub version: DebVersion,
    /// `amd64` or `all`.
    pub architecture: Box<str>,
    /// Source package name.
    pub source: Box<str>,
    /// Repository, as the lock calls it.
    pub repository: Arc<str>,
    /// Suite it was found in; `local` for a file.
    pub suite: Arc<str>,
    /// Path below the base of the repository.
    pub path: Box<str>,
    /// Length of the `.deb` in bytes.
    pub size: u64,
    /// SHA-256 of the `.deb`.
    pub sha256: Digest,
    /// `Pre-Depends`.
    pub pre_depends: Box<str>,
    /// `Depends`.
    pub depends: Box<str>,
    /// `Recommends`.
    pub recommends: Box<str>,
    /// `Conflicts`.
    pub conflicts: Box<str>,
    /// `Breaks`.
    pub breaks: Box<str>,
    /// `Provides`.
    pub provides: Box<str>,
}

/// Why a record can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A field is missing.
    #[error(transparent)]
    Field(#[from] ControlError),
    /// No name of a package.
    #[error("`{0}` is no package name")]
    Name(String),
    /// No version.
    #[error(transparent)]
    Version(#[from] DebVersionError),
    /// No digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// No size.
    #[error("`{0}` is no size")]
    Size(String),
    /// A path that leads elsewhere.
    #[error("`{0}` is no path within an archive")]
    Path(String),
    /// For another architecture.
    #[error("it is for {0}, not for {ARCHITECTURE}")]
    Architecture(String),
}

/// Most bytes that a list without a listed uncompressed size may unpack to. Debian's has 57 MB.
const MAX_TEXT: u64 = 512 << 20;

/// Has the list in the cache, and gives its text.
pub(super) fn fetch(
    release: &VerifiedRelease,
    list: &ListedFile,
    cache: &Cache,
    client: &Client,
) -> Result<String, RepositoryError> {
    let mut urls = vec![format!("{}/{}", release.base, list.path)];
    if release.release.by_hash {
        let folder = list.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        urls.insert(0, format!("{}/{folder}by-hash/SHA256/{}", release.base, list.sha256));
    }
    let label = format!("{} of {}", list.path, release.url);
    let wanted = [Wanted { urls, digest: list.sha256, size: Some(list.size), label }];
    let mut bytes = None;
    // Twice: a blob that was damaged on the disk is dropped when it is read, and fetched again.
    for _ in 0..2 {
        cache.fetch_all(client, &wanted, &Silent)?;
        bytes = cache.read_checked(&list.sha256, list.size)?;
        if bytes.is_some() {
            break;
        }
    }
    let bytes = bytes.ok_or_else(|| release.damaged(&list.path, "the cache doesn't keep it".to_owned()))?;
    let (plain, _) = split_suffix(&list.path);
    let expected = release.release.file(plain).map(|file| file.size);
    unpack(&list.path, &bytes, expected).map_err(|reason| release.damaged(&list.path, reason))
}

/// `Packages.xz` → `Packages`, `xz`.
fn split_suffix(path: &str) -> (&str, &str) {
    match path.rsplit_once('.') {
        Some((plain, suffix @ ("xz" | "gz"))) => (plain, suffix),
        _ => (path, ""),
    }
}

fn unpack(path: &str, bytes: &[u8], expected: Option<u64>) -> Result<String, String> {
    let limit = expected.unwrap_or(MAX_TEXT);
    if limit > MAX_TEXT {
        return Err(format!("{limit} bytes are more than the {MAX_TEXT} that are accepted"));
    }
    let words = |error: &dyn std::error::Error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let (stem, _) = split_suffix(path);
    let decoder = Compression::by_name(path, stem)
        .and_then(|compression| compression.decoder(bytes, bytes.len() as u64, Threads::Several));
    let mut plain = Vec::new();
    let decoder = decoder.map_err(|error| words(&error))?;
    decoder.take(limit + 1).read_to_end(&mut plain).map_err(|error| words(&error))?;
    let len = plain.len() as u64;
    if len > limit || expected.is_some_and(|expected| expected != len) {
        return Err(format!("it unpacks to another length than the {limit} bytes it should"));
    }
    String::from_utf8(plain).map_err(|_| "it is not UTF-8".to_owned())
}

/// Reads all records of a list. Gives how many can't be used, with the first reason; those for other architectures and
/// those that are malformed don't make the others worthless.
pub(super) fn parse(
    text: &str,
    request: &SuiteRequest,
    packages: &mut Vec<PackageRecord>,
) -> Result<Option<(usize, String)>, ControlError> {
    let mut skipped = None;
    for paragraph in paragraphs(text) {
        let paragraph = paragraph?;
        match record(&paragraph, request) {
            Ok(record) => packages.push(record),
            Err(RecordError::Architecture(_)) => {}
            Err(error) => {
                let (count, _) = skipped.get_or_insert_with(|| {
                    (0, format!("{}: {error}", paragraph.field("Package").unwrap_or("a package without a name")))
                });
                *count += 1;
            }
        }
    }
    Ok(skipped)
}

fn record(paragraph: &Paragraph<'_>, request: &SuiteRequest) -> Result<PackageRecord, RecordError> {
    let path = paragraph.required("Filename")?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !path.split('/').all(inside) || path.chars().any(char::is_control) {
        return Err(RecordError::Path(path.chars().take(200).collect()));
    }
    let size = paragraph.required("Size")?;
    let size = size.parse().map_err(|_| RecordError::Size(size.chars().take(40).collect()))?;
    let sha256 = paragraph.required("SHA256")?.parse()?;
    record_from_control(paragraph, (request.repository.clone(), request.suite.clone()), path, (size, sha256))
}

/// The record of a package with this control paragraph, which lies at `path` of a (repository, suite), and has this
/// (length in bytes, digest).
pub fn record_from_control(
    paragraph: &Paragraph<'_>,
    (repository, suite): (Arc<str>, Arc<str>),
    path: &str,
    (size, sha256): (u64, Digest),
) -> Result<PackageRecord, RecordError> {
    let name = paragraph.required("Package")?;
    if !is_package_name(name) {
        return Err(RecordError::Name(name.chars().take(100).collect()));
    }
    let architecture = paragraph.required("Architecture")?;
    if architecture != ARCHITECTURE && architecture != "all" {
        return Err(RecordError::Architecture(architecture.chars().take(100).collect()));
    }
    let field = |name: &str| Box::from(paragraph.field(name).unwrap_or_default());
    let source = paragraph.field("Source").and_then(|source| source.split_whitespace().next()).unwrap_or(name);
    Ok(PackageRecord {
        name: name.into(),
        version: paragraph.required("Version")?.parse()?,
        architecture: architecture.into(),
        source: source.into(),
        repository,
        suite,
        path: path.into(),
        size,
        sha256,
        pre_depends: field("Pre-Depends"),
        depends: field("Depends"),
        recommends: field("Recommends"),
        conflicts: field("Conflicts"),
        breaks: field("Breaks"),
        provides: field("Provides"),
    })
}

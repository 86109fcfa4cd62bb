//! What a repository offers, as its signatures say: metadata brought up to date, then the documents of channel and release.
//!
//! What comes is believed only as a [`Repository`] of `slipway-trust` verifies it. Documents are kept beside the trusted metadata, by
//! their digest, so that a repository with nothing new costs one small file. A kept document is used only if it has the digest
//! that signed metadata names: damage to it costs a download, nothing else. Documents are capped at [`DOCUMENT_MAX`] bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_images::names::{ImageId, PartitionLabel};
use slipway_images::release::{
    ChannelDocument, ChannelName, DOCUMENT_MAX, DocumentError, Offer, ReleaseDocument, TargetName,
};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::{
    Client, ClientLimits, Clock, DirStore, NameError, Repository, StoreError, TargetPath, Transport, TufError,
    VerifiedRoot,
};
use thiserror::Error;

use crate::agent::chain;
use crate::net::{self, FolderTransport, HttpError, HttpTransport};
use crate::replace;
use crate::source::{Patience, Place};

/// Where trusted metadata is kept.
pub const TRUST_FOLDER: &str = "var/lib/slipway/trust";
/// Where documents are kept.
const DOCUMENTS_FOLDER: &str = "var/lib/slipway/documents";
/// How often metadata is asked for again: some seconds long. Who asks by hand wants to know, and the timer comes again.
const ROUNDS: u32 = 3;
/// Places that have taken so long to fail aren't asked again.
const LONGEST: Duration = Duration::from_secs(30);

/// Why it isn't known what a repository offers.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The image holds no root to begin with.
    #[error("no repository is trusted: can't read {path}")]
    NoRoot {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image's root is none.
    #[error("the root that the image trusts, {path}, can't be used")]
    BadRoot {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: slipway_trust::tuf::MetadataError,
    },
    /// Trusted metadata can't be kept or read.
    #[error("trusted metadata can't be kept")]
    Store(#[source] StoreError),
    /// Another process reads or writes it: for seconds, or for as long as it installs something.
    #[error("another slipway-agent asks the repository, or installs what it offers; try again when it is done")]
    InUse,
    /// The repository can't be believed, or not be reached.
    #[error("{place}: the repository can't be used")]
    Tuf {
        /// Where it is.
        place: String,
        /// Why.
        source: Box<TufError>,
    },
    /// The repository can't be used at any of several places.
    #[error("the repository can't be used: {reasons}")]
    Nowhere {
        /// What was wrong at each place.
        reasons: String,
    },
    /// A document that makes no sense.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A name that can't be looked for.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A document of another image or channel.
    #[error("the document of channel {wanted} is that of {found}")]
    OtherChannel {
        /// What was asked for.
        wanted: String,
        /// What came.
        found: String,
    },
    /// A document that is too large.
    #[error("{name} has {size} bytes, and no document has more than {DOCUMENT_MAX}")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        size: u64,
    },
}

impl From<StoreError> for CatalogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) => Self::InUse,
            error => Self::Store(error),
        }
    }
}

/// A repository whose metadata is up to date.
#[derive(Debug)]
pub struct Catalog {
    /// Where the metadata came from.
    place: Place,
    /// Where else it may be.
    others: Vec<Place>,
    client: net::Client,
    repository: Repository<DirStore, PlaceTransport>,
    documents: PathBuf,
    patience: Patience,
}

impl Catalog {
    /// Brings the metadata of a repository up to date, from the first of these places where that can be done. The root of the
    /// host's file system is at `root`; what it trusts at the very first time is the file `anchor`. `clock` is believed as far as
    /// metadata lets it.
    pub fn refresh(
        root: &Path,
        anchor: &Path,
        places: &[Place],
        client: &net::Client,
        patience: Patience,
        clock: Clock,
    ) -> Result<Self, CatalogError> {
        let folder = root.join(TRUST_FOLDER);
        let patience = Patience { attempts: patience.attempts.min(ROUNDS), ..patience };
        again(patience, |error| matches!(error, CatalogError::InUse), || begin(&folder, anchor))?;
        let refresh = |place: &Place| -> Result<_, TufError> {
            let store = DirStore::open(&folder)?;
            let transport = PlaceTransport::new(place, client);
            Client::open(store, transport, ClientLimits::default(), clock)?.refresh()
        };
        let (place, repository) = anywhere(places, patience, refresh)?;
        let others = places.iter().filter(|other| **other != place).cloned().collect();
        Ok(Self { place, others, client: client.clone(), repository, documents: root.join(DOCUMENTS_FOLDER), patience })
    }

    /// Where it was read.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where all else can be read, that place first.
    pub fn places(&self) -> impl Iterator<Item = &Place> + Clone {
        std::iter::once(&self.place).chain(&self.others)
    }

    /// The time that counted: the clock's, or a later one that is known to have passed.
    pub fn now(&self) -> UnixTime {
        self.repository.clock().now()
    }

    /// What a channel offers.
    pub fn channel(&mut self, id: &ImageId, channel: &ChannelName) -> Result<ChannelDocument, CatalogError> {
        let document = ChannelDocument::from_json(&self.document(&TargetName::of_channel(id, channel))?)?;
        if document.id != *id || document.channel != *channel {
            let (wanted, found) = (format!("{id}.{channel}"), format!("{}.{}", document.id, document.channel));
            return Err(CatalogError::OtherChannel { wanted, found });
        }
        Ok(document)
    }

    /// What a version is made of that a channel of this image offers.
    pub fn release(&mut self, id: &ImageId, offer: &Offer) -> Result<ReleaseDocument, CatalogError> {
        let label = PartitionLabel::new(id.clone(), offer.version.clone())
            .map_err(|source| DocumentError::Name { document: "channel", source })?;
        let document = ReleaseDocument::from_json(&self.document(&TargetName::of_release(&label))?)?;
        document.check_offer(id, offer)?;
        Ok(document)
    }

    /// A document as it is signed now, kept or fetched.
    fn document(&mut self, name: &TargetName) -> Result<Vec<u8>, CatalogError> {
        let target = self.repository.find(&TargetPath::new(name.as_str())?);
        let target = target.map_err(|source| nowhere(vec![(&self.place, source)]))?;
        let size = target.file().length;
        if size > DOCUMENT_MAX as u64 {
            return Err(CatalogError::TooLarge { name: name.to_string(), size });
        }
        let kept = self.documents.join(name.as_str());
        let is_signed = |bytes: &Vec<u8>| bytes.len() as u64 == size && target.file().hashes.hold_for(bytes);
        if let Some(bytes) = fs::metadata(&kept)
            .ok()
            .filter(|found| found.is_file() && found.len() == size)
            .and_then(|_| fs::read(&kept).ok())
            .filter(is_signed)
        {
            return Ok(bytes);
        }
        let download = |place: &Place| {
            let mut bytes = Vec::new();
            let mut transport = PlaceTransport::new(place, &self.client);
            self.repository.download_from(&mut transport, &target, &mut bytes).map(|()| bytes)
        };
        let (_, bytes) = anywhere(self.places(), self.patience, download)?;
        // It is for the next time only: what can't be kept is fetched again.
        let _ = replace::for_now(&kept, &bytes);
        Ok(bytes)
    }
}

/// What went wrong, by place.
type Failures<'a> = Vec<(&'a Place, TufError)>;

/// Does it at the first of these places where that can be done. Where it can't be at any, and one of them may be better later, they are
/// asked again, a few times.
fn anywhere<'a, T>(
    places: impl IntoIterator<Item = &'a Place> + Clone,
    patience: Patience,
    act: impl Fn(&Place) -> Result<T, TufError>,
) -> Result<(Place, T), CatalogError> {
    let in_turn = move || {
        let mut failures = Failures::new();
        for place in places.clone() {
            match act(place) {
                Ok(done) => return Ok((place.clone(), done)),
                Err(error) => failures.push((place, error)),
            }
        }
        Err(failures)
    };
    let passes = |failures: &Failures<'_>| failures.iter().any(|(place, error)| may_pass(place, error));
    again(patience, passes, in_turn).map_err(nowhere)
}

/// Does it until it is done, or fails in a way that doesn't pass, or there is no more patience.
fn again<T, E>(patience: Patience, passes: impl Fn(&E) -> bool, mut act: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let began = Instant::now();
    let mut waits = 0;
    loop {
        let error = match act() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let wait = patience.wait(waits).filter(|_| passes(&error) && began.elapsed() < LONGEST);
        let Some(wait) = wait else { return Err(error) };
        std::thread::sleep(wait);
        waits += 1;
    }
}

/// Whether asking a place again later may help.
fn may_pass(place: &Place, error: &TufError) -> bool {
    match (place, error) {
        (_, TufError::Store(StoreError::Busy(_))) => true,
        (Place::Url(_), TufError::Transport { source, .. }) => {
            source.downcast_ref::<HttpError>().is_none_or(HttpError::may_pass)
        }
        _ => false,
    }
}

/// What was wrong at each place.
fn nowhere(mut failures: Failures<'_>) -> CatalogError {
    if failures.len() > 1 {
        let reasons: Vec<_> = failures.iter().map(|(place, error)| format!("{place}: {}", chain(error))).collect();
        return CatalogError::Nowhere { reasons: reasons.join("; ") };
    }
    let (place, source) = match failures.pop() {
        Some((place, source)) => (place.to_string(), source),
        None => ("no place".to_owned(), TufError::NoRoot),
    };
    CatalogError::Tuf { place, source: Box::new(source) }
}

/// Trusts the image's root, the first time. A store that is damaged is an error, never a fresh start.
fn begin(folder: &Path, anchor: &Path) -> Result<(), CatalogError> {
    match DirStore::open(folder) {
        Ok(_) => return Ok(()),
        Err(StoreError::NotThere(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let bytes = fs::read(anchor).map_err(|source| CatalogError::NoRoot { path: anchor.to_owned(), source })?;
    VerifiedRoot::anchor(&bytes).map_err(|source| CatalogError::BadRoot { path: anchor.to_owned(), source })?;
    DirStore::create(folder, &bytes)?;
    Ok(())
}

/// Files of a repository in one place.
#[derive(Debug)]
enum PlaceTransport {
    Url(HttpTransport),
    Folder(FolderTransport),
}

impl PlaceTransport {
    fn new(place: &Place, client: &net::Client) -> Self {
        match place {
            Place::Url(url) => Self::Url(HttpTransport::of_repository(client.clone(), url)),
            Place::Folder(folder) => {
                Self::Folder(FolderTransport::new(&folder.join("metadata"), &folder.join("targets")))
            }
        }
    }
}

impl Transport for PlaceTransport {
    fn open(
        &mut self,
        file: &slipway_trust::tuf::RemoteFile,
    ) -> Result<Option<Box<dyn io::Read + '_>>, slipway_trust::tuf::TransportError> {
        match self {
            Self::Url(transport) => transport.open(file),
            Self::Folder(transport) => transport.open(file),
        }
    }
}

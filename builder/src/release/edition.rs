//! Signs what a repository is to say next, and publishes it.
//!
//! The order makes a folder that is copied or cut off at any point a whole repository: first what is named by others, last the
//! timestamp, which alone is replaced. A version number is never used twice, not even for metadata that was written and
//! never came to count, since a cache on the way may hold it.

use std::collections::BTreeMap;

use slipway_images::release::{ChannelDocument, DocumentError, ReleaseDocument, TargetName};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::{Header, MetaFile, MetadataVersion, Snapshot, TargetFile, Targets};
use slipway_trust::tuf::sign::{SigningKey, TopRole, UnsignedRole};
use slipway_trust::tuf::{ClientLimits, Clock, RoleName, VerifiedRoot};

use super::repository::{LockedRepository, Repository};
use super::state::{Published, metadata_name, metadata_version, target_file_name};
use super::{ReleaseError, Terms};
use crate::keys::{KeyFolder, KeysError, Passphrase};

/// Where the keys are, and who knows their passphrases.
pub struct Keys<'a> {
    /// The key folder.
    pub folder: &'a KeyFolder,
    /// Is asked for the passphrase of a key's file.
    pub ask: &'a dyn Fn(&std::path::Path) -> Result<Passphrase, KeysError>,
}

/// The chain of roots, the newest of which hasn't expired.
#[derive(Clone, Debug)]
pub struct Roots(Vec<VerifiedRoot>);

impl Roots {
    /// The roots of a key folder, of which the newest must count at `now`.
    pub fn of(keys: &KeyFolder, now: UnixTime) -> Result<Self, ReleaseError> {
        let roots = keys.roots()?;
        let newest = roots.last().ok_or_else(|| KeysError::NoRoot(keys.path().to_owned()))?;
        let clock = Clock::new(now, UnixTime::from_secs(0));
        let fresh = newest.check_fresh(clock);
        fresh.map_err(|source| ReleaseError::Metadata { role: RoleName::root(), source })?;
        Ok(Self(roots))
    }

    /// The roots that a repository holds itself, for looking at it: they prove nothing about who made it. May have expired.
    pub fn of_repository(repository: &Repository) -> Result<Self, ReleaseError> {
        let refused = |source| ReleaseError::Metadata { role: RoleName::root(), source };
        let mut roots: Vec<VerifiedRoot> = Vec::new();
        for number in 1.. {
            let name = format!("metadata/{number}.root.json");
            let Some(bytes) = repository.read(&name, ClientLimits::default().root)? else { break };
            let root = roots.last().map_or_else(|| VerifiedRoot::anchor(&bytes), |root| root.successor(&bytes));
            roots.push(root.map_err(refused)?);
        }
        if roots.is_empty() { Err(ReleaseError::Nothing(repository.path().to_owned())) } else { Ok(Self(roots)) }
    }

    /// All of them, the first first.
    pub fn all(&self) -> &[VerifiedRoot] {
        &self.0
    }

    /// The newest.
    pub fn newest(&self) -> &VerifiedRoot {
        &self.0[self.0.len() - 1]
    }
}

/// What is to be different.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Documents of releases, new or with other patches.
    pub releases: Vec<ReleaseDocument>,
    /// Documents of channels.
    pub channels: Vec<ChannelDocument>,
    /// Targets that go.
    pub removed: Vec<TargetName>,
}

/// Somebody who may publish: the repository is theirs alone, its state is known, and the newest root counts.
pub struct Publisher<'a> {
    pub(super) repository: LockedRepository,
    pub(super) published: Published,
    roots: Roots,
    keys: Keys<'a>,
    pub(super) terms: Terms,
    accepts_replaced_keys: bool,
    online_keys: Option<[SigningKey; 3]>,
}

impl<'a> Publisher<'a> {
    /// Reads what is published. Fails when the newest root has expired, or the clock goes back: hosts take the moment of
    /// signing as a lower bound of the time.
    pub fn begin(repository: LockedRepository, keys: Keys<'a>, terms: Terms) -> Result<Self, ReleaseError> {
        let roots = Roots::of(keys.folder, terms.now)?;
        let published = Published::read(&repository, roots.all())?;
        if let Some(issued) = published.issued().filter(|issued| terms.now < *issued) {
            return Err(ReleaseError::Time { now: terms.now, issued });
        }
        Ok(Self { repository, published, roots, keys, terms, accepts_replaced_keys: false, online_keys: None })
    }

    /// What is published so far.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// The roots.
    pub const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The moment of signing.
    pub const fn now(&self) -> UnixTime {
        self.terms.now
    }

    /// Signs what replaced keys have signed as well: whoever says so has looked at it, since they may have been replaced
    /// because somebody else had them.
    #[must_use]
    pub fn accept_replaced_keys(self) -> Self {
        Self { accepts_replaced_keys: true, ..self }
    }

    /// That nothing would be signed that somebody else may have published.
    pub(super) fn check_keys(&self) -> Result<(), ReleaseError> {
        if self.published.content_is_replaced() && !self.accepts_replaced_keys {
            return Err(ReleaseError::OldKeys(self.roots.newest().header.version));
        }
        Ok(())
    }

    /// The keys of targets, snapshot and timestamp. They are read once: whoever asks for them before what takes long has a wrong
    /// passphrase told while nothing is lost.
    pub(super) fn online_keys(&mut self) -> Result<[SigningKey; 3], ReleaseError> {
        if let Some(keys) = &self.online_keys {
            return Ok(keys.clone());
        }
        let key = |role| self.keys.folder.signing_key(role, self.keys.ask);
        let keys = [key(TopRole::Targets)?, key(TopRole::Snapshot)?, key(TopRole::Timestamp)?];
        Ok(self.online_keys.insert(keys).clone())
    }

    /// Publishes `changes`, or the same once more, signed anew. Returns the files that came to be since the repository was
    /// locked, in the order in which they did. Refused once a newer root has replaced the keys of what is there, unless that is
    /// [accepted](Self::accept_replaced_keys).
    pub fn publish(mut self, changes: &Changes) -> Result<Vec<String>, ReleaseError> {
        self.check_keys()?;
        let [for_targets, for_snapshot, for_timestamp] = self.online_keys()?;
        let Self { mut repository, published, roots, terms, .. } = self;
        let (targets, documents) = next_targets(&published, changes)?;
        let (root, now) = (roots.newest(), published.metadata.as_ref());

        let version = next_version(&repository, &published, &RoleName::targets())?;
        let targets = Targets { header: header(version, &terms, terms.targets_days), ..targets };
        let targets = UnsignedRole::new(targets).sign(&for_targets).finish(root)?;

        let version = next_version(&repository, &published, &RoleName::snapshot())?;
        let mut meta = now.map(|now| now.snapshot.meta.clone()).unwrap_or_default();
        meta.insert(RoleName::targets(), MetaFile::of(targets.header.version, targets.bytes()));
        let extra = now.map(|now| now.snapshot.extra.clone()).unwrap_or_default();
        let snapshot = Snapshot { header: header(version, &terms, terms.snapshot_days), meta, extra };
        let snapshot = UnsignedRole::new(snapshot).sign(&for_snapshot).finish(root)?;

        let version = next_timestamp_version(&published)?;
        let timestamp = UnsignedRole::timestamp(header(version, &terms, terms.timestamp_days), &snapshot);
        let timestamp = timestamp.sign(&for_timestamp).finish(root)?;

        for (name, json) in &documents {
            repository.put(name, json)?;
        }
        repository.put(&metadata_name(targets.header.version, &RoleName::targets()), targets.bytes())?;
        repository.put(&metadata_name(snapshot.header.version, &RoleName::snapshot()), snapshot.bytes())?;
        put_roots(&mut repository, &roots)?;
        repository.replace(TIMESTAMP, timestamp.bytes())?;
        Ok(repository.into_written())
    }

    /// Signs the timestamp once more, and nothing else. So that it can run often and by itself, it needs that key alone. Refused
    /// where hosts would believe none of what is published all the same: once a newer root has replaced the keys of the rest, or
    /// the rest has expired.
    pub fn refresh(self) -> Result<Vec<String>, ReleaseError> {
        self.check_keys()?;
        let Self { mut repository, published, roots, keys, terms, .. } = self;
        let now = published.metadata.as_ref().ok_or_else(|| ReleaseError::Nothing(repository.path().to_owned()))?;
        let clock = Clock::new(terms.now, UnixTime::from_secs(0));
        let fresh = [
            (RoleName::snapshot(), now.snapshot.check_fresh(clock)),
            (RoleName::targets(), now.targets.check_fresh(clock)),
        ];
        for (role, fresh) in fresh {
            fresh.map_err(|source| ReleaseError::Expired { role, source })?;
        }
        let key = keys.folder.signing_key(TopRole::Timestamp, keys.ask)?;
        let mut timestamp = (*now.timestamp).clone();
        timestamp.header = header(next_timestamp_version(&published)?, &terms, terms.timestamp_days);
        let timestamp = UnsignedRole::new(timestamp).sign(&key).finish(roots.newest())?;
        put_roots(&mut repository, &roots)?;
        repository.replace(TIMESTAMP, timestamp.bytes())?;
        Ok(repository.into_written())
    }
}

const TIMESTAMP: &str = "metadata/timestamp.json";

/// A new root goes right before the timestamp: hosts that follow it believe nothing that replaced keys signed.
fn put_roots(repository: &mut LockedRepository, roots: &Roots) -> Result<(), ReleaseError> {
    for root in roots.all() {
        repository.put(&metadata_name(root.header.version, &RoleName::root()), root.bytes())?;
    }
    Ok(())
}

/// Files by their names, in the order in which they are written.
type NewFiles = Vec<(String, Vec<u8>)>;

/// The next targets, without their header, and the files of documents that are new.
fn next_targets(published: &Published, changes: &Changes) -> Result<(Targets, NewFiles), ReleaseError> {
    let mut targets = match &published.metadata {
        Some(now) => (*now.targets).clone(),
        None => Targets {
            header: Header::new(MetadataVersion::FIRST, UnixTime::from_secs(0), UnixTime::from_secs(0)),
            targets: BTreeMap::new(),
            delegations: None,
            extra: slipway_trust::json::Object::new(),
        },
    };
    for name in &changes.removed {
        targets.targets.remove(name.as_str());
    }
    let made = |name: TargetName, json: Result<Vec<u8>, DocumentError>| match json {
        Ok(json) => Ok((name, json)),
        Err(source) => Err(ReleaseError::Draft { target: name.to_string(), source }),
    };
    // Releases first, and then the channels that name them.
    let releases = changes.releases.iter().map(|document| made(document.target_name(), document.to_json()));
    let channels = changes.channels.iter().map(|document| made(document.target_name(), document.to_json()));
    let mut documents = Vec::new();
    for document in releases.chain(channels) {
        let (name, json) = document?;
        let file = TargetFile::of(&json);
        if let Some(path) = target_file_name(name.as_str(), &file) {
            documents.push((path, json));
        }
        targets.targets.insert(name.to_string(), file);
    }
    Ok((targets, documents))
}

fn header(version: MetadataVersion, terms: &Terms, days: u64) -> Header {
    Header::new(version, terms.now, terms.now.after(days.saturating_mul(86_400)))
}

fn next_timestamp_version(published: &Published) -> Result<MetadataVersion, ReleaseError> {
    after(published.version(&RoleName::timestamp()))
}

/// The version after all that have a file.
fn next_version(
    repository: &LockedRepository,
    published: &Published,
    role: &RoleName,
) -> Result<MetadataVersion, ReleaseError> {
    let names = repository.names("metadata")?;
    let numbers = names.iter().filter_map(|name| metadata_version(name, role));
    after(numbers.chain(published.version(role)).max())
}

fn after(last: Option<MetadataVersion>) -> Result<MetadataVersion, ReleaseError> {
    last.map_or(Ok(MetadataVersion::FIRST), |last| last.next().ok_or(ReleaseError::LastVersion(last)))
}

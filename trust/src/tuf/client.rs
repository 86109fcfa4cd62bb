//! The workflow of section 5 of the specification, from the trusted root to the top-level targets.
//!
//! Whatever is accepted is kept before the next thing is asked for, so that a later failure can't undo it. Stored metadata is
//! read fail-closed: what is damaged is an error, never "nothing there yet", for that would allow a rollback.

use std::io::Read as _;

use super::clock::Clock;
use super::error::{MetadataError, TufError};
use super::limits::ClientLimits;
use super::name::RoleName;
use super::repository::Repository;
use super::schema::{MetaFile, MetadataVersion, Role};
use super::store::{Change, Store};
use super::transport::{RemoteFile, Transport};
use super::verify::{Verified, VerifiedRoot, VerifiedSnapshot, VerifiedTargets, VerifiedTimestamp};

/// A client of one repository, with what it trusts so far.
#[derive(Debug)]
pub struct Client<S, T> {
    store: S,
    fetcher: Fetcher<T>,
    /// Without what metadata says.
    given: Clock,
    clock: Clock,
    root: VerifiedRoot,
    timestamp: Option<VerifiedTimestamp>,
    snapshot: Option<VerifiedSnapshot>,
    targets: Option<VerifiedTargets>,
}

impl<S: Store, T: Transport> Client<S, T> {
    /// Reads and verifies what is trusted on this machine. Nothing is asked of the transport.
    pub fn open(store: S, transport: T, limits: ClientLimits, clock: Clock) -> Result<Self, TufError> {
        let root = store.read(&RoleName::root())?.ok_or(TufError::NoRoot)?;
        let root = VerifiedRoot::anchor(&root).map_err(damaged(&RoleName::root()))?;
        let timestamp = stored(&store, &RoleName::timestamp(), |bytes| root.timestamp(bytes))?;
        let snapshot = stored(&store, &RoleName::snapshot(), |bytes| root.snapshot(bytes))?;
        let targets = stored(&store, &RoleName::targets(), |bytes| root.targets(bytes))?;
        let fetcher = Fetcher { transport, limits };
        let given = clock;
        let mut client = Self { store, fetcher, given, clock, root, timestamp, snapshot, targets };
        client.set_clock();
        Ok(client)
    }

    /// The time that is known to have passed follows from what is trusted, and from nothing that was.
    fn set_clock(&mut self) {
        self.clock = self.given;
        self.clock.raise(self.root.header.issued);
        self.clock.raise(self.timestamp.as_ref().and_then(|trusted| trusted.header.issued));
        self.clock.raise(self.snapshot.as_ref().and_then(|trusted| trusted.header.issued));
        self.clock.raise(self.targets.as_ref().and_then(|trusted| trusted.header.issued));
    }

    /// The root that is trusted now.
    pub const fn root(&self) -> &VerifiedRoot {
        &self.root
    }

    /// The timestamp that is trusted so far, which may have expired.
    pub const fn timestamp(&self) -> Option<&VerifiedTimestamp> {
        self.timestamp.as_ref()
    }

    /// Brings all top-level metadata up to date.
    pub fn refresh(mut self) -> Result<Repository<S, T>, TufError> {
        self.refresh_root()?;
        let timestamp = self.refresh_timestamp()?;
        let snapshot = self.refresh_snapshot(&timestamp)?;
        let targets = self.refresh_targets(&snapshot)?;
        let Self { store, fetcher, clock, root, .. } = self;
        Ok(Repository::new(store, fetcher, clock, root, timestamp, snapshot, targets))
    }

    fn refresh_root(&mut self) -> Result<(), TufError> {
        let role = RoleName::root();
        let limits = self.fetcher.limits;
        for _ in 0..limits.root_rotations {
            let version = self.root.header.version;
            let next = version.next().ok_or(MetadataError::LastVersion(version)).map_err(refused(&role))?;
            let file = RemoteFile::Metadata(format!("{next}.root.json"));
            let Some(bytes) = self.fetcher.fetch(&file, limits.root)? else {
                return self.root.check_fresh(self.clock).map_err(refused(&role));
            };
            let next = self.root.successor(&bytes).map_err(refused(&role))?;
            self.adopt_root(next)?;
        }
        Err(TufError::TooManyRoots(limits.root_rotations))
    }

    /// Keeps a new root, and in the same moment drops what its keys no longer vouch for. That is what lets a repository recover
    /// when a thief of replaced keys signed absurdly high versions (section 5.3.11); what still verifies keeps guarding
    /// against rollback.
    fn adopt_root(&mut self, root: VerifiedRoot) -> Result<(), TufError> {
        let mut changes = vec![Change::keep(RoleName::root(), root.bytes())];
        if self.timestamp.as_ref().is_some_and(|trusted| root.timestamp(trusted.bytes()).is_err()) {
            self.timestamp = None;
            changes.push(Change::drop(RoleName::timestamp()));
        }
        if self.snapshot.as_ref().is_some_and(|trusted| root.snapshot(trusted.bytes()).is_err()) {
            self.snapshot = None;
            changes.push(Change::drop(RoleName::snapshot()));
        }
        if self.targets.as_ref().is_some_and(|trusted| root.targets(trusted.bytes()).is_err()) {
            self.targets = None;
            changes.push(Change::drop(RoleName::targets()));
        }
        self.store.commit(&changes)?;
        self.root = root;
        self.set_clock();
        Ok(())
    }

    fn refresh_timestamp(&mut self) -> Result<VerifiedTimestamp, TufError> {
        let role = RoleName::timestamp();
        let bytes = self.fetcher.require(&RemoteFile::Metadata(role.file_name()), self.fetcher.limits.timestamp)?;
        let next = self.root.next_timestamp(&bytes, self.timestamp.as_ref()).map_err(refused(&role))?;
        let timestamp = match (next, self.timestamp.take()) {
            (None, Some(trusted)) => {
                trusted.check_fresh(self.clock).map_err(refused(&role))?;
                trusted
            }
            (Some(next), _) => {
                self.clock.raise(next.header.issued);
                next.check_fresh(self.clock).map_err(refused(&role))?;
                self.store.commit(&[Change::keep(role, next.bytes())])?;
                next
            }
            (None, None) => return Err(TufError::Missing(RemoteFile::Metadata(role.file_name()))),
        };
        Ok(timestamp)
    }

    fn refresh_snapshot(&mut self, timestamp: &VerifiedTimestamp) -> Result<VerifiedSnapshot, TufError> {
        let role = RoleName::snapshot();
        let trusted = self.snapshot.take();
        let verify = |bytes: &[u8]| {
            let found = self.root.next_snapshot(timestamp, bytes, trusted.as_ref())?;
            found.check_fresh(self.clock).map(|()| found)
        };
        if let Some(kept) = trusted.as_ref().and_then(|trusted| verify(trusted.bytes()).ok()) {
            return Ok(kept);
        }
        let file = metadata_file(&role, timestamp.snapshot.version, self.root.consistent_snapshot);
        let limit = self.fetcher.limits.snapshot;
        let bytes = self.fetcher.require_listed(&file, &timestamp.snapshot, limit)?;
        let snapshot = verify(&bytes).map_err(refused(&role))?;
        // Delegated roles that the snapshot no longer lists would stay for ever.
        let kept = self.store.roles()?.into_iter().filter(|role| !role.is_top_level());
        let gone = kept.filter(|role| !snapshot.meta.contains_key(role)).map(Change::drop);
        let changes: Vec<_> = gone.chain([Change::keep(role, snapshot.bytes())]).collect();
        self.store.commit(&changes)?;
        Ok(snapshot)
    }

    fn refresh_targets(&mut self, snapshot: &VerifiedSnapshot) -> Result<VerifiedTargets, TufError> {
        let role = RoleName::targets();
        let verify = |bytes: &[u8]| {
            let found = self.root.next_targets(snapshot, bytes)?;
            found.check_fresh(self.clock).map(|()| found)
        };
        if let Some(kept) = self.targets.take().and_then(|trusted| verify(trusted.bytes()).ok()) {
            return Ok(kept);
        }
        let listed = snapshot.meta.get(&role).ok_or(MetadataError::NotInSnapshot).map_err(refused(&role))?;
        let file = metadata_file(&role, listed.version, self.root.consistent_snapshot);
        let bytes = self.fetcher.require_listed(&file, listed, self.fetcher.limits.targets)?;
        let targets = verify(&bytes).map_err(refused(&role))?;
        self.store.commit(&[Change::keep(role, targets.bytes())])?;
        Ok(targets)
    }
}

/// Reads remote files whole, none longer than allowed.
#[derive(Debug)]
pub(super) struct Fetcher<T> {
    pub(super) transport: T,
    pub(super) limits: ClientLimits,
}

impl<T: Transport> Fetcher<T> {
    /// Reads a file of at most `limit` bytes; `None` when it isn't there.
    pub(super) fn fetch(&mut self, file: &RemoteFile, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
        let failed = |source| TufError::Transport { file: file.clone(), source };
        let Some(body) = self.transport.open(file).map_err(failed)? else { return Ok(None) };
        let mut bytes = Vec::new();
        body.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(error.into()))?;
        if bytes.len() as u64 > limit {
            return Err(TufError::TooLong { file: file.clone(), limit });
        }
        Ok(Some(bytes))
    }

    fn require(&mut self, file: &RemoteFile, limit: u64) -> Result<Vec<u8>, TufError> {
        self.fetch(file, limit)?.ok_or_else(|| TufError::Missing(file.clone()))
    }

    /// Reads a file whose length other metadata may say; that never allows more than `limit`.
    pub(super) fn require_listed(
        &mut self,
        file: &RemoteFile,
        listed: &MetaFile,
        limit: u64,
    ) -> Result<Vec<u8>, TufError> {
        self.require(file, listed.length.unwrap_or(limit).min(limit))
    }
}

/// The file of a role; in consistent snapshots its name starts with the version.
pub(super) fn metadata_file(role: &RoleName, version: MetadataVersion, consistent: bool) -> RemoteFile {
    let name = role.file_name();
    RemoteFile::Metadata(if consistent { format!("{version}.{name}") } else { name })
}

pub(super) fn refused(role: &RoleName) -> impl Fn(MetadataError) -> TufError {
    let role = role.clone();
    move |source| TufError::Refused { role: role.clone(), source }
}

fn damaged(role: &RoleName) -> impl Fn(MetadataError) -> TufError {
    let role = role.clone();
    move |source| TufError::Damaged { role: role.clone(), source }
}

fn stored<R: Role>(
    store: &impl Store,
    role: &RoleName,
    verify: impl FnOnce(&[u8]) -> Result<Verified<R>, MetadataError>,
) -> Result<Option<Verified<R>>, TufError> {
    let bytes = store.read(role)?;
    bytes.map(|bytes| verify(&bytes).map_err(damaged(role))).transpose()
}

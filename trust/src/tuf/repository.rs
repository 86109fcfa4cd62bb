//! Targets of a repository whose top-level metadata is up to date.
//!
//! Delegated roles are asked only when a target is looked for that they may speak of, so that one that is expired, broken or
//! gone stops nobody else's targets. For a target that it may speak of, it does stop the search: going on to the next role
//! would let whoever withholds its metadata choose who is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write};

use super::client::{Fetcher, metadata_file, refused};
use super::clock::Clock;
use super::error::{MetadataError, TufError};
use super::name::{RoleName, TargetPath};
use super::schema::{Delegation, TargetFile};
use super::store::{Change, Store};
use super::transport::{RemoteFile, Transport};
use super::verify::{VerifiedRoot, VerifiedSnapshot, VerifiedTargets, VerifiedTimestamp};

/// A repository with fresh metadata.
#[derive(Debug)]
pub struct Repository<S, T> {
    store: S,
    fetcher: Fetcher<T>,
    clock: Clock,
    root: VerifiedRoot,
    timestamp: VerifiedTimestamp,
    snapshot: VerifiedSnapshot,
    targets: VerifiedTargets,
    /// Delegated roles that were verified on some way. Another way has other keys, and verifies again.
    delegated: BTreeMap<RoleName, VerifiedTargets>,
}

/// A target that a role speaks of which may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTarget {
    path: TargetPath,
    role: RoleName,
    file: TargetFile,
}

impl VerifiedTarget {
    /// Its path.
    pub const fn path(&self) -> &TargetPath {
        &self.path
    }

    /// The role that speaks of it.
    pub const fn role(&self) -> &RoleName {
        &self.role
    }

    /// Length, digests and what else is said of it.
    pub const fn file(&self) -> &TargetFile {
        &self.file
    }
}

impl<S: Store, T: Transport> Repository<S, T> {
    pub(super) fn new(
        store: S,
        fetcher: Fetcher<T>,
        clock: Clock,
        root: VerifiedRoot,
        timestamp: VerifiedTimestamp,
        snapshot: VerifiedSnapshot,
        targets: VerifiedTargets,
    ) -> Self {
        Self { store, fetcher, clock, root, timestamp, snapshot, targets, delegated: BTreeMap::new() }
    }

    /// The root.
    pub const fn root(&self) -> &VerifiedRoot {
        &self.root
    }

    /// The timestamp.
    pub const fn timestamp(&self) -> &VerifiedTimestamp {
        &self.timestamp
    }

    /// The snapshot.
    pub const fn snapshot(&self) -> &VerifiedSnapshot {
        &self.snapshot
    }

    /// The top-level targets.
    pub const fn targets(&self) -> &VerifiedTargets {
        &self.targets
    }

    /// The time that counted for this refresh.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Looks for a target, in the top-level role and then in the delegated ones that may speak of it, depth first in the order
    /// of their listing (section 5.6.7).
    pub fn find(&mut self, path: &TargetPath) -> Result<VerifiedTarget, TufError> {
        let top = self.targets.clone();
        if let Some(found) = target_of(&top, &RoleName::targets(), path) {
            return Ok(found);
        }
        let mut asked = BTreeSet::from([RoleName::targets()]);
        let mut waiting = Vec::new();
        push_delegations(&top, path, &mut waiting);
        while let Some((parent, delegation)) = waiting.pop() {
            if !asked.insert(delegation.name.clone()) {
                continue;
            }
            let limit = self.fetcher.limits.delegations;
            if asked.len() > limit as usize + 1 {
                return Err(TufError::TooManyDelegations { path: path.clone(), limit });
            }
            let role = self.delegate(&parent, &delegation)?;
            if let Some(found) = target_of(&role, &delegation.name, path) {
                return Ok(found);
            }
            push_delegations(&role, path, &mut waiting);
        }
        Err(TufError::NoTarget(path.clone()))
    }

    /// Reads a target from the repository into `sink`. What was written is to be used only when this succeeds: the bytes are
    /// checked as they pass, and an error may come with the last. Never writes more than the target's length.
    pub fn download(&mut self, target: &VerifiedTarget, sink: &mut dyn Write) -> Result<(), TufError> {
        download(&mut self.fetcher.transport, self.root.consistent_snapshot, target, sink)
    }

    /// Like [`download`](Self::download), from another place: what is signed is so wherever it comes from.
    pub fn download_from(
        &self,
        place: &mut impl Transport,
        target: &VerifiedTarget,
        sink: &mut dyn Write,
    ) -> Result<(), TufError> {
        download(place, self.root.consistent_snapshot, target, sink)
    }

    /// Metadata of a delegated role: what was read before, what is stored, or what the repository has, each only if it verifies
    /// by this very delegation.
    fn delegate(&mut self, parent: &VerifiedTargets, delegation: &Delegation) -> Result<VerifiedTargets, TufError> {
        let Delegation { name, .. } = delegation;
        let listed = self.snapshot.meta.get(name).ok_or(MetadataError::NotInSnapshot).map_err(refused(name))?;
        let (snapshot, clock) = (&self.snapshot, self.clock);
        let verify = |bytes: &[u8]| {
            let found = parent.delegate(delegation, snapshot, bytes)?;
            found.check_fresh(clock).map(|()| found)
        };
        if let Some(known) = self.delegated.get(name).and_then(|known| verify(known.bytes()).ok()) {
            return Ok(known);
        }
        let stored = self.store.read(name)?;
        let kept = stored.and_then(|bytes| verify(&bytes).ok());
        let found = if let Some(kept) = kept {
            kept
        } else {
            let file = metadata_file(name, listed.version, self.root.consistent_snapshot);
            let bytes = self.fetcher.require_listed(&file, listed, self.fetcher.limits.targets)?;
            let found = verify(&bytes).map_err(refused(name))?;
            self.store.commit(&[Change::keep(name.clone(), found.bytes())])?;
            found
        };
        self.delegated.insert(name.clone(), found.clone());
        Ok(found)
    }
}

fn download(
    transport: &mut impl Transport,
    is_prefixed: bool,
    target: &VerifiedTarget,
    sink: &mut dyn Write,
) -> Result<(), TufError> {
    let VerifiedTarget { path, file: TargetFile { length, hashes, .. }, .. } = target;
    let prefix = hashes.prefix().ok_or_else(|| TufError::NoDigest(path.clone()))?;
    let file = RemoteFile::Target(path.url(is_prefixed.then_some(prefix.as_str())));
    let failed = |source| TufError::Transport { file: file.clone(), source };
    let body = transport.open(&file).map_err(failed)?;
    let mut body = body.ok_or_else(|| TufError::Missing(file.clone()))?.take(length.saturating_add(1));
    let mut checker = hashes.checker();
    let (mut found, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error.into())),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        found += count as u64;
        if found > *length {
            return Err(TufError::TooLong { file, limit: *length });
        }
        checker.update(bytes);
        sink.write_all(bytes).map_err(|source| TufError::Sink { path: path.clone(), source })?;
    }
    if found != *length {
        return Err(TufError::TargetLength { path: path.clone(), expected: *length, found });
    }
    if !checker.agrees_with(hashes) {
        return Err(TufError::TargetDigest(path.clone()));
    }
    Ok(())
}

fn target_of(role: &VerifiedTargets, name: &RoleName, path: &TargetPath) -> Option<VerifiedTarget> {
    let file = role.targets.get(path.as_str())?;
    Some(VerifiedTarget { path: path.clone(), role: name.clone(), file: file.clone() })
}

/// Puts the delegations of a role on top of those that wait, the first one uppermost; a terminating one sends all that waited
/// before it away.
fn push_delegations(role: &VerifiedTargets, path: &TargetPath, waiting: &mut Vec<(VerifiedTargets, Delegation)>) {
    let Some(delegations) = &role.delegations else { return };
    let found = delegations.for_path(path);
    if found.iter().any(|delegation| delegation.terminating) {
        waiting.clear();
    }
    waiting.extend(found.into_iter().rev().map(|delegation| (role.clone(), delegation)));
}

//! A folder of roots, drafts and the keys of online roles.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use slipway_trust::tuf::VerifiedRoot;
use slipway_trust::tuf::schema::Root;
use slipway_trust::tuf::sign::{SigningKey, TopRole, UnsignedRole};

use super::file::{Passphrase, Protection, create, read, read_bytes, replace};
use super::{KeysError, file};

/// A folder of roots and keys.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    path: PathBuf,
}

/// What became of a draft that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// It needs more signatures: of the keys of the root before (none for the first), and of its own.
    Waiting {
        /// Valid signatures and how many are needed, by the keys of the root before.
        before: Option<(u64, u64)>,
        /// Likewise, by its own keys.
        own: (u64, u64),
        /// An earlier root that isn't beside it, without which it can't become the root.
        missing: Option<PathBuf>,
    },
    /// It is the root now, in this file.
    Published(PathBuf),
}

/// Longest root that is read, in bytes.
const MAX_LEN: u64 = 512 << 10;
/// The roles that sign every release.
const ONLINE: [TopRole; 3] = [TopRole::Targets, TopRole::Snapshot, TopRole::Timestamp];

impl KeyFolder {
    /// The folder at `path`, which needn't be there yet.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// That nothing is in the way of a first root, and of keys for these roles.
    pub fn check_vacant(&self, roles: &[TopRole]) -> Result<(), KeysError> {
        if self.root_path(1).exists() || self.draft_path(1).exists() {
            return Err(KeysError::Exists(self.path.clone()));
        }
        let files = roles.iter().map(|role| self.key_path(*role));
        let files = files.flat_map(|private| [file::public_path(&private), private]);
        let left: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
        if left.is_empty() { Ok(()) } else { Err(KeysError::CutOff(left)) }
    }

    /// Makes the folder, and in it a key for each role that signs releases. Refuses a folder that holds any already.
    pub fn create_online_keys(&self, protection: &Protection) -> Result<Vec<(TopRole, SigningKey)>, KeysError> {
        self.check_vacant(&ONLINE)?;
        fs::create_dir_all(&self.path).map_err(|source| self.failed("made", source))?;
        ONLINE.into_iter().map(|role| Ok((role, create(&self.key_path(role), protection)?))).collect()
    }

    /// Replaces the key of an online role. The old one is kept beside it as long as no new root is published: releases are
    /// signed with it until then.
    ///
    /// One that waits for a draft that is no more and isn't in the newest root was never in any, and goes.
    pub fn create_next_key(&self, role: TopRole, protection: &Protection) -> Result<SigningKey, KeysError> {
        self.adopt_next_keys()?;
        let path = self.next_key_path(role);
        if self.draft()?.is_none() {
            for left in [&path, &file::public_path(&path)].into_iter().filter(|left| left.exists()) {
                let removed = fs::remove_file(left);
                removed.map_err(|source| KeysError::Io { path: left.clone(), what: "removed", source })?;
            }
        }
        create(&path, protection)
    }

    /// The file of an online role's private key.
    pub fn key_path(&self, role: TopRole) -> PathBuf {
        self.path.join(format!("{}.pem", role.name()))
    }

    /// The private key of an online role.
    pub fn signing_key(
        &self,
        role: TopRole,
        ask: &dyn Fn(&Path) -> Result<Passphrase, KeysError>,
    ) -> Result<SigningKey, KeysError> {
        self.adopt_next_keys()?;
        read(&self.key_path(role), ask)
    }

    /// All roots from the first to the newest, each verified by the one before.
    pub fn roots(&self) -> Result<Vec<VerifiedRoot>, KeysError> {
        let mut roots: Vec<VerifiedRoot> = Vec::new();
        for version in 1.. {
            let path = self.root_path(version);
            if !path.exists() {
                break;
            }
            let bytes = read_bytes(&path, MAX_LEN)?;
            let root = roots.last().map_or_else(|| VerifiedRoot::anchor(&bytes), |root| root.successor(&bytes));
            let root = root.map_err(|source| KeysError::Root { path: path.clone(), source })?;
            if root.header.version.number() != version {
                return Err(KeysError::Form { path, wanted: "root of the version that its name says" });
            }
            roots.push(root);
        }
        Ok(roots)
    }

    /// The newest root.
    pub fn root(&self) -> Result<VerifiedRoot, KeysError> {
        self.roots()?.pop().ok_or_else(|| KeysError::NoRoot(self.path.clone()))
    }

    /// The draft that waits for signatures, and its file.
    pub fn draft(&self) -> Result<Option<(PathBuf, UnsignedRole<Root>)>, KeysError> {
        let version = self.roots()?.len() as u64 + 1;
        let path = self.draft_path(version);
        if !path.exists() {
            return Ok(None);
        }
        let draft = read_draft(&path)?;
        Ok(Some((path, draft)))
    }

    /// Writes a new draft. Refused while another one waits.
    pub fn add_draft(&self, draft: &UnsignedRole<Root>) -> Result<PathBuf, KeysError> {
        if let Some((path, _)) = self.draft()? {
            return Err(KeysError::DraftWaits(path));
        }
        fs::create_dir_all(&self.path).map_err(|source| self.failed("made", source))?;
        let path = self.draft_path(draft.content().header.version.number());
        replace(&path, &draft.to_draft())?;
        Ok(path)
    }

    /// Signs the draft in the file `path` with these keys, and takes over the signatures of these copies of it. When that is
    /// enough, and the root before lies beside it, it becomes the root, and keys that wait for it take their places.
    ///
    /// Where it was cut off between the two, the next one who signs with these keys, or this draft again, does the rest.
    pub fn sign(path: &Path, keys: &[SigningKey], copies: &[PathBuf]) -> Result<Signing, KeysError> {
        let folder = Self::at(path.parent().unwrap_or(Path::new("")));
        folder.adopt_next_keys()?;
        let mut draft = read_draft(path)?;
        for copy in copies {
            if !draft.merge(read_draft(copy)?) {
                return Err(KeysError::OtherDraft(copy.clone()));
            }
        }
        let draft = keys.iter().fold(draft, UnsignedRole::sign);
        replace(path, &draft.to_draft())?;
        let root = draft.content();
        let version = root.header.version.number();
        let roots = folder.roots()?;
        let published = folder.root_path(version);
        let remove_draft =
            || fs::remove_file(path).map_err(|source| KeysError::Io { path: path.to_owned(), what: "removed", source });
        if roots.iter().any(|known| **known == *root) {
            remove_draft()?;
            return Ok(Signing::Published(published));
        }
        let own = (draft.valid_signatures(&root.root, &root.keys), root.root.threshold.get());
        let next = roots.len() as u64 + 1;
        let before = roots.last().filter(|_| next == version);
        let before =
            before.map(|before| (draft.valid_signatures(&before.root, &before.keys), before.root.threshold.get()));
        let enough = own.0 >= own.1 && before.is_none_or(|(valid, needed)| valid >= needed);
        if !enough || next != version {
            let missing = (next < version).then(|| folder.root_path(next));
            return Ok(Signing::Waiting { before, own, missing });
        }
        let signed = draft.finish(roots.last())?;
        replace(&published, signed.bytes())?;
        folder.adopt_next_keys()?;
        remove_draft()?;
        Ok(Signing::Published(published))
    }

    /// Puts keys that the newest root names in their places. That may have been cut off before, at any point, and another process
    /// may do the same now.
    fn adopt_next_keys(&self) -> Result<(), KeysError> {
        let Some(root) = self.roots()?.pop() else { return Ok(()) };
        for role in ONLINE {
            let (next, path) = (self.next_key_path(role), self.key_path(role));
            let (public, public_path) = (file::public_path(&next), file::public_path(&path));
            if !public.exists() {
                continue;
            }
            let is_named = |file: &Path| file::read_public(file).map(|key| role.of(&root).key_ids.contains(&key.id()));
            match is_named(&public) {
                Ok(true) => {}
                Ok(false) => continue,
                // One that can't be read is in nobody's way while the root names the key that is in place.
                Err(_) if matches!(is_named(&public_path), Ok(true)) => continue,
                Err(error) => return Err(error),
            }
            // The public half last, since it says whose the private one is.
            for (from, to) in [(next, path), (public, public_path)] {
                match fs::rename(&from, &to) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    moved => moved.map_err(|source| KeysError::Io { path: from, what: "put in place", source })?,
                }
            }
        }
        Ok(())
    }

    fn next_key_path(&self, role: TopRole) -> PathBuf {
        self.path.join(format!("{}-next.pem", role.name()))
    }

    fn root_path(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version}.root.json"))
    }

    fn draft_path(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version}.root.draft.json"))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> KeysError {
        KeysError::Io { path: self.path.clone(), what, source }
    }
}

fn read_draft(path: &Path) -> Result<UnsignedRole<Root>, KeysError> {
    Ok(UnsignedRole::from_draft(&read_bytes(path, MAX_LEN)?)?)
}

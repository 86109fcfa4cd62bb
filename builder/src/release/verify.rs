//! Looks at a repository as a host does that has nothing: the same client follows the metadata from a root, and every part
//! is fetched, unpacked and compared. Patches are applied where the repository has the version that they start from.
//!
//! All of the folder is untrusted; what reads it is what hosts read it with, and lengths are checked before anything is
//! allocated. Whatever is wrong is told, not the first thing alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use serde::Serialize;
use slipway_images::content::ReadAt;
use slipway_images::digest::DigestWriter;
use slipway_images::manifest::Manifest;
use slipway_images::patch::{Head, Pair};
use slipway_images::release::{
    ChannelDocument, DOCUMENT_MAX, Patch, PatchPart, ReleaseDocument, TargetName, part_path,
};
use slipway_images::verity::{GroupIndex, GroupWriter};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::{Client, ClientLimits, Clock, DirStore, FolderTransport, Repository as Tuf, TargetPath};

use super::{ReleaseError, Repository, pack};
use crate::progress::{Event, Phase, Progress};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Channels, as `ID CHANNEL`.
    pub channels: Vec<String>,
    /// Releases, as `ID_VERSION`.
    pub releases: Vec<String>,
    /// Parts that are what their digests say.
    pub parts: u64,
    /// Patches that were applied and made what they should.
    pub patches: u64,
    /// Patches that are what their digests say and weren't applied: what they start from is no release here (any more).
    pub untried: u64,
    /// When hosts stop taking anything, unless it is signed again.
    pub expires: Option<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// Verifies a repository, from `root` on. An error means that a host would take nothing of it.
pub fn verify(
    repository: &Repository,
    root: &[u8],
    now: UnixTime,
    progress: &dyn Progress,
) -> Result<Verification, ReleaseError> {
    let work = tempfile::tempdir();
    let work = work.map_err(|source| ReleaseError::Io { what: "made", path: std::env::temp_dir(), source })?;
    let store = DirStore::create(&work.path().join("trust"), root)?;
    let transport = FolderTransport::new(&repository.file("metadata"), &repository.file("targets"));
    let clock = Clock::new(now, UnixTime::from_secs(0));
    let mut tuf = Client::open(store, transport, ClientLimits::default(), clock)?.refresh()?;
    let expiries = [
        tuf.root().header.expires,
        tuf.timestamp().header.expires,
        tuf.snapshot().header.expires,
        tuf.targets().header.expires,
    ];
    let mut found =
        Verification { expires: expiries.iter().min().map(|expires| expires.to_iso()), ..Verification::default() };
    let (channels, releases) = documents(&mut tuf, &mut found);
    for channel in &channels {
        check_offers(channel, &releases, &mut found);
    }
    let total = releases.values().map(|document| document.root.size).sum();
    progress.event(Event::Start(Phase::Verify, Some(total)));
    for document in releases.values() {
        let mut checked = Checked { repository, document, found: &mut found };
        checked.release(progress);
        for patch in &document.patches {
            checked.patch(patch, &releases);
        }
    }
    progress.event(Event::Done(Phase::Verify, &format!("{} releases", found.releases.len())));
    Ok(found)
}

type Releases = BTreeMap<TargetName, ReleaseDocument>;

fn documents(tuf: &mut Tuf<DirStore, FolderTransport>, found: &mut Verification) -> (Vec<ChannelDocument>, Releases) {
    let (mut channels, mut releases) = (Vec::new(), Releases::new());
    let paths: Vec<String> = tuf.targets().targets.keys().cloned().collect();
    for path in paths {
        let Some(name) = TargetName::of_path(&path) else { continue };
        let json = match download(tuf, &path) {
            Ok(json) => json,
            Err(error) => {
                found.problem(&path, &error);
                continue;
            }
        };
        if name.channel().is_some() {
            match ChannelDocument::from_json(&json) {
                Ok(document) if document.target_name() == name => {
                    found.channels.push(format!("{} {}", document.id, document.channel));
                    channels.push(document);
                }
                Ok(_) => found.problem(&path, &ReleaseError::Misnamed(path.clone())),
                Err(error) => found.problem(&path, &error),
            }
        } else {
            match ReleaseDocument::from_json(&json) {
                Ok(document) if document.target_name() == name => {
                    found.releases.push(document.label.to_string());
                    releases.insert(name, document);
                }
                Ok(_) => found.problem(&path, &ReleaseError::Misnamed(path.clone())),
                Err(error) => found.problem(&path, &error),
            }
        }
    }
    (channels, releases)
}

fn download(tuf: &mut Tuf<DirStore, FolderTransport>, path: &str) -> Result<Vec<u8>, ReleaseError> {
    let target = TargetPath::new(path).map_err(|_| ReleaseError::Misnamed(path.to_owned()))?;
    let target = tuf.find(&target)?;
    if target.file().length > DOCUMENT_MAX as u64 {
        return Err(ReleaseError::TooLong { path: path.into(), limit: DOCUMENT_MAX as u64 });
    }
    let mut json = Vec::new();
    tuf.download(&target, &mut json)?;
    Ok(json)
}

fn check_offers(channel: &ChannelDocument, releases: &Releases, found: &mut Verification) {
    for offer in &channel.offers {
        let Ok(label) = channel.label(&offer.version) else { continue };
        match releases.get(&TargetName::of_release(&label)) {
            Some(document) => {
                if let Err(error) = document.check_offer(&channel.id, offer) {
                    found.problem(channel.target_name().as_str(), &error);
                }
            }
            None => found.problems.push(format!("{}: there is no release {label}", channel.target_name())),
        }
    }
}

impl Verification {
    fn problem(&mut self, of: &str, error: &dyn std::error::Error) {
        let mut text = format!("{of}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.problems.push(text);
    }
}

struct Checked<'a> {
    repository: &'a Repository,
    document: &'a ReleaseDocument,
    found: &'a mut Verification,
}

impl Checked<'_> {
    fn note<T>(&mut self, result: Result<T, ReleaseError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.found.parts += 1;
                Some(value)
            }
            Err(error) => {
                self.found.problem(&self.document.label.to_string(), &error);
                None
            }
        }
    }

    fn release(&mut self, progress: &dyn Progress) {
        let (repository, document) = (self.repository, self.document);
        self.note(check_manifest(repository, document));
        self.note(pack::unpack(repository, &document.parts.uki, &document.uki).map(drop));
        self.note(pack::check_part(repository, &document.parts.blocks.frames));
        self.note(pack::part_bytes(repository, &document.parts.blocks.index).map(drop));
        if let Some(tree) = self.note(pack::tree(repository, document)) {
            let whole = pack::each_frame(repository, document, &tree, progress, |_, _| Ok(()));
            if let Err(error) = whole {
                self.found.problem(&document.label.to_string(), &error);
            }
        }
    }

    fn patch(&mut self, patch: &Patch, releases: &Releases) {
        let (repository, document) = (self.repository, self.document);
        for part in std::iter::once(&patch.root).chain(&patch.uki) {
            self.note(pack::check_part(repository, &part.part()));
        }
        let base = releases.values().find(|base| base.root.root_hash == patch.from.root_hash);
        let Some(base) = base else {
            self.found.untried += 1;
            return;
        };
        match apply(repository, document, patch, base) {
            Ok(()) => self.found.patches += 1,
            Err(error) => self.found.problem(&document.label.to_string(), &error),
        }
    }
}

fn check_manifest(repository: &Repository, document: &ReleaseDocument) -> Result<(), ReleaseError> {
    let json = pack::part_bytes(repository, &document.manifest)?;
    let path = repository.file(&part_path(&document.manifest.sha256));
    let manifest =
        Manifest::from_json(&json).map_err(|source| ReleaseError::Manifest { path: path.clone(), source })?;
    let parts = &manifest.parts;
    let same = manifest.label == document.label
        && manifest.root_hash == document.root.root_hash
        && manifest.salt == document.root.salt
        && parts.root.size == document.root.size
        && (parts.verity.size, parts.verity.sha256) == (document.verity.size, document.verity.sha256)
        && (parts.uki.size, parts.uki.sha256) == (document.uki.size, document.uki.sha256);
    if same { Ok(()) } else { Err(ReleaseError::Damaged { path, what: "manifest, which is another release's," }) }
}

fn apply(
    repository: &Repository,
    document: &ReleaseDocument,
    patch: &Patch,
    base: &ReleaseDocument,
) -> Result<(), ReleaseError> {
    let scratch = tempfile::tempfile();
    let old = scratch.map_err(|source| ReleaseError::Io { what: "made", path: std::env::temp_dir(), source })?;
    let tree = pack::tree(repository, base)?;
    pack::restore_root(repository, base, &tree, &old, &crate::progress::Silent)?;
    let wrong = |source| {
        let (from, to) = (base.label.to_string(), document.label.clone());
        ReleaseError::WrongPatch { from, to, source: Box::new(source) }
    };
    let damaged = |part: &PatchPart| ReleaseError::Damaged { path: repository.part(&part.part()), what: "patch" };
    let (head, stored) = open(repository, &patch.root)?;
    let pair = head.pair();
    let fits = pair.old.as_bytes() == patch.from.root_hash.as_bytes()
        && pair.new.as_bytes() == document.root.root_hash.as_bytes()
        && pair.new_len == document.root.size
        && pair.old_len == base.root.size;
    let tree_head = head.tree_head().ok().filter(|_| fits).ok_or_else(|| damaged(&patch.root))?;
    let mut writer = GroupWriter::new(&tree_head, GroupIndex(0), |_, _, _| Ok(()));
    each_window(&head, &stored, &patch.root, repository, |window, bytes| {
        head.apply(window, bytes, &old, &mut writer).map_err(wrong)
    })?;
    if writer.next_group().0 != tree_head.groups() {
        return Err(damaged(&patch.root));
    }
    let Some(part) = &patch.uki else { return Ok(()) };
    let (head, stored) = open(repository, part)?;
    let old = pack::unpack(repository, &base.parts.uki, &base.uki)?;
    if *head.pair()
        != (Pair { old: base.uki.sha256, old_len: base.uki.size, new: document.uki.sha256, new_len: document.uki.size })
    {
        return Err(damaged(part));
    }
    let mut made = DigestWriter::new(io::sink());
    each_window(&head, &stored, part, repository, |window, bytes| {
        head.apply(window, bytes, &old, &mut made).map_err(wrong)
    })?;
    if made.digest() == document.uki.sha256 && patch.from.uki == base.uki.sha256 { Ok(()) } else { Err(damaged(part)) }
}

fn open(repository: &Repository, part: &PatchPart) -> Result<(Head, File), ReleaseError> {
    let path = repository.part(&part.part());
    let failed = |source| ReleaseError::Io { what: "read", path: path.clone(), source };
    let file = File::open(&path).map_err(failed)?;
    let mut head = vec![0; usize::try_from(part.head.size).unwrap_or_default()];
    ReadAt::read_exact_at(&file, &mut head, 0).map_err(failed)?;
    let parsed = Head::parse(&head, &part.head.sha256);
    let parsed = parsed.ok().filter(|parsed| parsed.patch_len(part.head.size) == part.size);
    let parsed = parsed.ok_or(ReleaseError::Damaged { path, what: "patch" })?;
    Ok((parsed, file))
}

fn each_window(
    head: &Head,
    stored: &File,
    part: &PatchPart,
    repository: &Repository,
    mut apply: impl FnMut(usize, &[u8]) -> Result<(), ReleaseError>,
) -> Result<(), ReleaseError> {
    for (number, window) in head.windows().iter().enumerate() {
        // At most 12 MiB, as the head was checked.
        let mut bytes = vec![0; usize::try_from(window.stored_len()).unwrap_or_default()];
        let read = ReadAt::read_exact_at(stored, &mut bytes, window.offset);
        let path = || repository.part(&part.part());
        read.map_err(|source| ReleaseError::Io { what: "read", path: path(), source })?;
        apply(number, &bytes)?;
    }
    Ok(())
}

//! What was built, and how what is no longer wanted goes.

use std::time::{SystemTime, UNIX_EPOCH};

use ostree::glib::{VariantDict, VariantTy};
use ostree::{RepoFile, RepoPruneFlags};

use super::{NO_CANCEL, Store, StoreError};

/// One build in the history of an image.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Image id.
    pub image: String,
    /// Image version.
    pub version: String,
    /// The commit of the tree (the same for the same tree).
    pub commit: String,
    /// When it was built, seconds since 1970.
    pub built: u64,
    /// Number of packages.
    pub packages: usize,
    /// Sum of the file sizes in bytes.
    pub size: u64,
}

/// What [`Store::gc`] freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Objects removed.
    pub objects: u64,
    /// Bytes freed.
    pub bytes: u64,
}

impl Store {
    pub(super) fn record_history(
        &self,
        id: &str,
        version: &str,
        root: &RepoFile,
        commit: &str,
    ) -> Result<(), StoreError> {
        let name = format!("history/{id}");
        let parent = self.repo.resolve_rev(&name, true).map_err(self.failed("read history"))?;
        if let Some(parent) = &parent
            && self.dict(parent)?.lookup::<String>("slipway.commit").ok().flatten().as_deref() == Some(commit)
        {
            return Ok(());
        }
        let metadata = VariantDict::new(None);
        metadata.insert("version", version);
        metadata.insert("slipway.image", id);
        metadata.insert("slipway.commit", commit);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let entry = self
            .repo
            .write_commit_with_time(
                parent.as_deref(),
                Some(&format!("{id} {version}")),
                None,
                Some(&metadata.end()),
                root,
                now,
                NO_CANCEL,
            )
            .map_err(self.failed("write history"))?;
        self.repo.transaction_set_ref(None, &name, Some(&entry));
        Ok(())
    }

    /// The builds of the image `id`, or of all, newest first.
    pub fn log(&self, id: Option<&str>) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for (name, head) in self.repo.list_refs(None, NO_CANCEL).map_err(self.failed("list"))? {
            let Some(image) = name.strip_prefix("history/") else { continue };
            if id.is_some_and(|id| id != image) {
                continue;
            }
            let mut next = Some(head);
            while let Some(at) = next {
                // History that gc cut off ends here.
                let Ok((variant, _)) = self.repo.load_commit(&at) else { break };
                next = ostree::commit_get_parent(&variant).map(|parent| parent.to_string());
                entries.extend(self.entry(&at, ostree::commit_get_timestamp(&variant))?);
            }
        }
        entries.sort_by(|a, b| b.built.cmp(&a.built).then_with(|| a.image.cmp(&b.image)));
        Ok(entries)
    }

    fn entry(&self, at: &str, built: u64) -> Result<Option<Entry>, StoreError> {
        let dict = self.dict(at)?;
        let text = |key: &str| dict.lookup::<String>(key).ok().flatten();
        let (Some(image), Some(version), Some(commit)) =
            (text("slipway.image"), text("version"), text("slipway.commit"))
        else {
            return Ok(None);
        };
        // The tree's own commit may be gone while history still names it.
        let Ok(tree) = self.dict(&commit) else { return Ok(None) };
        let packages = tree.lookup::<Vec<String>>("slipway.packages").ok().flatten().unwrap_or_default().len();
        let size = tree.lookup::<u64>("slipway.size").ok().flatten().unwrap_or_default();
        Ok(Some(Entry { image, version, commit, built, packages, size }))
    }

    pub(super) fn dict(&self, commit: &str) -> Result<VariantDict, StoreError> {
        let (variant, _) = self.repo.load_commit(commit).map_err(self.failed(format!("load commit {commit}")))?;
        let metadata = variant.child_value(0);
        if metadata.type_() != VariantTy::VARDICT {
            return Err(StoreError::Foreign { commit: commit.to_owned(), what: "its metadata is no table".into() });
        }
        Ok(VariantDict::new(Some(&metadata)))
    }

    /// The commit that `name` means: a version (`1.2`, or `ID@1.2` where several images have it), a commit id or the
    /// beginning of one.
    pub fn resolve(&self, name: &str) -> Result<String, StoreError> {
        let (image, version) = match name.split_once('@') {
            Some((image, version)) => (Some(image), version),
            None => (None, name),
        };
        let refs = self.repo.list_refs(None, NO_CANCEL).map_err(self.failed("list"))?;
        // The commit, and what else to call it.
        let mut found: Vec<(String, String)> = refs
            .into_iter()
            .filter_map(|(key, commit)| {
                let id = key.split('/').nth(1).unwrap_or_default();
                let wanted = image.is_none_or(|image| image == id) && *key == Self::image_ref(id, version);
                wanted.then(|| (commit, format!("{id}@{version}")))
            })
            .collect();
        if found.is_empty() && name.len() >= 6 {
            let commits = self.log(None)?.into_iter().map(|entry| entry.commit);
            found = commits.filter(|commit| commit.starts_with(name)).map(|commit| (commit.clone(), commit)).collect();
        }
        found.sort();
        found.dedup_by(|a, b| a.0 == b.0);
        match found.as_slice() {
            [(one, _)] => Ok(one.clone()),
            [] => Err(StoreError::Unknown(name.to_owned())),
            several => Err(StoreError::Ambiguous {
                name: name.to_owned(),
                of: several.iter().map(|(_, call)| call.clone()).collect(),
            }),
        }
    }

    /// Forgets all but the `keep` newest builds of each image, and frees what only they used.
    pub fn gc(&self, keep: usize) -> Result<Pruned, StoreError> {
        let mut kept_per_image = std::collections::BTreeMap::<String, Vec<String>>::new();
        for entry in self.log(None)? {
            let kept = kept_per_image.entry(entry.image).or_default();
            if kept.len() < keep && !kept.contains(&entry.commit) {
                kept.push(entry.commit);
            }
        }
        for (name, commit) in self.repo.list_refs(None, NO_CANCEL).map_err(self.failed("list"))? {
            let Some(rest) = name.strip_prefix("image/") else { continue };
            let image = rest.split('/').next().unwrap_or_default();
            if !kept_per_image.get(image).is_some_and(|kept| kept.contains(&commit)) {
                self.repo.set_ref_immediate(None, &name, None, NO_CANCEL).map_err(self.failed("forget"))?;
            }
        }
        let depth = i32::try_from(keep.saturating_sub(1)).unwrap_or(i32::MAX);
        let (_, objects, bytes) =
            self.repo.prune(RepoPruneFlags::REFS_ONLY, depth, NO_CANCEL).map_err(self.failed("prune"))?;
        Ok(Pruned { objects: u64::try_from(objects).unwrap_or(0), bytes })
    }
}

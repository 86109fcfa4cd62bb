//! A tree goes into the store, and comes out as a commit id.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use ostree::gio::{FileInfo, FileType, InputStream, MemoryInputStream};
use ostree::glib::{self, Bytes, Variant};
use ostree::prelude::*;
use ostree::{MutableTree, ObjectType, TransactionGuard};
use slipway_images::digest::Digest;
use slipway_images::tree::{Kind, Meta, Node, RootTree, TreePath};

use super::{NO_CANCEL, Store, StoreError};

const TYPE_FOLDER: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_SYMLINK: u32 = 0o120_000;

/// A tree that is in the store. Made by [`StagedTree::commit`] and by nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedTree {
    commit: String,
}

impl SealedTree {
    /// The OSTree commit, 64 hexadecimal digits. The same tree, epoch, id and version give the same commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }
}

/// A tree whose objects are written, and that nobody can see yet. Dropped, it was never there.
pub struct StagedTree<'a> {
    store: &'a Store,
    transaction: TransactionGuard<'a>,
    known: KnownObjects,
    commit: String,
}

impl StagedTree<'_> {
    /// Makes it a build of the store.
    pub fn commit(self) -> Result<SealedTree, StoreError> {
        self.transaction.commit(NO_CANCEL).map_err(self.store.failed("finish"))?;
        self.known.save()?;
        Ok(SealedTree { commit: self.commit })
    }
}

impl Store {
    /// Writes `tree` as `version` of the image `id`. `packages` are kept beside it for `slipway diff`.
    /// `advance` hears of every byte of content that is dealt with.
    pub fn stage(
        &self,
        tree: &RootTree,
        id: &str,
        version: &str,
        epoch: u64,
        packages: &BTreeMap<String, String>,
        advance: &dyn Fn(u64),
    ) -> Result<StagedTree<'_>, StoreError> {
        let transaction = self.repo.auto_transaction(NO_CANCEL).map_err(self.failed("begin"))?;
        let mut known = KnownObjects::load(self.path.join("slipway-objects"));
        let mut sealing = Sealing { store: self, known: &mut known, dirmeta: HashMap::new() };
        let root = sealing.write_tree(tree, advance)?;
        let root = self.repo.write_mtree(&root, NO_CANCEL).map_err(self.failed("write folders"))?;
        let root = root.downcast::<ostree::RepoFile>().map_err(|_| StoreError::Foreign {
            commit: version.to_owned(),
            what: "libostree gave a file of another kind".into(),
        })?;
        let metadata = glib::VariantDict::new(None);
        metadata.insert("version", version);
        metadata.insert("slipway.image", id);
        metadata.insert("slipway.packages", packages_variant(packages));
        metadata.insert("slipway.size", tree_size(tree));
        let commit = self
            .repo
            .write_commit_with_time(
                None,
                Some(&format!("{id} {version}")),
                None,
                Some(&metadata.end()),
                &root,
                epoch,
                NO_CANCEL,
            )
            .map_err(self.failed("commit"))?
            .to_string();
        self.repo.transaction_set_ref(None, &Self::image_ref(id, version), Some(&commit));
        self.record_history(id, version, &root, &commit)?;
        Ok(StagedTree { store: self, transaction, known, commit })
    }
}

fn packages_variant(packages: &BTreeMap<String, String>) -> Variant {
    packages.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().to_variant()
}

fn tree_size(tree: &RootTree) -> u64 {
    tree.iter().map(|(_, node)| if let Kind::File(content) = &node.kind { content.len() } else { 0 }).sum()
}

struct Sealing<'a> {
    store: &'a Store,
    known: &'a mut KnownObjects,
    dirmeta: HashMap<(u32, u32, u32), String>,
}

impl Sealing<'_> {
    fn write_tree(&mut self, tree: &RootTree, advance: &dyn Fn(u64)) -> Result<MutableTree, StoreError> {
        let mut folders: HashMap<TreePath, MutableTree> = HashMap::new();
        let mut files: HashMap<TreePath, String> = HashMap::new();
        let mut hard_links = Vec::new();
        for (path, node) in tree.iter() {
            let parent = path.parent().and_then(|parent| folders.get(&parent).cloned());
            match &node.kind {
                Kind::Folder => {
                    let folder = match parent {
                        None => MutableTree::new(),
                        Some(parent) => parent.ensure_dir(path.name()).map_err(self.store.failed(path.as_str()))?,
                    };
                    folder.set_metadata_checksum(&self.write_dirmeta(&node.meta, path)?);
                    folders.insert(path.clone(), folder);
                }
                Kind::HardLink(target) => hard_links.push((path.clone(), parent, target.clone())),
                // OSTree has no device nodes. Packages bring none, and a recipe's are made again by the composer.
                Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {}
                Kind::File(_) | Kind::Symlink(_) => {
                    let checksum = self.write_file(path, node)?;
                    if let Some(parent) = &parent {
                        parent.replace_file(path.name(), &checksum).map_err(self.store.failed(path.as_str()))?;
                    }
                    if let Kind::File(content) = &node.kind {
                        advance(content.len());
                    }
                    files.insert(path.clone(), checksum);
                }
            }
        }
        for (path, parent, target) in hard_links {
            if let (Some(parent), Some(checksum)) = (parent, files.get(&target)) {
                parent.replace_file(path.name(), checksum).map_err(self.store.failed(path.as_str()))?;
            }
        }
        folders
            .remove(&TreePath::root())
            .ok_or_else(|| StoreError::Foreign { commit: "new".into(), what: "the tree has no root folder".into() })
    }

    fn write_dirmeta(&mut self, meta: &Meta, path: &TreePath) -> Result<String, StoreError> {
        let key = (meta.uid, meta.gid, u32::from(meta.mode));
        if let Some(known) = self.dirmeta.get(&key) {
            return Ok(known.clone());
        }
        let info = file_info(meta, TYPE_FOLDER);
        let variant = ostree::create_directory_metadata(&info, None);
        let checksum = self
            .store
            .repo
            .write_metadata(ObjectType::DirMeta, None, &variant, NO_CANCEL)
            .map_err(self.store.failed(path.as_str()))?
            .to_hex();
        self.dirmeta.insert(key, checksum.clone());
        Ok(checksum)
    }

    fn write_file(&mut self, path: &TreePath, node: &Node) -> Result<String, StoreError> {
        let key = object_key(node);
        let repo = &self.store.repo;
        if let Some(checksum) = self.known.get(&key)
            && repo.has_object(ObjectType::File, checksum, NO_CANCEL).map_err(self.store.failed(path.as_str()))?
        {
            return Ok(checksum.to_owned());
        }
        let failed = |what: &str| self.store.failed(format!("{what} {path}"));
        let xattrs = xattrs_variant(&node.meta);
        let (info, input) = match &node.kind {
            Kind::Symlink(target) => {
                let info = file_info(&node.meta, TYPE_SYMLINK);
                info.set_file_type(FileType::SymbolicLink);
                info.set_size(0);
                info.set_symlink_target(target);
                (info, MemoryInputStream::new())
            }
            Kind::File(content) => {
                let bytes =
                    content.to_vec().map_err(|source| StoreError::Io { path: PathBuf::from(path.as_str()), source })?;
                let info = file_info(&node.meta, TYPE_FILE);
                info.set_file_type(FileType::Regular);
                info.set_size(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
                (info, MemoryInputStream::from_bytes(&Bytes::from_owned(bytes)))
            }
            _ => unreachable_kind(path)?,
        };
        let input: InputStream = input.upcast();
        let (stream, length) =
            ostree::raw_file_to_content_stream(&input, &info, Some(&xattrs), NO_CANCEL).map_err(failed("prepare"))?;
        let checksum = repo.write_content(None, &stream, length, NO_CANCEL).map_err(failed("write"))?.to_hex();
        self.known.insert(key, checksum.clone());
        Ok(checksum)
    }
}

fn unreachable_kind<T>(path: &TreePath) -> Result<T, StoreError> {
    Err(StoreError::Foreign { commit: "new".into(), what: format!("{path} is neither file nor link") })
}

fn file_info(meta: &Meta, kind: u32) -> FileInfo {
    let info = FileInfo::new();
    info.set_attribute_uint32("unix::uid", meta.uid);
    info.set_attribute_uint32("unix::gid", meta.gid);
    info.set_attribute_uint32("unix::mode", kind | u32::from(meta.mode));
    info
}

fn xattrs_variant(meta: &Meta) -> Variant {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = meta
        .xattrs
        .iter()
        .map(|(name, value)| {
            let mut name = name.clone().into_bytes();
            name.push(0);
            (name, value.clone())
        })
        .collect();
    pairs.to_variant()
}

/// Digest over all that decides the checksum of a file object.
fn object_key(node: &Node) -> Digest {
    let mut text = format!("{} {} {:o} ", node.meta.uid, node.meta.gid, node.meta.mode).into_bytes();
    for (name, value) in &node.meta.xattrs {
        text.extend_from_slice(name.as_bytes());
        text.push(0);
        text.extend_from_slice(Digest::of(value).as_bytes());
    }
    match &node.kind {
        Kind::File(content) => text.extend_from_slice(content.digest().as_bytes()),
        Kind::Symlink(target) => {
            text.extend_from_slice(b"link ");
            text.extend_from_slice(target.as_bytes());
        }
        _ => {}
    }
    Digest::of(&text)
}

/// OSTree checksums of what earlier builds wrote, so that a rebuild need not digest every file again. A hint: a
/// missing or damaged file costs time and nothing else, since the object itself is asked for.
struct KnownObjects {
    path: PathBuf,
    map: BTreeMap<Digest, String>,
    changed: bool,
}

impl KnownObjects {
    fn load(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let map = text
            .lines()
            .filter_map(|line| {
                let (key, checksum) = line.split_once(' ')?;
                (checksum.len() == 64).then_some((key.parse().ok()?, checksum.to_owned()))
            })
            .collect();
        Self { path, map, changed: false }
    }

    fn get(&self, key: &Digest) -> Option<&str> {
        self.map.get(key).map(String::as_str)
    }

    fn insert(&mut self, key: Digest, checksum: String) {
        self.map.insert(key, checksum);
        self.changed = true;
    }

    fn save(&self) -> Result<(), StoreError> {
        if !self.changed {
            return Ok(());
        }
        let io = |source| StoreError::Io { path: self.path.clone(), source };
        let folder = self.path.parent().unwrap_or(&self.path);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let mut text = String::new();
        for (key, checksum) in &self.map {
            text.push_str(&key.to_hex());
            text.push(' ');
            text.push_str(checksum);
            text.push('\n');
        }
        file.write_all(text.as_bytes()).map_err(io)?;
        file.persist(&self.path).map_err(|error| io(error.error))?;
        Ok(())
    }
}

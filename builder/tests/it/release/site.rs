//! A small repository with its keys, builds to publish in it, and hosts that look at it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use slipway_builder::keys::{self, KeyFolder, KeysError, Passphrase, Protection, Rotation, first_root, next_root};
use slipway_builder::progress::Silent;
use slipway_builder::release::{
    Added, Addition, Keys, Publisher, ReleaseError, Repository, Terms, Verification, add, verify,
};
use slipway_images::calendar::Moment;
use slipway_images::digest::Digest;
use slipway_images::disk::{DiskIdentity, derived_uuid};
use slipway_images::erofs::{self, Layout, WriteOptions};
use slipway_images::manifest::{Components, Manifest, ManifestContents, PartFile, Parts, RootPart};
use slipway_images::names::PartitionLabel;
use slipway_images::release::{ChannelDocument, Rollout, TargetName};
use slipway_images::tree::{Origin, RootTree, TreePath};
use slipway_images::verity::{Salt, VerityTree};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::sign::TopRole;
use slipway_trust::tuf::{Client, ClientLimits, Clock, DirStore, FolderTransport, TargetPath, TufError};
use tempfile::TempDir;

/// The moment at which most of it happens: 2026-11-22 16:40:05.
pub const NOW: UnixTime = UnixTime::from_secs(1_795_365_605);
pub const DAY: u64 = 86_400;

/// A repository, builds and keys in one folder.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// Keys, and nothing published yet.
    pub fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        make_keys(&site.path("keys"));
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn repo(&self) -> Repository {
        Repository::at(&self.path("repo"))
    }

    pub fn keys(&self) -> KeyFolder {
        KeyFolder::at(&self.path("keys"))
    }

    /// A build of this version of `web`, whose files change a little from each to the next.
    pub fn build(&self, version: u64) -> PathBuf {
        self.build_of(&format!("web_{version}"), version)
    }

    pub fn build_of(&self, label: &str, version: u64) -> PathBuf {
        let folder = self.path(label);
        if !folder.exists() {
            write_build(&folder, &label.parse().unwrap(), version);
        }
        folder
    }

    /// Publishes a version for everybody, with patches from the three before.
    pub fn add(&self, version: u64) -> Added {
        self.try_add(version, "stable", NOW.after(version)).unwrap()
    }

    pub fn try_add(&self, version: u64, channel: &str, now: UnixTime) -> Result<Added, ReleaseError> {
        let addition = self.addition(version, channel);
        self.publish(now, |publisher| add(publisher, &addition, &Silent))
    }

    pub fn addition(&self, version: u64, channel: &str) -> Addition {
        Addition {
            build: self.build(version),
            channel: channel.parse().unwrap(),
            rollout: Rollout::everybody(Moment::from_seconds(NOW.as_secs())),
            min_from: None,
            patch_last: 3,
            patch_from: Vec::new(),
        }
    }

    pub fn publish<T>(
        &self,
        now: UnixTime,
        publish: impl FnOnce(Publisher<'_>) -> Result<T, ReleaseError>,
    ) -> Result<T, ReleaseError> {
        self.publish_with(&self.keys(), now, publish)
    }

    pub fn refresh(&self, now: UnixTime) -> Result<Vec<String>, ReleaseError> {
        let (repository, folder) = (self.repo().lock(|| ()).unwrap(), self.keys());
        Publisher::begin(repository, Keys { folder: &folder, ask: &nobody }, Terms::at(now))?.refresh()
    }

    pub fn publish_with<T>(
        &self,
        keys: &KeyFolder,
        now: UnixTime,
        publish: impl FnOnce(Publisher<'_>) -> Result<T, ReleaseError>,
    ) -> Result<T, ReleaseError> {
        let repository = self.repo().lock(|| ()).unwrap();
        let keys = Keys { folder: keys, ask: &nobody };
        publish(Publisher::begin(repository, keys, Terms::at(now))?)
    }

    /// What a host that has nothing finds.
    pub fn verify(&self) -> Verification {
        verify(&self.repo(), &self.root(), NOW.after(100), &Silent).unwrap()
    }

    /// All is well, and so many releases are there.
    #[track_caller]
    pub fn is_whole(&self, releases: usize) -> Verification {
        let found = self.verify();
        assert_eq!(found.problems, [""; 0]);
        assert_eq!(found.releases.len(), releases);
        found
    }

    pub fn root(&self) -> Vec<u8> {
        fs::read(self.path("keys/1.root.json")).unwrap()
    }

    /// A new root, with new keys for these roles.
    pub fn rotate(&self, roles: &[TopRole]) {
        let folder = self.keys();
        let online =
            roles.iter().map(|role| (*role, folder.create_next_key(*role, &Protection::None).unwrap().public()));
        let rotation = Rotation { online: online.collect(), ..Rotation::default() };
        let draft = next_root(&folder.root().unwrap(), &rotation, (NOW, NOW.after(300 * DAY))).unwrap();
        let root = keys::read(&folder.key_path(TopRole::Root), &nobody).unwrap();
        KeyFolder::sign(&folder.add_draft(&draft).unwrap(), &[root], &[]).unwrap();
    }

    /// The program itself; it works in the site's folder.
    pub fn slipway(&self, arguments: &[&str]) -> Command {
        let mut slipway = Command::new(env!("CARGO_BIN_EXE_slipway"));
        slipway.args(arguments).current_dir(self.folder.path()).env_remove("SLIPWAY_PASSPHRASE");
        slipway
    }

    /// Runs `slipway release …`; its status and what it printed.
    pub fn release(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.slipway(&[&["release"][..], arguments].concat()).output().unwrap();
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
    }

    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        let (status, text) = self.release(arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {text}");
        text
    }
}

pub fn nobody(path: &Path) -> Result<Passphrase, KeysError> {
    Err(KeysError::NobodyToAsk(path.to_owned()))
}

/// A key folder without passphrases, its root key among the others.
pub fn make_keys(path: &Path) {
    make_keys_until(path, NOW.after(300 * DAY));
}

pub fn make_keys_until(path: &Path, expires: UnixTime) {
    make_protected_keys(path, expires, &Protection::None);
}

pub fn make_protected_keys(path: &Path, expires: UnixTime, protection: &Protection) {
    let folder = KeyFolder::at(path);
    let online = folder.create_online_keys(protection).unwrap();
    let root = keys::create(&folder.key_path(TopRole::Root), &Protection::None).unwrap();
    let draft = first_root(&[root.public()], std::num::NonZeroU64::MIN, &online, (NOW, expires)).unwrap();
    KeyFolder::sign(&folder.add_draft(&draft).unwrap(), &[root], &[]).unwrap();
}

pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| byte()).collect()
}

fn write_build(folder: &Path, label: &PartitionLabel, version: u64) {
    fs::create_dir_all(folder).unwrap();
    let mut program = noise(150_000, 1);
    program.iter_mut().step_by(5000).for_each(|byte| *byte = byte.wrapping_add(u8::try_from(version).unwrap()));
    let mut tree = RootTree::new();
    for (path, content) in [
        ("/usr/bin/program", program),
        ("/usr/lib/library", noise(60_000, 2)),
        ("/usr/lib/os-release", format!("IMAGE_VERSION={version}\n").into_bytes()),
    ] {
        let path = TreePath::new(path).unwrap();
        tree.insert_file(path, 0o644, content, Origin::Recipe).unwrap();
    }
    let options = WriteOptions {
        epoch: 1,
        uuid: derived_uuid("root", &["web"]),
        volume_name: "web".to_owned(),
        layout: Layout::default(),
    };
    let mut root = Vec::new();
    erofs::write(&tree, &options, &mut root, &mut |_| ()).unwrap();
    let salt = Salt::for_image(label.id());
    let tree = VerityTree::build(&root, root.len() as u64, &salt, derived_uuid("verity", &["web"])).unwrap();
    let mut verity = Vec::new();
    tree.write_to(&mut verity).unwrap();
    let uki = [format!("kernel roothash={}", tree.root_hash()).into_bytes(), noise(40_000, 3)].concat();
    let part = |file: &str, bytes: &[u8]| PartFile {
        file: file.to_owned(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    let size = root.len() as u64;
    let identity = DiskIdentity::derive(label);
    let manifest = Manifest::new(ManifestContents {
        label: label.clone(),
        description: "A host".to_owned(),
        epoch: 1,
        root_hash: tree.root_hash(),
        salt,
        kernel_release: "6.12.1".to_owned(),
        command_line: "quiet".to_owned(),
        parts: Parts {
            root: RootPart { file: "root.erofs".to_owned(), size, sha256: Digest::of(&root), blocks: size / 4096 },
            verity: part("root.verity", &verity),
            uki: part("uki.efi", &uki),
        },
        disk_guid: identity.disk,
        esp_guid: identity.esp,
        packages: Vec::new(),
        recipe: Digest::of(b"recipe"),
        lock: Digest::of(b"lock"),
        components: Components { agent: Digest::of(b"agent"), initrd: Digest::of(b"initrd") },
    });
    let manifest = manifest.unwrap().to_json().unwrap();
    for (name, bytes) in [("root.erofs", root), ("root.verity", verity), ("uki.efi", uki), ("manifest.json", manifest)]
    {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A host's trust in a repository.
pub struct Host {
    trust: TempDir,
}

impl Host {
    pub fn new(root: &[u8]) -> Self {
        let trust = tempfile::tempdir().unwrap();
        DirStore::create(&trust.path().join("trust"), root).unwrap();
        Self { trust }
    }

    /// The document of the channel, from a repository in a folder, as far as the host follows it.
    pub fn channel(&self, repo: &Path, now: UnixTime) -> Result<ChannelDocument, TufError> {
        let store = DirStore::open(&self.trust.path().join("trust")).unwrap();
        let transport = FolderTransport::new(&repo.join("metadata"), &repo.join("targets"));
        let clock = Clock::new(now, UnixTime::from_secs(0));
        let mut tuf = Client::open(store, transport, ClientLimits::default(), clock)?.refresh()?;
        let name = TargetName::of_channel(&"web".parse().unwrap(), &"stable".parse().unwrap());
        let target = tuf.find(&TargetPath::new(name.as_str()).unwrap())?;
        let mut json = Vec::new();
        tuf.download(&target, &mut json)?;
        Ok(ChannelDocument::from_json(&json).unwrap())
    }

    /// The newest version that the channel offers to it.
    pub fn newest(&self, repo: &Path) -> String {
        let channel = self.channel(repo, NOW.after(100)).unwrap();
        channel.offers.last().unwrap().version.to_string()
    }
}

/// All files below a folder, but for work in progress.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, below: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        let Ok(entries) = fs::read_dir(below) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if name == ".slipway" {
                continue;
            }
            if path.is_dir() {
                walk(folder, &path, files);
            } else {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

pub fn write_files<'a>(folder: &Path, files: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

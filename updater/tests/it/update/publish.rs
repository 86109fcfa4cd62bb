//! A repository in a folder, as `docs/release-format.md` describes it, with throw-away keys.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use slipway_images::calendar::Moment;
use slipway_images::frames;
use slipway_images::release::{
    Architecture, Blocks, ChannelContents, ChannelDocument, Offer, Part, ReleaseContents, ReleaseDocument,
    ReleaseParts, Rollout, RootFacts, TargetName, part_path,
};
use slipway_images::verity::Salt;
use slipway_trust::json::Object;
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::RoleName;
use slipway_trust::tuf::schema::{Header, MetadataVersion, Snapshot, TargetFile, Targets, Timestamp};
use slipway_trust::tuf::sign::{RootBuilder, SigningKey, TopRole, UnsignedRole};

use crate::level_p::world::Release;

/// Blocks in a frame: few, so that small images have many frames.
pub const FRAME_BLOCKS: u32 = 2;

const ISSUED: UnixTime = UnixTime::from_secs(1_794_000_000);
const EXPIRES: UnixTime = UnixTime::from_secs(1_826_000_000);
/// When rollouts start, by default: before the tests' clock stands still.
pub const START: u64 = 1_794_500_000;

/// A repository that releases are put into.
pub struct Repository {
    pub folder: PathBuf,
    keys: [SigningKey; 4],
    version: MetadataVersion,
    documents: BTreeMap<String, Vec<u8>>,
    offers: Vec<Offer>,
    pub floor: Option<slipway_images::version::Version>,
}

impl Repository {
    pub fn new(folder: &Path) -> Self {
        Self::signed_by(folder, [1, 2, 3, 4])
    }

    /// One with keys for root, targets, snapshot and timestamp from these seeds.
    pub fn signed_by(folder: &Path, seeds: [u8; 4]) -> Self {
        let keys = seeds.map(|seed| SigningKey::from_secret(&[seed; 32]));
        Self {
            folder: folder.to_owned(),
            keys,
            version: MetadataVersion::FIRST,
            documents: BTreeMap::new(),
            offers: Vec::new(),
            floor: None,
        }
    }

    /// Puts a release's parts and document into the folder, and offers it to everybody.
    pub fn add(&mut self, release: &Release) -> ReleaseDocument {
        let mut blocks = Vec::new();
        let size = release.root.len() as u64;
        let summary = frames::write(&release.root, size, release.hash(), FRAME_BLOCKS, &mut blocks, &|_| ()).unwrap();
        let packed = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
        let manifest = release.manifest.to_json().unwrap();
        let document = ReleaseDocument::new(ReleaseContents {
            label: release.label.clone(),
            architecture: Architecture::X86_64,
            created: Moment::from_seconds(START),
            root: RootFacts { root_hash: release.hash(), salt: Salt::for_image(release.label.id()), size },
            verity: Part::of(&release.tree_bytes),
            uki: Part::of(&release.kernel),
            manifest: self.part(manifest.as_ref()),
            parts: ReleaseParts {
                verity: self.part(&packed(&release.tree_bytes)),
                uki: self.part(&packed(&release.kernel)),
                blocks: Blocks { index: self.part(&summary.index), frames: self.part(&blocks) },
            },
            patches: Vec::new(),
        })
        .unwrap();
        self.documents.insert(document.target_name().to_string(), document.to_json().unwrap());
        self.offers.push(Offer {
            version: release.label.version().clone(),
            root_hash: release.hash(),
            rollout: Rollout::everybody(Moment::from_seconds(START)),
            min_from: None,
            withdrawn: None,
        });
        self.offers.sort_by(|one, other| one.version.cmp(&other.version));
        self.sign(release);
        document
    }

    /// Changes what is offered of a release.
    pub fn change(&mut self, release: &Release, change: impl FnOnce(&mut Offer)) {
        let offer = self.offers.iter_mut().find(|offer| offer.root_hash == release.hash()).unwrap();
        change(offer);
        self.sign(release);
    }

    fn part(&self, bytes: &[u8]) -> Part {
        let part = Part::of(bytes);
        self.write(&part_path(&part.sha256), bytes);
        part
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn sign(&mut self, release: &Release) {
        let channel = ChannelDocument::new(ChannelContents {
            id: release.label.id().clone(),
            channel: "stable".parse().unwrap(),
            floor: self.floor.clone(),
            offers: self.offers.clone(),
        })
        .unwrap();
        let name: TargetName = channel.target_name();
        self.documents.insert(name.to_string(), channel.to_json().unwrap());
        let [root_key, targets_key, snapshot_key, timestamp_key] = &self.keys;
        let root = TopRole::ALL.into_iter().zip([root_key, targets_key, snapshot_key, timestamp_key]);
        let root =
            root.fold(RootBuilder::first(ISSUED, EXPIRES), |builder, (role, key)| builder.add_key(role, &key.public()));
        let root = root.build().unwrap().sign(root_key).finish(None).unwrap();
        let header = Header::new(self.version, ISSUED, EXPIRES);
        let files = self.documents.iter().map(|(name, bytes)| (name.clone(), TargetFile::of(bytes)));
        let targets =
            Targets { header: header.clone(), targets: files.collect(), delegations: None, extra: Object::new() };
        let targets = UnsignedRole::new(targets).sign(targets_key).finish(root.verified()).unwrap();
        let snapshot = UnsignedRole::<Snapshot>::snapshot(header.clone(), [(RoleName::targets(), &targets)]);
        let snapshot = snapshot.sign(snapshot_key).finish(root.verified()).unwrap();
        let timestamp = UnsignedRole::<Timestamp>::timestamp(header, &snapshot);
        let timestamp = timestamp.sign(timestamp_key).finish(root.verified()).unwrap();
        let version = self.version;
        self.write("metadata/1.root.json", root.bytes());
        self.write(&format!("metadata/{version}.targets.json"), targets.bytes());
        self.write(&format!("metadata/{version}.snapshot.json"), snapshot.bytes());
        self.write("metadata/timestamp.json", timestamp.bytes());
        for (name, bytes) in &self.documents {
            self.write(&format!("targets/{}.{name}", slipway_images::digest::Digest::of(bytes)), bytes);
        }
        self.version = self.version.next().unwrap();
    }

    /// The root that hosts trust from the start.
    pub fn root(&self) -> Vec<u8> {
        fs::read(self.folder.join("metadata/1.root.json")).unwrap()
    }
}

//! A host with a disk, as the builder makes it, and images to install on it.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::disk::{DiskIdentity, DiskLayout, DiskSizes, FilledSlot, Part, PartGuid, Slot, write_table};
use slipway_images::esp::{EspOptions, FALLBACK_LOADER, LOADER_CONF, SYSTEMD_BOOT, VolumeLabel};
use slipway_images::manifest::{Components, Manifest, ManifestContents, PartFile, Parts, RootPart};
use slipway_images::names::{BootEntryName, PartitionLabel};
use slipway_images::verity::{BlockIndex, RootHash, Salt, VerityTree};
use slipway_updater::agent::{Agent, AgentError, Outcome, Surroundings};
use slipway_updater::disk::Disk;
use slipway_updater::ledger::{BootId, UnixSeconds};
use slipway_updater::machine::Which;
use slipway_updater::release::{ReleaseSource, TakeBlock, Target, VerifiedRelease};
use uuid::Uuid;

use super::recorded::{Cursor, Image, RecordedDisk, RecordedLedger};

const MIB: u64 = 1 << 20;
pub const SIZES: DiskSizes = DiskSizes { disk: 48 * MIB, esp: 34 * MIB, slot: MIB };
pub const LEDGER: u64 = 44 * MIB;
const BLOCKS: u64 = 40;

/// An image with all its parts.
#[derive(Clone)]
pub struct Release {
    pub label: PartitionLabel,
    pub root: Vec<u8>,
    pub tree: VerityTree,
    pub tree_bytes: Vec<u8>,
    pub kernel: Vec<u8>,
    pub manifest: Manifest,
}

impl Release {
    /// Version `number` of the image: half of its blocks are those of every version.
    pub fn new(number: u64) -> Arc<Self> {
        static MADE: OnceLock<Vec<Arc<Release>>> = OnceLock::new();
        let made = MADE.get_or_init(|| (0..8).map(|number| Arc::new(Self::make(number, BLOCKS + number))).collect());
        Arc::clone(&made[usize::try_from(number).unwrap()])
    }

    pub fn make(number: u64, blocks: u64) -> Self {
        let label: PartitionLabel = format!("edge-web_2026.11.{number}").parse().unwrap();
        let mut root = Vec::new();
        for block in 0..blocks {
            let seed = if block.is_multiple_of(2) { format!("shared {block}") } else { format!("{label} {block}") };
            root.extend((0..128_u8).flat_map(|part| *Digest::of(format!("{seed} {part}").as_bytes()).as_bytes()));
        }
        let salt = Salt::for_image(label.id());
        let tree = VerityTree::build(&root, root.len() as u64, &salt, Uuid::nil()).unwrap();
        let mut tree_bytes = Vec::new();
        tree.write_to(&mut tree_bytes).unwrap();
        let filler = "x".repeat(1700);
        let kernel =
            format!("roothash={}\nid={}\nfiller={filler}\nend=end\n", tree.root_hash(), label.id()).into_bytes();
        let part = |file: &str, bytes: &[u8]| PartFile {
            file: file.to_owned(),
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        };
        let manifest = Manifest::new(ManifestContents {
            label: label.clone(),
            description: String::new(),
            epoch: 1,
            root_hash: tree.root_hash(),
            salt,
            kernel_release: "6.12".into(),
            command_line: format!("roothash={}", tree.root_hash()),
            parts: Parts {
                root: RootPart {
                    file: "root.erofs".into(),
                    size: root.len() as u64,
                    sha256: Digest::of(&root),
                    blocks: root.len() as u64 / 4096,
                },
                verity: part("root.verity", &tree_bytes),
                uki: part("uki.efi", &kernel),
            },
            disk_guid: Uuid::nil(),
            esp_guid: PartGuid(Uuid::nil()),
            packages: Vec::new(),
            recipe: Digest::of(b""),
            lock: Digest::of(b""),
            components: Components { agent: Digest::of(b""), initrd: Digest::of(b"") },
        })
        .unwrap();
        Self { label, root, tree, tree_bytes, kernel, manifest }
    }

    pub fn hash(&self) -> RootHash {
        self.tree.root_hash()
    }

    pub fn verified(&self) -> VerifiedRelease {
        VerifiedRelease::from_document_verified_by_caller(Target::of_manifest(&self.manifest))
    }
}

/// Delivers a release from memory.
pub struct MemorySource {
    pub release: Arc<Release>,
    /// Blocks that were asked for.
    pub asked: u64,
}

impl MemorySource {
    pub fn new(release: &Arc<Release>) -> Self {
        Self { release: Arc::clone(release), asked: 0 }
    }
}

impl ReleaseSource for MemorySource {
    fn tree(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.release.tree_bytes.as_slice()))
    }

    fn kernel(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.release.kernel.as_slice()))
    }

    fn blocks(&mut self, wanted: &[Range<u64>], take: &mut TakeBlock<'_>) -> io::Result<()> {
        for index in wanted.iter().cloned().flatten() {
            self.asked += 1;
            let start = usize::try_from(index).unwrap() * 4096;
            take(BlockIndex(index), &self.release.root[start..start + 4096])?;
        }
        Ok(())
    }
}

/// A clock that stands still, and a log of two lines.
#[derive(Clone, Debug)]
pub struct Still(pub BootId);

impl Surroundings for Still {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(1_795_000_000)
    }

    fn boot(&self) -> Option<BootId> {
        Some(self.0.clone())
    }

    fn log_tail(&self, _: Which, _: RootHash) -> Vec<String> {
        vec!["kernel: hello".into(), "web.service: failed".into()]
    }
}

pub type TestAgent = Agent<RecordedDisk, RecordedLedger, Still>;

/// The disk as it comes from the builder, with this version in slot a.
pub fn factory(release: &Release) -> Image {
    let layout = DiskLayout::plan(SIZES).unwrap();
    let mut image = Image::new(layout.disk_bytes());
    let identity = DiskIdentity::derive(&release.label);
    let filled = FilledSlot {
        label: release.label.clone(),
        root: release.hash().root_part_guid().into(),
        verity: release.hash().verity_part_guid().into(),
    };
    write_table(&mut Cursor::whole(&mut image), layout, &identity, &filled).unwrap();
    image.write(&release.root, layout.span(Part::Root(Slot::A)).bytes().start).unwrap();
    image.write(&release.tree_bytes, layout.span(Part::Verity(Slot::A)).bytes().start).unwrap();
    let span = layout.span(Part::Esp).bytes();
    let loader = Content::from_bytes(vec![0x5a; 3000]);
    let options = EspOptions {
        serial: identity.esp_serial,
        label: VolumeLabel::ESP,
        files: vec![
            (FALLBACK_LOADER.to_owned(), loader.clone()),
            (SYSTEMD_BOOT.to_owned(), loader),
            (LOADER_CONF.to_owned(), Content::from_bytes(*b"timeout 0\n")),
            (BootEntryName::good(release.label.clone()).path(), Content::from_bytes(release.kernel.clone())),
        ],
    };
    let mut esp = Cursor { image: &mut image, start: span.start, len: span.end - span.start, position: 0 };
    slipway_images::esp::format(&mut esp, span.end - span.start, &options).unwrap();
    image
}

/// Starts the agent on a disk that runs the system with this root hash.
pub fn agent(disk: &RecordedDisk, booted: RootHash) -> Result<(TestAgent, Outcome), AgentError> {
    let store = RecordedLedger::new(disk.clone(), LEDGER);
    Agent::start(Disk::new(disk.clone(), booted), store, Still(disk.boot()))
}

/// Installs a release.
pub fn install(agent: &mut TestAgent, release: &Arc<Release>) -> Result<(), AgentError> {
    let admitted = agent.admit(&release.verified())?;
    agent.install(admitted, &mut MemorySource::new(release)).map(|_| ())
}

//! Installations by patch: what is made, what is fetched, what happens when a patch is bad, and power cuts.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use slipway_images::digest::Digest;
use slipway_images::disk::{DiskLayout, Part as DiskPart, Slot};
use slipway_images::frames;
use slipway_images::patch::{Op, Pair, PatchSummary, WindowPlan, plan_windows, write};
use slipway_images::release::{
    Architecture, Blocks, Part, Patch, PatchBase, PatchPart, ReleaseContents, ReleaseDocument, ReleaseParts, RootFacts,
    part_path,
};
use slipway_images::verity::{BLOCK_SIZE, GROUP_BLOCKS, Salt, VerityTree, head_len};
use slipway_updater::agent::AgentError;
use slipway_updater::disk::device::BlockDevice as _;
use slipway_updater::machine::State;
use slipway_updater::net::Client;
use slipway_updater::source::{Parts, PatchedSource, Patience, Place, Traffic};
use tempfile::TempDir;
use uuid::Uuid;

use super::firmware;
use super::recorded::{Image, Op as DiskOp, RecordedDisk};
use super::scenarios::{Phase, Step, tell_checked};
use super::world::{Release, SIZES, TestAgent, agent, factory};

/// Two groups of the hash tree, the second not whole.
const BLOCKS: u64 = 200;

/// A repository in a folder with one release.
struct Repository {
    folder: TempDir,
    document: ReleaseDocument,
}

impl Repository {
    /// The second version with patches from the first.
    fn new(old: &Release, new: &Release) -> Self {
        Self::with(old, new, &root_patch(old, new, &new.root, &tree_head(&new.tree)), &kernel_patch(old, new))
    }

    fn with(old: &Release, new: &Release, root: &Made, kernel: &Made) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let put = |bytes: &[u8]| {
            let part = Part::of(bytes);
            let path = folder.path().join(part_path(&part.sha256));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
            part
        };
        let mut stored = Vec::new();
        let summary = frames::write(&new.root, new.root.len() as u64, new.hash(), 16, &mut stored, &|_| ()).unwrap();
        let packed = |bytes: &[u8]| put(&zstd::bulk::compress(bytes, 1).unwrap());
        let from =
            PatchBase { version: old.label.version().clone(), root_hash: old.hash(), uki: Digest::of(&old.kernel) };
        let patch = |(bytes, summary): &Made| {
            let head = Part { size: summary.head_len, sha256: summary.head_digest };
            let Part { size, sha256 } = put(bytes);
            PatchPart { size, sha256, head }
        };
        let contents = ReleaseContents {
            label: new.label.clone(),
            architecture: Architecture::X86_64,
            created: "2026-11-22T16:40:05Z".parse().unwrap(),
            root: RootFacts {
                root_hash: new.hash(),
                salt: Salt::for_image(new.label.id()),
                size: new.root.len() as u64,
            },
            verity: Part::of(&new.tree_bytes),
            uki: Part::of(&new.kernel),
            manifest: put(b"{}"),
            parts: ReleaseParts {
                verity: packed(&new.tree_bytes),
                uki: packed(&new.kernel),
                blocks: Blocks { index: put(&summary.index), frames: put(&stored) },
            },
            patches: vec![Patch { from, root: patch(root), uki: Some(patch(kernel)) }],
        };
        Self { document: ReleaseDocument::new(contents).unwrap(), folder }
    }

    fn patch(&self) -> &Patch {
        &self.document.patches[0]
    }

    fn file(&self, part: Part) -> PathBuf {
        self.folder.path().join(part_path(&part.sha256))
    }

    /// Flips a bit of a patch, as a server that sends something else.
    fn damage(&self, patch: PatchPart, at: u64) {
        let file = self.file(patch.part());
        let mut bytes = fs::read(&file).unwrap();
        bytes[usize::try_from(at).unwrap()] ^= 1;
        fs::write(file, bytes).unwrap();
    }

    fn install(&self, agent: &mut TestAgent, new: &Release) -> Result<Traffic, AgentError> {
        self.install_from(agent, new, &[self.folder.path()])
    }

    fn install_from(
        &self,
        agent: &mut TestAgent,
        new: &Release,
        folders: &[&std::path::Path],
    ) -> Result<Traffic, AgentError> {
        let admitted = agent.admit(&new.verified())?;
        let places = folders.iter().map(|folder| Place::Folder(folder.to_path_buf())).collect();
        let mut parts = Parts::new(places, Client::default(), Patience::default());
        let (running, kernel) = (agent.disk().booted(), agent.disk().running_kernel().unwrap());
        agent.install(admitted, &mut PatchedSource::new(&self.document, &mut parts, running, true, Some(kernel)))?;
        Ok(parts.traffic())
    }
}

type Made = (Vec<u8>, PatchSummary);

fn tree_head(tree: &VerityTree) -> Vec<u8> {
    let mut bytes = Vec::new();
    tree.write_to(&mut bytes).unwrap();
    bytes.truncate(usize::try_from(head_len(tree.data_len())).unwrap());
    bytes
}

/// One window for each group, made of blocks that are in both versions and of such as are not.
fn root_patch(old: &Release, new: &Release, root: &[u8], tree: &[u8]) -> Made {
    let block = |number: u64| match number % 4 {
        0 | 2 if number * BLOCK_SIZE < old.root.len() as u64 => Op::Copy { old: number * BLOCK_SIZE, len: BLOCK_SIZE },
        1 => Op::Add { old: 0, len: BLOCK_SIZE },
        _ => Op::Insert { len: BLOCK_SIZE },
    };
    let blocks: Vec<Op> = (0..root.len() as u64 / BLOCK_SIZE).map(block).collect();
    let groups = blocks.chunks(usize::try_from(GROUP_BLOCKS).unwrap());
    let windows: Vec<_> = groups.flat_map(plan_windows).collect();
    let name = |release: &Release| Digest::from_bytes(*release.hash().as_bytes());
    made([name(old), name(new)], &old.root, root, &windows, tree)
}

/// The first line names the root; the rest is that of any version.
fn kernel_patch(old: &Release, new: &Release) -> Made {
    let same = new.kernel.len() as u64 - 73;
    let windows = plan_windows(&[Op::Insert { len: 73 }, Op::Copy { old: 73, len: same }]);
    made([&old.kernel, &new.kernel].map(|kernel| Digest::of(kernel)), &old.kernel, &new.kernel, &windows, &[])
}

fn made([old, new]: [Digest; 2], old_bytes: &[u8], new_bytes: &[u8], windows: &[WindowPlan], tree: &[u8]) -> Made {
    let pair = Pair { old, old_len: old_bytes.len() as u64, new, new_len: new_bytes.len() as u64 };
    let mut bytes = Vec::new();
    let summary = write(pair, windows, &old_bytes.to_vec(), &new_bytes.to_vec(), tree, &mut bytes, &|_| ()).unwrap();
    (bytes, summary)
}

fn pair() -> [Release; 2] {
    [1, 2].map(|number| Release::make(number, BLOCKS))
}

/// Installs on a disk, and boots what came of it.
fn installed(repository: &Repository, image: Image, old: &Release, new: &Release) -> (TestAgent, Traffic) {
    let disk = RecordedDisk::new(image);
    let (mut agent, _) = agent(&disk, old.hash()).unwrap();
    let traffic = repository.install(&mut agent, new).unwrap();
    let booted = firmware::boot(&mut disk.image()).unwrap();
    assert_eq!((booted.root_hash, booted.failures), (new.hash(), Vec::new()));
    (agent, traffic)
}

#[test]
fn a_patch_makes_root_tree_and_kernel_and_nothing_else_is_fetched() {
    let [old, new] = pair();
    let repository = Repository::new(&old, &new);
    let (agent, traffic) = installed(&repository, factory(&old), &old, &new);
    let origin = agent.origin().unwrap();
    assert_eq!((origin.patched, origin.kept, origin.copied, origin.fetched), (BLOCKS, 0, 0, 0));
    assert_eq!(agent.patch_failure(), None);
    let patch = repository.patch();
    assert_eq!(traffic.bytes, patch.root.size + patch.uki.unwrap().size);
    let mut tree = vec![0; new.tree_bytes.len()];
    agent.disk().device().read_exact_at(&mut tree, agent.survey().unwrap().other().verity.start).unwrap();
    assert!(tree == new.tree_bytes);
}

#[test]
fn an_interrupted_patch_goes_on_with_the_window_that_is_missing() {
    let [old, new] = pair();
    let repository = Repository::new(&old, &new);
    let slot = DiskLayout::plan(SIZES).unwrap().span(DiskPart::Root(Slot::B)).bytes().start;
    let whole = RecordedDisk::new(factory(&old));
    let (mut probe, _) = agent(&whole, old.hash()).unwrap();
    let before = whole.log().len();
    repository.install(&mut probe, &new).unwrap();
    let second = slot + GROUP_BLOCKS * BLOCK_SIZE;
    let is_second = |op: &DiskOp| matches!(op, DiskOp::Write { offset, .. } if *offset == second);
    let writes = whole.log().iter().position(is_second).unwrap() - before;

    let disk = RecordedDisk::new(factory(&old));
    let (mut cut_off, _) = agent(&disk, old.hash()).unwrap();
    disk.fail_after(writes);
    repository.install(&mut cut_off, &new).unwrap_err();
    let (agent, traffic) = installed(&repository, disk.image(), &old, &new);
    let origin = agent.origin().unwrap();
    assert_eq!((origin.kept, origin.patched), (GROUP_BLOCKS, BLOCKS - GROUP_BLOCKS));
    let patch = repository.patch();
    assert!(traffic.bytes < patch.root.head.size + patch.root.size / 2 + patch.uki.unwrap().size, "{traffic:?}");
}

#[test]
fn a_place_that_sends_other_bytes_is_given_up_for_one_that_does_not() {
    let [old, new] = pair();
    let [bad, good] = [0, 1].map(|_| Repository::new(&old, &new));
    for at in [9, bad.patch().root.size - 1] {
        bad.damage(bad.patch().root, at);
        let disk = RecordedDisk::new(factory(&old));
        let (mut agent, _) = agent(&disk, old.hash()).unwrap();
        good.install_from(&mut agent, &new, &[bad.folder.path(), good.folder.path()]).unwrap();
        assert_eq!((agent.origin().unwrap().patched, agent.patch_failure()), (BLOCKS, None));
    }
}

/// What is said of a patch that can't be used. What it should have made comes by blocks, or as a whole.
fn falls_back(repository: &Repository, image: Image, [old, new]: &[Release; 2], said: &str) {
    let disk = RecordedDisk::new(image);
    let (mut agent, _) = agent(&disk, old.hash()).unwrap();
    repository.install(&mut agent, new).unwrap();
    let booted = firmware::boot(&mut disk.image()).unwrap();
    assert_eq!((booted.root_hash, booted.failures), (new.hash(), Vec::new()), "{said}");
    let failure = agent.patch_failure().unwrap_or_else(|| panic!("{said}: the patch was used"));
    assert!(failure.contains(said), "{said}: {failure}");
}

#[test]
fn s24_what_is_wrong_with_a_patch_is_told_and_the_rest_comes_whole() {
    let versions = pair();
    let [old, new] = &versions;
    let head = tree_head(&new.tree);
    let good = || (root_patch(old, new, &new.root, &head), kernel_patch(old, new));
    let said_of = |root: &Made, kernel: &Made, said: &str| {
        falls_back(&Repository::with(old, new, root, kernel), factory(old), &versions, said);
    };
    let (root, kernel) = good();
    said_of(&root_patch(new, new, &new.root, &head), &kernel, "is for other roots");
    said_of(&root_patch(old, old, &old.root, &tree_head(&old.tree)), &kernel, "is for other roots");
    said_of(&root, &kernel_patch(new, new), "is for other kernel images");
    said_of(&root, &kernel_patch(old, old), "is for other kernel images");
    let mut longer = good().0;
    longer.0.push(0);
    said_of(&longer, &kernel, "another length than was signed");

    let mut wrong = new.root.clone();
    wrong[151 * 4096] ^= 1;
    said_of(&root_patch(old, new, &wrong, &head), &kernel, "group");
    let salt = Salt::for_image(new.label.id());
    let named = VerityTree::build(&new.root, new.root.len() as u64, &salt, Uuid::from_u128(7)).unwrap();
    said_of(&root_patch(old, new, &new.root, &tree_head(&named)), &kernel, "digest differs");

    // The disk fails under the running system: what it gives is not taken for good.
    let running = DiskLayout::plan(SIZES).unwrap().span(DiskPart::Root(Slot::A)).bytes().start;
    let mut image = factory(old);
    image.write(&[0xff; 512], running + 130 * 4096).unwrap();
    falls_back(&Repository::new(old, new), image, &versions, "group");
}

#[test]
fn s24_a_patch_that_is_gone_is_told() {
    let versions = pair();
    let [old, new] = &versions;
    let repository = Repository::new(old, new);
    fs::remove_file(repository.file(repository.patch().root.part())).unwrap();
    falls_back(&repository, factory(old), &versions, "doesn't have it");
    let repository = Repository::new(old, new);
    fs::remove_file(repository.file(repository.patch().uki.unwrap().part())).unwrap();
    falls_back(&repository, factory(old), &versions, "doesn't have it");
}

#[test]
fn s03_power_cut_at_every_write_of_a_patched_installation() {
    let [v1, v2] = [1, 2].map(Release::new);
    let repository = Repository::new(&v1, &v2);
    let act = |agent: &mut TestAgent| {
        if agent.survey()?.running_label == v2.label {
            return Ok(Step::Reached);
        }
        if agent.state() != State::Armed {
            repository.install(agent, &v2)?;
            assert_eq!(agent.patch_failure(), None);
        }
        agent.restart()?;
        Ok(Step::Restart)
    };
    let image = factory(&v1);
    let (v1, v2): (&Arc<Release>, &Arc<Release>) = (&v1, &v2);
    let phase = Phase {
        name: "an installation by patch",
        before: &image,
        booted: v1.hash(),
        act: &act,
        may_boot: &[v1, v2],
        ends_with: v2,
        every: 16,
    };
    let (_, count) = phase.run();
    tell_checked("s03_power_cut_at_every_write_of_a_patched_installation", count);
    assert!(count > 2000, "{count}");
}

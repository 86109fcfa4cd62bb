//! A composed root becomes files of an image and a commit of the store, side by side.

use slipway_images::disk::DiskLayout;
use slipway_images::names::PartitionLabel;
use slipway_images::tree::{Kind, RootTree};

use super::image::{
    KernelParts, SealedRoot, Written, check_boot_fit, check_root_fit, plan_disk, seal_root, write_disk, write_root,
    write_uki,
};
use super::outcome::root_versions;
use super::output::OutputFolder;
use super::parts::BootFiles;
use super::{BuildError, Clock, Components, ImageError, Place, initrd, root_text};
use crate::compose::Composition;
use crate::lock::Lock;
use crate::progress::{Event, Phase};
use crate::recipe::Recipe;
use crate::store::{SealedTree, StagedTree, Store, StoreError};

/// What there is to seal, and with what.
pub struct Sealing<'a> {
    pub recipe: &'a Recipe,
    pub lock: &'a Lock,
    pub place: &'a Place<'a>,
    pub output: &'a OutputFolder,
    pub label: &'a PartitionLabel,
    pub composition: &'a Composition,
    pub components: &'a Components,
    pub boot: &'a BootFiles,
}

/// A tree that is in the store, and whose image is in the output folder.
pub struct Sealed {
    pub tree: SealedTree,
    pub image: WrittenImage,
}

/// The files of an image.
pub struct WrittenImage {
    pub root: SealedRoot,
    pub uki: Written,
    /// Bytes of the compressed initrd.
    pub initrd: u64,
}

impl Sealing<'_> {
    /// Writes everything. The commit comes last: the store lists no build that doesn't fit its disk, or that could not be
    /// written whole.
    pub fn run(&self, clock: &mut Clock) -> Result<Sealed, BuildError> {
        let (recipe, tree) = (self.recipe, &self.composition.tree);
        let layout = plan_disk(&recipe.disk)?;
        check_root_fit(layout, &recipe.disk, tree, self.label, self.lock.epoch)?;
        let bytes = content_bytes(tree);
        let store = Store::open_or_create(&self.place.out.join("store"))?;
        std::thread::scope(|scope| {
            let image = scope.spawn(|| self.image(layout, bytes, clock));
            let staged = self.stage(&store, bytes);
            let image = image.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let tree = staged?.commit()?;
            self.event(Event::Done(Phase::Seal, &tree.commit()[..12]));
            Ok(Sealed { tree, image })
        })
    }

    fn event(&self, event: Event<'_>) {
        self.place.depot.progress.event(event);
    }

    fn stage<'s>(&self, store: &'s Store, bytes: u64) -> Result<StagedTree<'s>, StoreError> {
        self.event(Event::Start(Phase::Seal, Some(bytes)));
        let advance = |count| self.event(Event::Advance(Phase::Seal, count));
        let (id, version) = (self.label.id().as_str(), self.label.version().as_str());
        store.stage(&self.composition.tree, id, version, self.lock.epoch, &root_versions(self.lock), &advance)
    }

    fn image(&self, layout: DiskLayout, bytes: u64, clock: &mut Clock) -> Result<WrittenImage, BuildError> {
        let Self { recipe, output, label, composition, boot, .. } = *self;
        let os_release = root_text(&composition.tree, "/usr/lib/os-release")?;
        let (root, initrd) = std::thread::scope(|scope| {
            let initrd = scope.spawn(|| self.initrd());
            let root = self.root(bytes);
            (root, initrd.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (root, initrd) = (root?, initrd?);
        clock.lap("seal and write root");
        let kernel = KernelParts {
            stub: &boot.stub,
            kernel: &composition.kernel.vmlinuz,
            release: &composition.kernel.release,
            initrd: &initrd,
            os_release: &os_release,
            command_line: &recipe.kernel.command_line,
        };
        let (uki, uki_written) = write_uki(output, &root, &kernel)?;
        check_boot_fit(&recipe.disk, uki_written.size, boot.loader.len())?;
        write_disk(output, layout, label, &root, &uki, &boot.loader, recipe.boot.timeout)?;
        clock.lap("kernel image and disk");
        Ok(WrittenImage { root, uki: uki_written, initrd: initrd.len() as u64 })
    }

    fn root(&self, bytes: u64) -> Result<SealedRoot, ImageError> {
        self.event(Event::Start(Phase::Write, Some(bytes)));
        let advance = |count| self.event(Event::Advance(Phase::Write, count));
        let root = write_root(self.output, &self.composition.tree, self.label, self.lock.epoch, &advance)?;
        let root = seal_root(self.output, root, self.label)?;
        self.event(Event::Done(Phase::Write, &format!("root hash {}", &root.root_hash.to_hex()[..12])));
        Ok(root)
    }

    fn initrd(&self) -> Result<Vec<u8>, initrd::InitrdError> {
        let modules = &self.composition.kernel.initrd_modules;
        initrd::initrd(&self.components.initrd, modules, self.place.depot.cache.root())
    }
}

fn content_bytes(tree: &RootTree) -> u64 {
    tree.iter().map(|(_, node)| if let Kind::File(content) = &node.kind { content.len() } else { 0 }).sum()
}

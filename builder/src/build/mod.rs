//! A build: from a recipe and its lock to the files of `out/ID_VERSION/`.

mod image;
mod initrd;
mod key;
mod output;
mod packages;
mod parts;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::disk::DiskIdentity;
use slipway_images::manifest::{
    Components as ManifestComponents, Manifest, ManifestContents, ManifestError, ManifestPackage, PartFile, Parts,
    RootPart,
};
use slipway_images::names::{ImageId, NameError, PartitionLabel};
use slipway_images::tree::{Kind, RootTree, TreePath};
use slipway_images::verity::{BLOCK_SIZE, Salt};
use slipway_images::version::{Version, VersionError};

pub use image::{DISK, ImageError, ROOT, UKI, VERITY};
pub use initrd::InitrdError;
pub use output::OutputError;
pub use packages::{Depot, PackagesError, Unpacked};

use crate::compose::closure::{BrokenRoot, ClosureError, Finding, stop_on_errors};
use crate::compose::container::ContainerError;
use crate::compose::download::DownloadError;
use crate::compose::prune::Pruned;
use crate::compose::scripts::{ScriptReport, UnrecognisedScripts, Verdict};
use crate::compose::{self, ComposeError, Composition, Inputs};
use crate::lock::{Lock, LockedPackage, Role};
use crate::progress::{Event, Phase};
use crate::recipe::{FileSource, Recipe};
use crate::report::{PrunedPath, Report, ScriptNote, folder_sizes, html, package_sizes, text};
use crate::sbom::sbom;
use crate::store::{SealedTree, Store, StoreError};
use image::{KernelParts, SealedRoot, Written, check_fit, command_line, seal_root, write_disk, write_root, write_uki};
use key::{KeyBuilder, RECORD, Record};
use output::OutputFolder;

/// What is in the image, and how it was made.
pub const MANIFEST: &str = "manifest.json";
/// The bill of materials.
pub const SBOM: &str = "sbom.cdx.json";
/// The report for a terminal.
pub const REPORT: &str = "report.txt";
/// The report for a browser.
pub const REPORT_HTML: &str = "report.html";
/// The data of the reports, which a test boot completes.
pub const REPORT_JSON: &str = "report.json";

/// The outputs that depend on nothing but recipe, lock and components.
pub const REPRODUCIBLE: [&str; 6] = [DISK, ROOT, VERITY, UKI, MANIFEST, SBOM];

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A name that doesn't fit where it has to go.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A version that can't be one.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A program that goes into every image is missing.
    #[error("`{0}` is missing: `make build` makes it; `--components DIR` says where it is")]
    Component(PathBuf),
    /// A file that the recipe names, or a component, can't be read.
    #[error("can't read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Packages.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// Maintainer scripts that nobody has read.
    #[error(transparent)]
    Scripts(#[from] UnrecognisedScripts),
    /// The root.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// A file that the boot package or the root has to bring isn't there.
    #[error("no `{path}` in {place}")]
    Lacking {
        /// The file.
        path: String,
        /// Where it was looked for.
        place: String,
    },
    /// The root could not be checked.
    #[error(transparent)]
    Check(#[from] ClosureError),
    /// The root lacks something that it needs.
    #[error(transparent)]
    Broken(#[from] BrokenRoot),
    /// The initrd.
    #[error(transparent)]
    Initrd(#[from] InitrdError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image files.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The output folder.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What a download becomes.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A container's image.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A text output can't be serialised.
    #[error("can't write `{name}`")]
    Serialise {
        /// Which.
        name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// Where a build finds and leaves things.
pub struct Place<'a> {
    /// Packages.
    pub depot: Depot<'a>,
    /// The folder with `slipway-agent` and `slipway-initrd`.
    pub components: &'a Path,
    /// The folder that outputs and the store are in.
    pub out: &'a Path,
}

/// A build that is done.
pub struct Built {
    /// The output folder.
    pub folder: PathBuf,
    /// Whether there was nothing to do.
    pub unchanged: bool,
    /// What was built.
    pub report: Report,
}

/// Builds the image of `recipe` with the packages of `lock`, unless it is there already.
pub fn build(recipe: &Recipe, lock: &Lock, place: &Place<'_>) -> Result<Built, BuildError> {
    let id = ImageId::new(&recipe.image.id)?;
    let label = PartitionLabel::new(id, Version::new(&recipe.image.version)?)?;
    let components = Components::read(place.components)?;
    let local_files = local_files(recipe)?;
    let key = build_key(recipe, lock, &components, &local_files)?;
    let folder = place.out.join(label.to_string());
    if Record::is_current(&folder, key)
        && let Some(report) = read_report(&folder)
    {
        return Ok(Built { folder, unchanged: true, report });
    }
    let output = OutputFolder::begin(place.out, &label.to_string(), || {
        place.depot.progress.event(Event::Note("another build of this image is running; waiting for it"));
    })?;
    let mut clock = Clock::default();
    let packages = place.depot.packages(recipe, lock)?;
    clock.lap("fetch and unpack");

    place.depot.progress.event(Event::Start(Phase::Compose, None));
    let scripts = compose::scripts::check(&packages.root, &recipe.accepted_scripts)?;
    let containers = parts::containers(recipe, lock, &packages.container, place.out)?;
    let composition = compose::compose(&Inputs {
        recipe,
        lock,
        packages: &packages.root,
        agent: components.agent.clone(),
        containers: &containers,
        downloads: parts::downloads(recipe, lock, &place.depot, place.out)?,
        local_files,
    })?;
    let findings = stop_on_errors(compose::closure::check(&composition.tree)?)?;
    place.depot.progress.event(Event::Done(Phase::Compose, &format!("{} paths", composition.tree.len())));
    clock.lap("compose and check");

    let boot = parts::boot_files(recipe, &packages.boot)?;
    let os_release = root_text(&composition.tree, "/usr/lib/os-release")?;
    let Sealed { tree: commit, root, initrd } = seal(lock, place, &output, &label, &composition, &components)?;
    clock.lap("seal and write root");
    let kernel = KernelParts {
        stub: &boot.stub,
        kernel: &composition.kernel.vmlinuz,
        release: &composition.kernel.release,
        initrd: &initrd,
        os_release: &os_release,
        command_line: &recipe.kernel.command_line,
    };
    let (uki, uki_written) = write_uki(&output, &root, &kernel)?;
    let layout = check_fit(&recipe.disk, &root, uki_written.size, boot.loader.len())?;
    write_disk(&output, layout, &label, &root, &uki, &boot.loader, recipe.boot.timeout)?;
    clock.lap("kernel image and disk");

    let outcome = Outcome { recipe, lock, label: &label, commit: &commit, root: &root, uki: uki_written };
    let manifest = outcome.manifest(&components, &composition.kernel.release)?;
    output.write(MANIFEST, &manifest.to_json()?)?;
    write_json(&output, SBOM, &sbom(recipe, lock))?;
    let report = outcome.report(&composition, &scripts, &findings, boot.loader.len(), initrd.len() as u64, clock);
    for (name, bytes) in report_files(&report)? {
        output.write(name, &bytes)?;
    }
    let record =
        Record::of(key, &output.path("."), &REPRODUCIBLE).map_err(|e| OutputError::new("read", &output.path(""), e))?;
    write_json(&output, RECORD, &record)?;
    let folder = output.publish()?;
    Ok(Built { folder, unchanged: false, report })
}

/// The three forms of a report: name and bytes.
pub fn report_files(report: &Report) -> Result<[(&'static str, Vec<u8>); 3], BuildError> {
    let failed = |name| move |source| BuildError::Serialise { name, source };
    Ok([
        (REPORT, text(report).into_bytes()),
        (REPORT_HTML, html(report).map_err(failed(REPORT_HTML))?.into_bytes()),
        (REPORT_JSON, serde_json::to_vec(report).map_err(failed(REPORT_JSON))?),
    ])
}

/// The report of the build in `folder`, if there is a readable one.
pub fn read_report(folder: &Path) -> Option<Report> {
    serde_json::from_slice(&std::fs::read(folder.join(REPORT_JSON)).ok()?).ok()
}

fn write_json(output: &OutputFolder, name: &'static str, value: &impl serde::Serialize) -> Result<(), BuildError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| BuildError::Serialise { name, source })?;
    bytes.push(b'\n');
    Ok(output.write(name, &bytes)?)
}

/// The programs of ours that go into an image.
struct Components {
    agent: Content,
    initrd: Content,
    builder: Digest,
}

impl Components {
    fn read(folder: &Path) -> Result<Self, BuildError> {
        let program = |name| {
            let path = folder.join(name);
            if path.exists() { parts::file_content(&path) } else { Err(BuildError::Component(path)) }
        };
        // The program that builds decides every byte: another one is another build.
        let own =
            std::env::current_exe().map_err(|source| BuildError::Read { path: "/proc/self/exe".into(), source })?;
        Ok(Self {
            agent: program("slipway-agent")?,
            initrd: program("slipway-initrd")?,
            builder: parts::file_content(&own)?.digest(),
        })
    }
}

fn local_files(recipe: &Recipe) -> Result<BTreeMap<PathBuf, Content>, BuildError> {
    let mut files = BTreeMap::new();
    for file in &recipe.files {
        if let FileSource::Local(path) = &file.source {
            files.insert(path.clone(), parts::file_content(path)?);
        }
    }
    Ok(files)
}

fn build_key(
    recipe: &Recipe,
    lock: &Lock,
    components: &Components,
    local_files: &BTreeMap<PathBuf, Content>,
) -> Result<Digest, BuildError> {
    let mut key = KeyBuilder::default();
    key.add("recipe", recipe.digest).add("lock", lock_digest(lock)?);
    key.add("agent", components.agent.digest()).add("initrd", components.initrd.digest());
    key.add("builder", components.builder);
    for (path, content) in local_files {
        key.add(&path.display().to_string(), content.digest());
    }
    for (name, digest) in parts::local_containers(recipe)? {
        key.add(&name, digest);
    }
    Ok(key.finish())
}

fn lock_digest(lock: &Lock) -> Result<Digest, BuildError> {
    let bytes = serde_json::to_vec(lock).map_err(|source| BuildError::Serialise { name: "the lock", source })?;
    Ok(Digest::of(&bytes))
}

fn root_text(tree: &RootTree, path: &str) -> Result<String, BuildError> {
    let lacking = || BuildError::Lacking { path: path.to_owned(), place: "the root".into() };
    let parsed = TreePath::new(path).map_err(|_| lacking())?;
    let content = tree.file(&parsed).ok_or_else(lacking)?;
    content.to_text().map_err(|source| BuildError::Read { path: path.into(), source })
}

struct Sealed {
    tree: SealedTree,
    root: SealedRoot,
    initrd: Vec<u8>,
}

/// Commits the tree to the store while the root is written and the initrd compressed.
fn seal(
    lock: &Lock,
    place: &Place<'_>,
    output: &OutputFolder,
    label: &PartitionLabel,
    composition: &Composition,
    components: &Components,
) -> Result<Sealed, BuildError> {
    let progress = place.depot.progress;
    let tree = &composition.tree;
    let bytes = content_bytes(tree);
    let versions = root_versions(lock);
    std::thread::scope(|scope| {
        let store = scope.spawn(|| -> Result<SealedTree, BuildError> {
            progress.event(Event::Start(Phase::Seal, Some(bytes)));
            let store = Store::open_or_create(&place.out.join("store"))?;
            let advance = |count| progress.event(Event::Advance(Phase::Seal, count));
            let (id, version) = (label.id().as_str(), label.version().as_str());
            let sealed = store.seal(tree, id, version, lock.epoch, &versions, &advance)?;
            progress.event(Event::Done(Phase::Seal, &sealed.commit()[..12]));
            Ok(sealed)
        });
        let initrd = scope
            .spawn(|| initrd::initrd(&components.initrd, &composition.kernel.initrd_modules, place.depot.cache.root()));
        progress.event(Event::Start(Phase::Write, Some(bytes)));
        let advance = |count| progress.event(Event::Advance(Phase::Write, count));
        let root =
            write_root(output, tree, label, lock.epoch, &advance).and_then(|root| seal_root(output, root, label));
        let root = root.inspect(|root| {
            progress.event(Event::Done(Phase::Write, &format!("root hash {}", &root.root_hash.to_hex()[..12])));
        });
        let (sealed, initrd) = (join(store), join(initrd));
        Ok(Sealed { tree: sealed?, root: root?, initrd: initrd? })
    })
}

/// The result of a thread; its panic goes on here.
fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn content_bytes(tree: &RootTree) -> u64 {
    tree.iter().map(|(_, node)| if let Kind::File(content) = &node.kind { content.len() } else { 0 }).sum()
}

fn root_versions(lock: &Lock) -> BTreeMap<String, String> {
    lock.packages
        .iter()
        .filter(|package| package.role == Role::Root)
        .map(|package| (package.name.clone(), package.version.clone()))
        .collect()
}

/// Milliseconds by phase.
struct Clock {
    last: Instant,
    laps: Vec<(String, u64)>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { last: Instant::now(), laps: Vec::new() }
    }
}

impl Clock {
    fn lap(&mut self, name: &str) {
        let elapsed = u64::try_from(self.last.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.laps.push((name.to_owned(), elapsed));
        self.last = Instant::now();
    }
}

/// All that manifest and report tell of.
struct Outcome<'a> {
    recipe: &'a Recipe,
    lock: &'a Lock,
    label: &'a PartitionLabel,
    commit: &'a SealedTree,
    root: &'a SealedRoot,
    uki: Written,
}

impl Outcome<'_> {
    fn manifest(&self, components: &Components, kernel_release: &str) -> Result<Manifest, BuildError> {
        let file = |name: &str, written: Written| PartFile {
            file: name.to_owned(),
            size: written.size,
            sha256: written.sha256,
        };
        let root = self.root.root().written;
        let identity = DiskIdentity::derive(self.label);
        let package = |package: &LockedPackage| ManifestPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            source: package.source.clone(),
            sha256: package.sha256,
        };
        Ok(Manifest::new(ManifestContents {
            label: self.label.clone(),
            description: self.recipe.image.description.clone(),
            epoch: self.lock.epoch,
            root_hash: self.root.root_hash,
            salt: Salt::for_image(self.label.id()),
            kernel_release: kernel_release.to_owned(),
            command_line: command_line(self.root, &self.recipe.kernel.command_line),
            parts: Parts {
                root: RootPart {
                    file: ROOT.to_owned(),
                    size: root.size,
                    sha256: root.sha256,
                    blocks: root.size / BLOCK_SIZE,
                },
                verity: file(VERITY, self.root.written),
                uki: file(UKI, self.uki),
            },
            disk_guid: identity.disk,
            esp_guid: identity.esp,
            packages: self.lock.packages.iter().filter(|package| package.role == Role::Root).map(package).collect(),
            recipe: self.recipe.digest,
            lock: lock_digest(self.lock)?,
            components: ManifestComponents { agent: components.agent.digest(), initrd: components.initrd.digest() },
        })?)
    }

    fn report(
        &self,
        composition: &Composition,
        scripts: &ScriptReport,
        findings: &[Finding],
        loader: u64,
        initrd: u64,
        clock: Clock,
    ) -> Report {
        let parts = [
            ("root.erofs", self.root.root().written.size),
            ("root.verity", self.root.written.size),
            ("uki.efi", self.uki.size),
            ("of it the kernel", composition.kernel.vmlinuz.len()),
            ("of it the initrd", initrd),
            ("boot loader", loader),
        ];
        let note = |verdict: &Verdict| ScriptNote {
            package: verdict.package.clone(),
            script: verdict.script.clone(),
            class: verdict.class.name().to_owned(),
            reason: verdict.class.reason(),
        };
        let pruned = |pruned: &Pruned| PrunedPath {
            path: pruned.path.to_string(),
            bytes: pruned.size,
            rule: pruned.reason.clone(),
        };
        Report {
            id: self.recipe.image.id.clone(),
            version: self.recipe.image.version.clone(),
            description: self.recipe.image.description.clone(),
            root_hash: self.root.root_hash.to_hex(),
            commit: self.commit.commit().to_owned(),
            kernel: composition.kernel.release.clone(),
            parts: parts.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec(),
            packages: package_sizes(&composition.tree, &root_versions(self.lock)),
            tree: folder_sizes(&composition.tree),
            pruned: composition.pruned.iter().map(pruned).collect(),
            scripts: scripts.verdicts.iter().map(note).collect(),
            findings: composition.notes.iter().cloned().chain(findings.iter().map(ToString::to_string)).collect(),
            timings: clock.laps,
            boot: Vec::new(),
        }
    }
}

//! A build: from a recipe and its lock to the files of `out/ID_VERSION/`.

mod error;
mod image;
mod initrd;
mod key;
mod outcome;
mod output;
mod packages;
mod parts;
mod reports;
mod seal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::names::{ImageId, PartitionLabel};
use slipway_images::tree::{RootTree, TreePath};
use slipway_images::version::Version;

pub use error::BuildError;
pub use image::{DISK, ImageError, ROOT, UKI, VERITY};
pub use initrd::InitrdError;
pub use output::OutputError;
pub use packages::{Depot, PackagesError, Unpacked};
pub use reports::{complete_report, read_report};

use crate::compose::closure::stop_on_errors;
use crate::compose::{self, Inputs};
use crate::lock::Lock;
use crate::progress::{Event, Phase};
use crate::recipe::{FileSource, Recipe};
use crate::report::Report;
use crate::sbom::sbom;
use key::{KeyBuilder, RECORD, Record};
use outcome::Outcome;
use output::OutputFolder;
use reports::report_files;
use seal::{Sealed, Sealing};

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
    if let Some(built) = already_built(&folder, key) {
        return Ok(built);
    }
    let output = OutputFolder::begin(place.out, &label.to_string(), || {
        place.depot.progress.event(Event::Note("another build of this image is running; waiting for it"));
    })?;
    // Another build of the same may have finished while this one waited.
    if let Some(built) = already_built(&folder, key) {
        return Ok(built);
    }
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
    let sealing = Sealing {
        recipe,
        lock,
        place,
        output: &output,
        label: &label,
        composition: &composition,
        components: &components,
        boot: &boot,
    };
    let Sealed { tree: commit, image } = sealing.run(&mut clock)?;

    let outcome = Outcome { recipe, lock, label: &label, commit: &commit, image: &image };
    let manifest = outcome.manifest(&components, &composition.kernel.release)?;
    output.write(MANIFEST, &manifest.to_json()?)?;
    write_json(&output, SBOM, &sbom(recipe, lock, packages.all()))?;
    let report = outcome.report(&composition, &scripts, &findings, boot.loader.len(), clock);
    for (name, bytes) in report_files(&report)? {
        output.write(name, &bytes)?;
    }
    let record =
        Record::of(key, &output.path("."), &REPRODUCIBLE).map_err(|e| OutputError::new("read", &output.path(""), e))?;
    write_json(&output, RECORD, &record)?;
    let folder = output.publish()?;
    Ok(Built { folder, unchanged: false, report })
}

/// The build in `folder`, if it is the one that `key` stands for.
fn already_built(folder: &Path, key: Digest) -> Option<Built> {
    let report = Record::is_current(folder, key).then(|| read_report(folder))??;
    Some(Built { folder: folder.to_owned(), unchanged: true, report })
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
            if !path.exists() {
                return Err(BuildError::Component(path));
            }
            let content = parts::file_content(&path)?;
            let bytes = content.to_vec().map_err(|source| BuildError::Read { path: path.clone(), source })?;
            if parts::needs_interpreter(&bytes) { Err(BuildError::Dynamic(path)) } else { Ok(content) }
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
    if let Some(update) = &recipe.update {
        files.insert(update.root.clone(), parts::file_content(&update.root)?);
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

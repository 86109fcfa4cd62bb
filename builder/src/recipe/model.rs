//! A recipe once it is read, merged with what it extends, and found valid.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

pub use slipway_images::checks::{Check, CheckKind, CheckSet};
use slipway_images::digest::Digest;
pub use slipway_images::migration::{Migration, MigrationName, Reverse};
use slipway_images::tree::TreePath;
use slipway_images::update::UpdateSettings;

/// A valid recipe. Paths to files of the user are absolute; everything else is as written.
#[derive(Clone, Debug, Serialize)]
pub struct Recipe {
    /// The file that was read; the lock lies beside it.
    #[serde(skip)]
    pub path: PathBuf,
    /// SHA-256 over the meaning of the merged recipe (not its comments or layout), without the content of local files.
    #[serde(skip)]
    pub digest: Digest,
    /// `[image]`
    pub image: ImageSection,
    /// `[archive]`: the distribution.
    pub archive: ArchiveSection,
    /// `[[repository]]`: further package repositories.
    pub repositories: Vec<Repository>,
    /// `[packages]`
    pub packages: PackageSection,
    /// `[prune]`
    pub prune: PruneSection,
    /// `[kernel]`
    pub kernel: KernelSection,
    /// `[boot]`
    pub boot: BootSection,
    /// `[[file]]`, `[[download]]`, `[[directory]]`, `[[link]]`
    pub files: Vec<FileEntry>,
    /// `[[download]]`
    pub downloads: Vec<Download>,
    /// `[[directory]]`
    pub directories: Vec<DirectoryEntry>,
    /// `[[link]]`
    pub links: Vec<LinkEntry>,
    /// `[[user]]`
    pub users: Vec<User>,
    /// `[[group]]`
    pub groups: Vec<Group>,
    /// `[units]`
    pub units: UnitSection,
    /// `[[drop-in]]`
    pub drop_ins: Vec<DropIn>,
    /// `[sysctl]`, written to `/etc/sysctl.d/50-recipe.conf`.
    pub sysctl: BTreeMap<String, String>,
    /// `[[container]]`
    pub containers: Vec<Container>,
    /// `[[accept-script]]`
    pub accepted_scripts: Vec<AcceptedScript>,
    /// `[disk]`
    pub disk: DiskSection,
    /// `[update]`: where a host gets new versions from.
    pub update: Option<UpdateSection>,
    /// `[[migration]]`, ordered by `since`.
    pub migrations: Vec<Migration>,
    /// `[health]` and `[[health.check]]`: what a version must pass before it is committed.
    pub health: CheckSet,
    /// `[smoke]` and `[[smoke.check]]`: what `slipway test` runs in the virtual machine.
    pub smoke: CheckSet,
}

/// `[image]`
#[derive(Clone, Debug, Serialize)]
pub struct ImageSection {
    /// `id`: `[a-z0-9][a-z0-9-]*`, at most 32 characters. Goes to `IMAGE_ID`, file names, partition labels.
    pub id: String,
    /// `version`: UAPI version characters `[a-zA-Z0-9.~^-]` less `-` (used as separator), at most 24. `IMAGE_VERSION`.
    pub version: String,
    /// `description`, one line.
    pub description: String,
    /// `hostname`; default the id.
    pub hostname: String,
}

/// `[archive]`
#[derive(Clone, Debug, Serialize)]
pub struct ArchiveSection {
    /// `suites`, such as `trixie`, `trixie-updates`, `trixie-security`.
    pub suites: Vec<String>,
    /// `components`, such as `main`.
    pub components: Vec<String>,
}

/// `[[repository]]`
#[derive(Clone, Debug, Serialize)]
pub struct Repository {
    /// `name`: as the lock calls it.
    pub name: String,
    /// `url`: base URL of an apt repository.
    pub url: String,
    /// `suite`
    pub suite: String,
    /// `components`
    pub components: Vec<String>,
    /// `key`: file with the `OpenPGP` certificate(s), armoured or binary.
    pub key: PathBuf,
}

/// `[packages]`
#[derive(Clone, Debug, Serialize)]
pub struct PackageSection {
    /// `add`: what is asked for; each `name`, or `name=version`, or `name/suite`.
    pub add: Vec<String>,
    /// `drop`: never installed; dependencies on them count as satisfied (dpkg, perl-base, …).
    pub drop: Vec<String>,
    /// `debs`: local `.deb` files, absolute paths.
    pub debs: Vec<PathBuf>,
    /// `recommends`: whether Recommends are followed. Default false.
    pub recommends: bool,
}

/// `[prune]`: globs over tree paths (`*` within a part, `**` across parts). A kept path wins.
#[derive(Clone, Debug, Serialize)]
pub struct PruneSection {
    /// `drop`
    pub drop: Vec<String>,
    /// `keep`
    pub keep: Vec<String>,
}

/// `[kernel]`
#[derive(Clone, Debug, Serialize)]
pub struct KernelSection {
    /// `package`: the package, meta or real, that brings `/boot/vmlinuz-*`.
    pub package: String,
    /// `modules`: names, or globs over paths below `/lib/modules/VERSION/kernel/`; their dependencies come along.
    pub modules: Vec<String>,
    /// `initrd-modules`: names, loaded in this order by the initrd, dependencies first.
    pub initrd_modules: Vec<String>,
    /// `load-ahead`: names, loaded in this order while the init starts, dependencies first.
    pub load_ahead: Vec<String>,
    /// `command-line`: appended to `roothash=…`.
    pub command_line: Vec<String>,
}

/// `[boot]`
#[derive(Clone, Debug, Serialize)]
pub struct BootSection {
    /// `package`: what brings systemd-boot and the EFI stub; not installed in the root. Default `systemd-boot-efi`.
    pub package: String,
    /// `timeout`: seconds the boot menu shows. Default 0: there is none.
    pub timeout: u32,
    /// `read-ahead`: files that are read into memory while the init starts.
    #[serde(serialize_with = "as_texts")]
    pub read_ahead: Vec<TreePath>,
}

/// Owner and mode of something the recipe makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ownership {
    /// `owner`: name or number. Default `root`.
    pub owner: String,
    /// `group`: name or number. Default `root`.
    pub group: String,
    /// `mode`, at most `0o7777`.
    pub mode: u16,
}

/// `[[file]]`
#[derive(Clone, Debug, Serialize)]
pub struct FileEntry {
    /// `path` in the image.
    #[serde(serialize_with = "as_text")]
    pub path: TreePath,
    /// Where the bytes come from.
    pub source: FileSource,
    /// Owner, mode (default 0644).
    pub ownership: Ownership,
}

/// Where the bytes of a `[[file]]` come from.
#[derive(Clone, Debug, Serialize)]
pub enum FileSource {
    /// `content = "…"`
    Inline(String),
    /// `source = "path"`, absolute here.
    Local(PathBuf),
}

/// `[[download]]`: a file or archive by URL and digest.
#[derive(Clone, Debug, Serialize)]
pub struct Download {
    /// `url` (http, https, file).
    pub url: String,
    /// `sha256`
    pub sha256: Digest,
    /// What becomes of it.
    pub target: DownloadTarget,
    /// Owner; the mode is that of a single file (default 0644), members of archives keep theirs.
    pub ownership: Ownership,
}

/// What becomes of a `[[download]]`.
#[derive(Clone, Debug, Serialize)]
pub enum DownloadTarget {
    /// `path`: one file.
    File(#[serde(serialize_with = "as_text")] TreePath),
    /// `extract`: a tar archive (plain, gzip, xz, zstd), unpacked into this folder without its first `strip` path parts.
    Extract {
        /// The folder.
        #[serde(serialize_with = "as_text")]
        folder: TreePath,
        /// How many leading parts of each member's path are taken off.
        strip: usize,
    },
}

/// `[[directory]]`
#[derive(Clone, Debug, Serialize)]
pub struct DirectoryEntry {
    /// `path`
    #[serde(serialize_with = "as_text")]
    pub path: TreePath,
    /// Owner, mode (default 0755).
    pub ownership: Ownership,
}

/// `[[link]]`
#[derive(Clone, Debug, Serialize)]
pub struct LinkEntry {
    /// `path`
    #[serde(serialize_with = "as_text")]
    pub path: TreePath,
    /// `target`: text of the link.
    pub target: String,
}

/// `[[user]]`
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// `name`
    pub name: String,
    /// `uid`; assigned and pinned in the lock when missing.
    pub uid: Option<u32>,
    /// `group`: primary group; default one of the user's own name.
    pub group: Option<String>,
    /// `groups`: further groups.
    pub groups: Vec<String>,
    /// `home`; default `/var/home/NAME`, made at boot by tmpfiles.
    #[serde(serialize_with = "as_text")]
    pub home: TreePath,
    /// `shell`; default `/bin/bash`.
    #[serde(serialize_with = "as_text")]
    pub shell: TreePath,
    /// `password-hash` in crypt(5) form; default locked. There is never a default password.
    pub password_hash: Option<String>,
    /// `authorized-keys`: lines of an `authorized_keys` file.
    pub authorized_keys: Vec<String>,
}

/// `[[group]]`
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// `name`
    pub name: String,
    /// `gid`; assigned and pinned in the lock when missing.
    pub gid: Option<u32>,
}

/// `[units]`
#[derive(Clone, Debug, Serialize)]
pub struct UnitSection {
    /// `enable`
    pub enable: Vec<String>,
    /// `disable`
    pub disable: Vec<String>,
    /// `mask`
    pub mask: Vec<String>,
}

/// `[[drop-in]]`
#[derive(Clone, Debug, Serialize)]
pub struct DropIn {
    /// `unit`
    pub unit: String,
    /// `name`, ends in `.conf`.
    pub name: String,
    /// `content`
    pub content: String,
}

/// `[[container]]`: an image that the root carries, under `/usr/share/slipway/containers/NAME.tar`.
#[derive(Clone, Debug, Serialize)]
pub struct Container {
    /// `name`: also its reference, `NAME:latest`.
    pub name: String,
    /// Where the image comes from.
    pub image: ContainerImage,
    /// `run`: whether a unit `NAME.service` runs it. Default true. If false it is only loaded into the engine.
    pub run: bool,
    /// `command`: overrides that of the image.
    pub command: Vec<String>,
    /// `ports`: `HOST:CONTAINER[/udp]`.
    pub ports: Vec<String>,
    /// `volumes`: `HOST:CONTAINER[:ro]`.
    pub volumes: Vec<String>,
    /// `environment`
    pub environment: BTreeMap<String, String>,
    /// `network`: `bridge`, `host`, `none`.
    pub network: String,
}

/// Where the image of a container comes from.
#[derive(Clone, Debug, Serialize)]
pub enum ContainerImage {
    /// `image`: an OCI layout (folder or tar) or a `docker save` archive, absolute path.
    Local(PathBuf),
    /// `package`: one locked package whose files are the single layer (`busybox-static`, say); no dependencies.
    Package(String),
}

/// `[[accept-script]]`: a maintainer script that the user has read and takes responsibility for not running.
#[derive(Clone, Debug, Serialize)]
pub struct AcceptedScript {
    /// `package`
    pub package: String,
    /// `script`: `preinst`, `postinst`, `prerm`, `postrm`, `triggers`.
    pub script: String,
    /// `sha256` of the script.
    pub sha256: Digest,
    /// `reason`: goes to the report.
    pub reason: String,
}

/// `[disk]`; sizes in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct DiskSection {
    /// `size` of `disk.raw`. Sparse; the state partition takes the rest at first boot.
    pub size: u64,
    /// `esp`
    pub esp: u64,
    /// `slot`: one root slot; its verity slot is 1/64 of it, rounded up to 1 MiB.
    pub slot: u64,
    /// `headroom`: share of a slot that must stay free, in percent.
    pub headroom_percent: u32,
    /// `state-filesystem`: `ext4`, `xfs` or `btrfs`.
    pub state_filesystem: String,
}

/// `[update]`
#[derive(Clone, Debug, Serialize)]
pub struct UpdateSection {
    /// All but `root`: what the image tells its agent.
    pub settings: UpdateSettings,
    /// `root`: file with the TUF root that is trusted from the start, absolute path.
    pub root: PathBuf,
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_texts<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(T::to_string))
}

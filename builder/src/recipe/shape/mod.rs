//! What a recipe's TOML may hold: every key, each optional, nothing checked but names and types.
//!
//! These types are the one source of the keys: serde reads through them, the JSON Schema (and with it the check for
//! unknown keys and wrong types, and the tables of `docs/recipe.md`) is made from them. So the comments on the fields
//! are the manual's text: sentences for users.

#![allow(clippy::doc_markdown, reason = "these comments are plain text in the manual")]

mod checks;
mod content;
mod migration;
mod system;
mod update;

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_spanned::Spanned;

pub use checks::{CheckSetShape, CheckShape, DiskSpaceShape};
pub use content::{
    AcceptScriptShape, ContainerShape, DirectoryShape, DownloadShape, DropInShape, FileShape, GroupShape, LinkShape,
    UserShape,
};
pub use migration::MigrationShape;
pub use system::{
    ArchiveShape, BootShape, DiskShape, ImageShape, KernelShape, PackagesShape, PruneShape, RepositoryShape, Sysctl,
    UnitsShape,
};
pub use update::{FleetLockShape, UpdateShape};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct At<T>(Spanned<T>);

impl<T> At<T> {
    /// The value.
    pub fn get(&self) -> &T {
        self.0.get_ref()
    }

    /// Where it stands, in bytes over all files that were read.
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A text that may be missing.
pub type Text = Option<At<String>>;
/// A list of texts; missing is empty.
pub type Texts = Vec<At<String>>;

/// A recipe of a Slipway image.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(title = "Slipway recipe")]
pub struct Shape {
    /// Another recipe, relative to this file, whose settings this one takes over and then changes.
    #[schemars(extend("examples" = ["docker-host.toml"]))]
    pub extends: Text,
    /// What the image is called.
    pub image: ImageShape,
    /// The distribution that packages come from.
    pub archive: ArchiveShape,
    /// A further package repository, with its own signing key.
    pub repository: Vec<At<RepositoryShape>>,
    /// Which packages are in the image.
    pub packages: PackagesShape,
    /// Which files of the packages are left out.
    pub prune: PruneShape,
    /// Kernel, modules, command line.
    pub kernel: KernelShape,
    /// Boot loader.
    pub boot: BootShape,
    /// A file in the image, with its text here or in a file beside the recipe.
    pub file: Vec<At<FileShape>>,
    /// A file or archive from the network, by its digest.
    pub download: Vec<At<DownloadShape>>,
    /// A folder in the image.
    pub directory: Vec<At<DirectoryShape>>,
    /// A symbolic link in the image.
    pub link: Vec<At<LinkShape>>,
    /// A user account.
    pub user: Vec<At<UserShape>>,
    /// A group.
    pub group: Vec<At<GroupShape>>,
    /// Which systemd units start.
    pub units: UnitsShape,
    /// A drop-in for a systemd unit, `/etc/systemd/system/UNIT.d/NAME`.
    pub drop_in: Vec<At<DropInShape>>,
    /// Kernel parameters, written to `/etc/sysctl.d/50-recipe.conf`. Dotted keys need no quotes.
    #[schemars(extend("examples" = ["net.core.somaxconn = 4096"]))]
    pub sysctl: Sysctl,
    /// A container that the image carries.
    pub container: Vec<At<ContainerShape>>,
    /// A maintainer script that you have read, and that need not run. A build names the scripts it stops at.
    pub accept_script: Vec<At<AcceptScriptShape>>,
    /// The disk image and its partitions.
    pub disk: DiskShape,
    /// Where a host gets new versions from, and when. Without it a host has no repository, unless its owner names one.
    pub update: Option<At<UpdateShape>>,
    /// How state in `/var` that older versions have left becomes that of this one, and back. `docs/migrations.md` is the guide.
    pub migration: Vec<At<MigrationShape>>,
    /// What a new version must pass on a host before it is kept.
    pub health: CheckSetShape,
    /// What `slipway test` looks at in the virtual machine.
    pub smoke: CheckSetShape,
}

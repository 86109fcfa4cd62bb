//! The sections that say what the system is made of.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{At, Text, Texts};

/// `[image]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Image")]
pub struct ImageShape {
    /// The same for every version of the image. Lower-case letters, digits and `-`, at most 32; goes to `IMAGE_ID`,
    /// file names and partition labels. Must be given here or in a recipe that is extended.
    #[schemars(extend("examples" = ["edge-web"], "pattern" = "^[a-z0-9][a-z0-9-]*$", "maxLength" = 32))]
    pub id: Text,
    /// Newer versions sort higher, by the UAPI version format. At most 24 letters, digits, `.`, `~`, `^`; id and version
    /// together at most 35. Must be given here or in a recipe that is extended.
    #[schemars(extend("examples" = ["2026.11.22"], "pattern" = "^[A-Za-z0-9]([A-Za-z0-9.~^]*[A-Za-z0-9])?$", "maxLength" = 24))]
    pub version: Text,
    /// One line for people.
    #[schemars(extend("default" = "", "examples" = ["Web servers at the edge"]))]
    pub description: Text,
    /// The host's name, until machine configuration gives another. By default the id.
    #[schemars(extend("examples" = ["edge"]))]
    pub hostname: Text,
}

/// `[archive]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Archive")]
pub struct ArchiveShape {
    /// Suites of the distribution. A list here replaces the inherited one; it may be empty where `[[repository]]` entries
    /// bring all packages.
    #[schemars(extend("default" = ["trixie", "trixie-updates", "trixie-security"], "examples" = [["trixie", "trixie-security"]]))]
    pub suites: Option<Texts>,
    /// Components of the suites. A list here replaces the inherited one.
    #[schemars(extend("default" = ["main"], "examples" = [["main", "non-free-firmware"]]))]
    pub components: Option<Texts>,
}

/// `[[repository]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Repository", extend("required" = ["name"]))]
pub struct RepositoryShape {
    /// What the lock calls it.
    #[schemars(extend("examples" = ["docker"]))]
    pub name: Text,
    /// Base address of an apt repository, the folder that holds `dists/`. Required.
    #[schemars(extend("examples" = ["https://packages.example.com/debian"]))]
    pub url: Text,
    /// Its suite. Required.
    #[schemars(extend("examples" = ["trixie"]))]
    pub suite: Text,
    /// Its components.
    #[schemars(extend("default" = ["main"], "examples" = [["stable"]]))]
    pub components: Option<Texts>,
    /// File with the OpenPGP certificates that may sign it, armoured or binary, relative to the recipe. Required.
    #[schemars(extend("examples" = ["keys/docker.asc"]))]
    pub key: Text,
    /// Takes the inherited entry with the same `name` away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `[packages]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Packages")]
pub struct PackagesShape {
    /// Packages that are asked for: `name`, `name=version` or `name/suite`. Their dependencies come along. Added to the
    /// inherited list; what is added here is no longer dropped.
    #[schemars(extend("default" = [], "examples" = [["curl", "nginx=1.26.3-3"]]))]
    pub add: Texts,
    /// Packages that never come in: dependencies on them count as fulfilled. The build checks that no program left needs
    /// them. Added to the inherited list; what is dropped here is no longer asked for.
    #[schemars(extend("default" = [], "examples" = [["perl-base", "dpkg"]]))]
    pub drop: Texts,
    /// Names that are taken out of the inherited `add` and `drop`.
    #[schemars(extend("default" = [], "examples" = [["less"]]))]
    pub remove: Texts,
    /// Local `.deb` files, relative to the recipe. Added to the inherited list.
    #[schemars(extend("default" = [], "examples" = [["debs/agent_1.0_amd64.deb"]]))]
    pub debs: Texts,
    /// Whether recommended packages come along.
    #[schemars(extend("default" = false))]
    pub recommends: Option<bool>,
}

/// `[prune]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Prune")]
pub struct PruneShape {
    /// Paths that are left out; `*` stands for anything within a name, `**` for any folders. Added to the inherited list.
    #[schemars(extend("default" = [], "examples" = [["/usr/share/doc/**"]]))]
    pub drop: Texts,
    /// Paths that stay although `drop` names them. Added to the inherited list.
    #[schemars(extend("default" = [], "examples" = [["/usr/share/doc/*/copyright"]]))]
    pub keep: Texts,
}

/// `[kernel]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Kernel")]
pub struct KernelShape {
    /// The package, meta or real, that brings the kernel.
    #[schemars(extend("default" = "linux-image-cloud-amd64", "examples" = ["linux-image-amd64"]))]
    pub package: Text,
    /// Modules that the root holds: names, or patterns over paths below the modules' `kernel/` folder. What they depend
    /// on comes along. Added to the inherited list.
    #[schemars(extend("default" = [], "examples" = [["br_netfilter", "net/netfilter/**"]]))]
    pub modules: Texts,
    /// Modules that the initrd loads, in this order, each after what it depends on. Added to the inherited list.
    #[schemars(extend("default" = [], "examples" = [["virtio_blk", "ahci"]]))]
    pub initrd_modules: Texts,
    /// Modules that are loaded while the init starts, in this order, each after what it depends on: those that a service would
    /// otherwise wait for. Added to the inherited list.
    #[schemars(extend("default" = [], "examples" = [["br_netfilter"]]))]
    pub load_ahead: Texts,
    /// Words that go on the kernel's command line, after those that the builder makes (`roothash=` and the like). Added
    /// to the inherited list; for most parameters the last word wins.
    #[schemars(extend("default" = [], "examples" = [["console=ttyS0", "quiet"]]))]
    pub command_line: Texts,
}

/// `[boot]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Boot")]
pub struct BootShape {
    /// The package that brings systemd-boot and its EFI stub. It is not installed in the root.
    #[schemars(extend("default" = "systemd-boot-efi", "examples" = ["systemd-boot-efi"]))]
    pub package: Text,
    /// Seconds that the boot menu shows. With 0 there is none, whatever key is pressed.
    #[schemars(extend("default" = 0, "examples" = [3]))]
    pub timeout: Option<u32>,
    /// Files that are read into memory while the init starts, in this order: those of the service that the machine is for.
    /// Added to the inherited list.
    #[schemars(extend("default" = [], "examples" = [["/usr/sbin/dockerd"]]))]
    pub read_ahead: Texts,
}

/// `[units]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Units")]
pub struct UnitsShape {
    /// Units that start at boot. Added to the inherited list, and taken out of the inherited `disable` and `mask`.
    #[schemars(extend("default" = [], "examples" = [["systemd-networkd.service"]]))]
    pub enable: Texts,
    /// Units that do not, although a package enables them. Added to the inherited list, and taken out of the inherited
    /// `enable` and `mask`.
    #[schemars(extend("default" = [], "examples" = [["apt-daily.timer"]]))]
    pub disable: Texts,
    /// Units that nothing can start. Added to the inherited list, and taken out of the inherited `enable` and `disable`.
    #[schemars(extend("default" = [], "examples" = [["systemd-firstboot.service"]]))]
    pub mask: Texts,
}

/// `[disk]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Disk")]
pub struct DiskShape {
    /// Size of `disk.raw`, which is sparse. On a larger disk the state partition grows at first boot.
    #[schemars(extend("default" = "8G", "examples" = ["20G"]))]
    pub size: Text,
    /// Size of the EFI system partition.
    #[schemars(extend("default" = "512M", "examples" = ["1G"]))]
    pub esp: Text,
    /// Size of each of the two root slots. Its verity slot is 1/64 of it.
    #[schemars(extend("default" = "1G", "examples" = ["2G"]))]
    pub slot: Text,
    /// Percent of a slot that must stay free, so that later versions fit.
    #[schemars(extend("default" = 10, "examples" = [25], "maximum" = 90))]
    pub headroom: Option<At<u32>>,
    /// File system of the state partition, `/var`. `xfs` needs the package `xfsprogs`, `btrfs` needs `btrfs-progs`.
    #[schemars(extend("default" = "ext4", "examples" = ["xfs"], "enum" = ["ext4", "xfs", "btrfs"]))]
    pub state_filesystem: Text,
}

/// `[sysctl]`: names as written with dots, so that the tables TOML makes of dotted keys are flat again.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Sysctl(pub BTreeMap<String, At<String>>);

impl JsonSchema for Sysctl {
    fn schema_name() -> Cow<'static, str> {
        "Sysctl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": {
                "type": ["string", "integer", "object"],
                "additionalProperties": { "$ref": "#/$defs/Sysctl/additionalProperties" }
            }
        })
    }
}

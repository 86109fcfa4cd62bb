//! The sections that say what the system is made of.

use std::collections::BTreeMap;
use std::ops::Range;

use slipway_images::names::ImageId;
use slipway_images::version::Version;

use super::Checker;
use crate::recipe::model::{
    ArchiveSection, BootSection, DiskSection, ImageSection, KernelSection, PackageSection, PruneSection, Repository,
    UnitSection,
};
use crate::recipe::shape::{
    ArchiveShape, At, BootShape, DiskShape, ImageShape, KernelShape, PackagesShape, PruneShape, RepositoryShape,
    Sysctl, Texts, UnitsShape,
};
use crate::recipe::values::{self, Wrong};

pub(super) fn image(checker: &mut Checker<'_>, shape: &ImageShape) -> ImageSection {
    let start = 0..0;
    let id = checker.required("image.id", &shape.id, &start, "\"edge-web\"", |text| match ImageId::new(text) {
        Ok(id) => Ok(id.as_str().to_owned()),
        Err(error) => Err(Wrong {
            why: format!("cannot be `{text}`"),
            help: format!("{}: `{}`, say", tail(&error.to_string()), plain_id(text)),
        }),
    });
    let id = id.unwrap_or_default();
    let version =
        checker.required("image.version", &shape.version, &start, "\"2026.11.22\"", |text| match Version::new(text) {
            Ok(version) => Ok(version.as_str().to_owned()),
            Err(error) => Err(Wrong { why: format!("cannot be `{text}`"), help: tail(&error.to_string()).to_owned() }),
        });
    ImageSection {
        hostname: checker.optional("image.hostname", &shape.hostname, values::hostname).unwrap_or_else(|| id.clone()),
        description: checker.or_default("image.description", &shape.description, "", values::line),
        version: version.unwrap_or_default(),
        id,
    }
}

/// What follows the colon: the rule without the text that breaks it.
fn tail(message: &str) -> &str {
    message.split_once(": ").map_or(message, |(_, rule)| rule)
}

fn plain_id(text: &str) -> String {
    let plain = text.to_lowercase().replace(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit(), "-");
    let plain: String = plain.trim_start_matches('-').chars().take(ImageId::MAX_LEN).collect();
    if plain.is_empty() { "edge-web".to_owned() } else { plain }
}

/// With repositories of its own, a recipe may do without the distribution's suites.
pub(super) fn archive(checker: &mut Checker<'_>, shape: &ArchiveShape, has_repository: bool) -> ArchiveSection {
    let suites = shape.suites.as_ref().filter(|suites| !(has_repository && suites.is_empty()));
    let without = shape.suites.is_some() && suites.is_none();
    let default: &[&str] = if without { &[] } else { &["trixie", "trixie-updates", "trixie-security"] };
    ArchiveSection {
        suites: listed(checker, "archive.suites", suites, default, values::suite),
        components: listed(checker, "archive.components", shape.components.as_ref(), &["main"], values::suite),
    }
}

/// A list that must hold something if it is given at all.
fn listed(
    checker: &mut Checker<'_>,
    key: &str,
    texts: Option<&Texts>,
    default: &[&str],
    parse: impl Fn(&str) -> Result<String, Wrong>,
) -> Vec<String> {
    let Some(texts) = texts else { return default.iter().map(|&text| text.to_owned()).collect() };
    if texts.is_empty() {
        let message = format!("`{key}` is empty");
        checker.problem(&(0..0), message, "in this recipe", format!("leave it out, or write {default:?}"));
    }
    checker.list(key, texts, parse)
}

pub(super) fn repository(
    checker: &mut Checker<'_>,
    shape: &RepositoryShape,
    entry: Range<usize>,
) -> Option<Repository> {
    let name = checker.required("repository.name", &shape.name, &entry, "\"docker\"", values::container);
    if let (Some(at), Some("debian" | "debian-security" | "local")) = (&shape.name, name.as_deref()) {
        let message = format!("`repository.name` cannot be `{}`", at.get());
        checker.problem(&at.span(), message, "", "the lock uses this name for something else; choose another");
    }
    let web = |text: &str| values::url(text, &["https", "http"]);
    let url = checker.required("repository.url", &shape.url, &entry, "\"https://…\"", web);
    let suite = checker.required("repository.suite", &shape.suite, &entry, "\"trixie\"", values::suite);
    let key = match &shape.key {
        Some(at) => checker.local("repository.key", at, false),
        None => checker.required("repository.key", &shape.key, &entry, "\"keys/vendor.asc\"", |_| unreachable_path()),
    };
    let components = listed(checker, "repository.components", shape.components.as_ref(), &["main"], values::suite);
    Some(Repository { name: name?, url: url?.trim_end_matches('/').to_owned(), suite: suite?, components, key: key? })
}

fn unreachable_path<T>() -> Result<T, Wrong> {
    Err(Wrong { why: "is missing".to_owned(), help: "name a file".to_owned() })
}

pub(super) fn packages(checker: &mut Checker<'_>, shape: &PackagesShape) -> PackageSection {
    let add = checker.list("packages.add", &shape.add, values::package_request);
    let drop = checker.list("packages.drop", &shape.drop, values::package);
    let debs = shape
        .debs
        .iter()
        .filter_map(|at| {
            if at.get().strip_suffix(".deb").is_none() {
                let message = format!("`packages.debs` holds `{}`, which is no `.deb`", at.get());
                checker.problem(&at.span(), message, "", "packages of the archive belong into `packages.add`");
                return None;
            }
            checker.local("packages.debs", at, false)
        })
        .collect();
    PackageSection { add, drop, debs, recommends: shape.recommends.unwrap_or_default() }
}

pub(super) fn prune(checker: &mut Checker<'_>, shape: &PruneShape) -> PruneSection {
    PruneSection {
        drop: checker.list("prune.drop", &shape.drop, values::path_pattern),
        keep: checker.list("prune.keep", &shape.keep, values::path_pattern),
    }
}

pub(super) fn kernel(checker: &mut Checker<'_>, shape: &KernelShape) -> KernelSection {
    KernelSection {
        package: checker.or_default(
            "kernel.package",
            &shape.package,
            "linux-image-cloud-amd64",
            values::package_request,
        ),
        modules: checker.list("kernel.modules", &shape.modules, values::module),
        initrd_modules: checker.list("kernel.initrd-modules", &shape.initrd_modules, values::module_name),
        load_ahead: checker.list("kernel.load-ahead", &shape.load_ahead, values::module_name),
        command_line: checker.list("kernel.command-line", &shape.command_line, values::kernel_word),
    }
}

pub(super) fn boot(checker: &mut Checker<'_>, shape: &BootShape) -> BootSection {
    BootSection {
        package: checker.or_default("boot.package", &shape.package, "systemd-boot-efi", values::package_request),
        timeout: shape.timeout.unwrap_or_default(),
        read_ahead: checker.list("boot.read-ahead", &shape.read_ahead, values::tree_path),
    }
}

pub(super) fn units(checker: &mut Checker<'_>, shape: &UnitsShape) -> UnitSection {
    UnitSection {
        enable: checker.list("units.enable", &shape.enable, values::unit),
        disable: checker.list("units.disable", &shape.disable, values::unit),
        mask: checker.list("units.mask", &shape.mask, values::unit),
    }
}

pub(super) fn sysctl(checker: &mut Checker<'_>, shape: &Sysctl) -> BTreeMap<String, String> {
    let entries = shape.0.iter().filter_map(|(name, value)| {
        if let Err(wrong) = values::sysctl_name(name) {
            checker.problem(&value.span(), format!("`sysctl` {}", wrong.why), "the value of that key", wrong.help);
            return None;
        }
        checker.value(&format!("sysctl.{name}"), value, values::line).map(|value| (name.clone(), value))
    });
    entries.collect()
}

pub(super) fn disk(checker: &mut Checker<'_>, shape: &DiskShape) -> DiskSection {
    let mebibytes = |text: &str| match values::size(text)? {
        bytes if bytes % (1 << 20) == 0 => Ok(bytes),
        _ => Err(Wrong {
            why: format!("cannot be `{text}`"),
            help: "partitions are whole mebibytes: `512M`, say".into(),
        }),
    };
    DiskSection {
        size: checker.or_default("disk.size", &shape.size, "8G", mebibytes),
        esp: checker.or_default("disk.esp", &shape.esp, "512M", mebibytes),
        slot: checker.or_default("disk.slot", &shape.slot, "1G", mebibytes),
        headroom_percent: shape.headroom.as_ref().map_or(10, |at: &At<u32>| *at.get()),
        state_filesystem: checker.or_default("disk.state-filesystem", &shape.state_filesystem, "ext4", values::word),
    }
}

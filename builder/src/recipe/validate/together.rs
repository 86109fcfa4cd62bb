//! Rules that span sections.

use std::collections::BTreeMap;
use std::ops::Range;

use slipway_images::names::{ImageId, PartitionLabel};
use slipway_images::version::Version;

use super::Checker;
use crate::recipe::model::Recipe;
use crate::recipe::nearest::nearest;
use crate::recipe::shape::{At, CheckSetShape, Shape, Text, Texts};

/// The root file system's verity slot is this part of a slot.
const VERITY_SHARE: u64 = 64;
const MIB: u64 = 1 << 20;
/// What the state partition must have at the least.
const LEAST_STATE: u64 = 256 * MIB;

pub(super) fn check(checker: &mut Checker<'_>, shape: &Shape, recipe: &Recipe) {
    label(checker, shape, recipe);
    packages(checker, shape, recipe);
    once(
        checker,
        "units",
        &[("enable", &shape.units.enable), ("disable", &shape.units.disable), ("mask", &shape.units.mask)],
    );
    once(checker, "packages", &[("add", &shape.packages.add), ("drop", &shape.packages.drop)]);
    paths(checker, shape);
    ids(checker, shape);
    disk(checker, shape, recipe);
    for (section, set) in [("health", &shape.health), ("smoke", &shape.smoke)] {
        checks(checker, section, set, recipe);
    }
}

fn label(checker: &mut Checker<'_>, shape: &Shape, recipe: &Recipe) {
    let (Ok(id), Ok(version)) = (ImageId::new(&recipe.image.id), Version::new(&recipe.image.version)) else { return };
    if let (Err(error), Some(at)) = (PartitionLabel::new(id, version), &shape.image.version) {
        checker.problem(&at.span(), error.to_string(), "", "partition labels are `ID_VERSION`");
    }
}

fn packages(checker: &mut Checker<'_>, shape: &Shape, recipe: &Recipe) {
    if shape.packages.add.is_empty() {
        let help = "write `extends = \"docker-host.toml\"` at the top, or `[packages]` with `add = [\"systemd\", …]`";
        checker.problem(&(0..0), "the recipe asks for no packages", "in this recipe", help);
    }
    let tool = match recipe.disk.state_filesystem.as_str() {
        "xfs" => "xfsprogs",
        "btrfs" => "btrfs-progs",
        _ => return,
    };
    let asked = recipe.packages.add.iter().any(|name| name.split(['=', '/']).next() == Some(tool));
    if let (Some(at), false) = (&shape.disk.state_filesystem, asked) {
        let message = format!("`disk.state-filesystem` is `{}`, and nothing in the image can make one", at.get());
        checker.problem(&at.span(), message, "", format!("add `{tool}` to `packages.add`"));
    }
}

/// An item can stand in one of these lists only.
fn once(checker: &mut Checker<'_>, section: &str, lists: &[(&str, &Texts)]) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (list, items) in lists {
        for item in *items {
            let name = if section == "packages" {
                item.get().split(['=', '/']).next().unwrap_or_default()
            } else {
                item.get()
            };
            match seen.insert(name, list) {
                Some(other) if other != *list => {
                    let message = format!("`{name}` stands in `{section}.{other}` and in `{section}.{list}`");
                    checker.problem(&item.span(), message, "the second one", "leave one of them out");
                }
                _ => {}
            }
        }
    }
}

/// One path, one entry.
fn paths(checker: &mut Checker<'_>, shape: &Shape) {
    let files = shape.file.iter().map(|entry| ("file", &entry.get().path));
    let downloads = shape.download.iter().map(|entry| ("download", &entry.get().path));
    let directories = shape.directory.iter().map(|entry| ("directory", &entry.get().path));
    let links = shape.link.iter().map(|entry| ("link", &entry.get().path));
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let all: Vec<(&str, &Text)> = files.chain(downloads).chain(directories).chain(links).collect();
    for (section, path) in all {
        let Some(at) = path else { continue };
        if let Some(other) = seen.insert(at.get(), section) {
            let message = format!("`{}` is made by a `[[{other}]]` and by a `[[{section}]]`", at.get());
            checker.problem(&at.span(), message, "the second one", "a path can be made once; leave one of them out");
        }
    }
}

/// One number, one account.
fn ids(checker: &mut Checker<'_>, shape: &Shape) {
    let users = shape.user.iter().map(|entry| (&entry.get().name, entry.get().uid.as_ref()));
    let groups = shape.group.iter().map(|entry| (&entry.get().name, entry.get().gid.as_ref()));
    for (kind, accounts) in [("uid", users.collect::<Vec<_>>()), ("gid", groups.collect())] {
        let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
        for (name, id) in accounts {
            let (Some(name), Some(id)) = (name, id) else { continue };
            if let Some(other) = seen.insert(*id.get(), name.get()) {
                let message = format!("`{other}` and `{}` have the same {kind} {}", name.get(), id.get());
                checker.problem(
                    &id.span(),
                    message,
                    "the second one",
                    format!("leave `{kind}` out to have one chosen"),
                );
            }
        }
    }
}

fn disk(checker: &mut Checker<'_>, shape: &Shape, recipe: &Recipe) {
    let disk = &recipe.disk;
    let verity = disk.slot.div_ceil(VERITY_SHARE).next_multiple_of(MIB);
    let slots = disk.slot.saturating_add(verity).saturating_mul(2);
    // Two copies of the partition table, and alignment.
    let needed = disk.esp.saturating_add(slots).saturating_add(LEAST_STATE + 2 * MIB);
    let said = [&shape.disk.size, &shape.disk.slot, &shape.disk.esp].into_iter().flatten().next();
    // A size that is wrong in itself has been reported, and stands as 0 here.
    let sound = disk.size > 0 && disk.esp > 0 && disk.slot > 0;
    if let (Some(at), true, true) = (said, sound, disk.size < needed) {
        let needed = needed.div_ceil(MIB);
        let message = format!("`disk.size` is too small for its partitions, which need {needed} MiB");
        checker.problem(
            &at.span(),
            message,
            "",
            format!("write `size = \"{}G\"`, or smaller `slot` and `esp`", needed.div_ceil(1024)),
        );
    }
    if let (Some(at), true, true) = (&shape.disk.esp, disk.esp > 0, disk.esp < 64 * MIB) {
        checker.problem(
            &at.span(),
            "`disk.esp` is too small",
            "",
            "it holds three unified kernel images: write at least `64M`",
        );
    }
}

fn checks(checker: &mut Checker<'_>, section: &str, set: &CheckSetShape, recipe: &Recipe) {
    let running: Vec<&str> = recipe.containers.iter().filter(|c| c.run).map(|c| c.name.as_str()).collect();
    for check in &set.check {
        let Some(at): Option<&At<String>> = check.get().container.as_ref() else { continue };
        if running.contains(&at.get().as_str()) {
            continue;
        }
        let help = match nearest(at.get(), running.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "name a `[[container]]` that does not say `run = false`".to_owned(),
        };
        let message = format!("`{section}.check.container` is `{}`, and no such container runs", at.get());
        checker.problem(&at.span(), message, "", help);
    }
    if let Some((name, span)) = twice(set) {
        checker.problem(
            &span,
            format!("`{section}` has two checks called `{name}`"),
            "the second one",
            "give each its own `name`",
        );
    }
}

fn twice(set: &CheckSetShape) -> Option<(String, Range<usize>)> {
    let named: Vec<&At<String>> = set.check.iter().filter_map(|check| check.get().name.as_ref()).collect();
    let second =
        named.iter().enumerate().find(|(index, name)| named[..*index].iter().any(|other| other.get() == name.get()));
    second.map(|(_, name)| (name.get().clone(), name.span()))
}

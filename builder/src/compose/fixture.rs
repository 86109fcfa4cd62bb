//! Small packages and a small recipe for the tests of this module.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::tree::{Kind, Meta, Node, Origin, RootTree, TreePath};

use super::Inputs;
use crate::deb::Package;
use crate::lock::Lock;
use crate::recipe::{
    ArchiveSection, BootSection, CheckSet, DiskSection, ImageSection, KernelSection, PackageSection, PruneSection,
    Recipe, UnitSection, User,
};

/// A path that is sound.
pub fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

/// A package with these files, all root's, 0644.
pub fn package(name: &str, files: &[(&str, &str)]) -> Package {
    let entry = |(file, text): &(&str, &str)| {
        let kind = match text.strip_prefix("-> ") {
            Some(target) => Kind::Symlink(target.to_owned()),
            None => Kind::File(Content::from_bytes(text.as_bytes())),
        };
        (path(file), Node { meta: Meta::root_owned(0o644), kind, origin: Origin::Package(name.into()) })
    };
    Package {
        name: name.into(),
        version: "1".to_owned(),
        control: BTreeMap::from([("Architecture".to_owned(), "amd64".to_owned())]),
        scripts: BTreeMap::new(),
        control_files: BTreeMap::new(),
        entries: files.iter().map(entry).collect(),
    }
}

/// A package with nothing but a postinst.
pub fn script(name: &str, postinst: &str) -> Package {
    let mut package = package(name, &[]);
    package.scripts.insert("postinst".to_owned(), postinst.to_owned());
    package
}

/// A tree with these files.
pub fn tree(files: &[(&str, &str)]) -> RootTree {
    super::apply::merge(&[package("p", files)]).unwrap()
}

/// The text of a file.
pub fn text(tree: &RootTree, file: &str) -> String {
    tree.file(&path(file)).unwrap_or_else(|| panic!("no file `{file}`")).to_text().unwrap()
}

/// A user of the recipe.
pub fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        uid: None,
        group: None,
        groups: Vec::new(),
        home: path(&format!("/var/home/{name}")),
        shell: path("/bin/bash"),
        password_hash: None,
        authorized_keys: Vec::new(),
    }
}

/// A recipe that asks for nothing.
pub fn recipe() -> Recipe {
    Recipe {
        path: "/recipes/demo.toml".into(),
        digest: Digest::of(b""),
        image: ImageSection {
            id: "demo".to_owned(),
            version: "2026.11".to_owned(),
            description: String::new(),
            hostname: "demo-host".to_owned(),
        },
        archive: ArchiveSection { suites: Vec::new(), components: Vec::new() },
        repositories: Vec::new(),
        packages: PackageSection { add: Vec::new(), drop: Vec::new(), debs: Vec::new(), recommends: false },
        prune: PruneSection { drop: Vec::new(), keep: Vec::new() },
        kernel: KernelSection {
            package: "linux".to_owned(),
            modules: Vec::new(),
            initrd_modules: Vec::new(),
            load_ahead: Vec::new(),
            command_line: Vec::new(),
        },
        boot: BootSection { package: "systemd-boot-efi".to_owned(), timeout: 0, read_ahead: Vec::new() },
        files: Vec::new(),
        downloads: Vec::new(),
        directories: Vec::new(),
        links: Vec::new(),
        users: Vec::new(),
        groups: Vec::new(),
        units: UnitSection { enable: Vec::new(), disable: Vec::new(), mask: Vec::new() },
        drop_ins: Vec::new(),
        sysctl: BTreeMap::new(),
        containers: Vec::new(),
        accepted_scripts: Vec::new(),
        disk: DiskSection { size: 0, esp: 0, slot: 0, headroom_percent: 0, state_filesystem: "ext4".to_owned() },
        update: None,
        migrations: Vec::new(),
        health: CheckSet::default(),
        smoke: CheckSet::default(),
    }
}

/// A lock that pins nothing.
pub fn lock() -> Lock {
    Lock {
        lock_version: 1,
        request: Digest::of(b""),
        epoch: 0,
        users: BTreeMap::new(),
        groups: BTreeMap::new(),
        packages: Vec::new(),
    }
}

/// Inputs without agent, containers, downloads and local files.
pub fn inputs<'a>(recipe: &'a Recipe, lock: &'a Lock, packages: &'a [Package]) -> Inputs<'a> {
    Inputs {
        recipe,
        lock,
        packages,
        agent: Content::from_bytes(*b"agent"),
        containers: &[],
        downloads: Vec::new(),
        local_files: BTreeMap::new(),
    }
}

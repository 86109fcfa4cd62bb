//! What a build did, for a person: `report.txt` for a terminal, `report.html` for a browser.

mod html;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_images::tree::{Kind, Origin, RootTree, TreePath};

pub use html::html;
pub use text::{bytes, text};

/// Everything a report shows. Made by the build, completed by a test boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Image id.
    pub id: String,
    /// Image version.
    pub version: String,
    /// What the recipe says the image is.
    pub description: String,
    /// Root hash, hexadecimal.
    pub root_hash: String,
    /// Commit in the store.
    pub commit: String,
    /// Kernel release.
    pub kernel: String,
    /// Part of the image, and its bytes.
    pub parts: Vec<(String, u64)>,
    /// Packages, by what they have in the root, largest first.
    pub packages: Vec<PackageSize>,
    /// The root by folder.
    pub tree: Folder,
    /// Paths that were pruned, with their size and the rule.
    pub pruned: Vec<PrunedPath>,
    /// Maintainer scripts and why none of them ran.
    pub scripts: Vec<ScriptNote>,
    /// What the checks found that is no error.
    pub findings: Vec<String>,
    /// Phase and milliseconds.
    pub timings: Vec<(String, u64)>,
    /// The last test boot, if there was one.
    pub boot: Option<BootReport>,
}

/// A test boot. All times are milliseconds from power-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootReport {
    /// What executed the guest: `kvm` or `tcg`.
    pub accelerator: String,
    /// Points in time, earliest first.
    pub milestones: Vec<(String, u64)>,
    /// The units whose start took longest, longest first.
    pub units: Vec<UnitSpan>,
}

/// How long a unit took to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSpan {
    /// Its name.
    pub name: String,
    /// When its start began.
    pub started_ms: u64,
    /// When it was active.
    pub active_ms: u64,
}

/// A package in the root.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackageSize {
    /// Name, or the name of the effect or `recipe`.
    pub name: String,
    /// Version; empty for what is no package.
    pub version: String,
    /// Files and links it has in the root.
    pub files: u64,
    /// Bytes of its files in the root.
    pub bytes: u64,
}

/// A folder of the root, with all below it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Folder {
    /// Last part of the path; empty for the root.
    pub name: String,
    /// Bytes of files here and below.
    pub bytes: u64,
    /// Folders in it, largest first.
    pub folders: Vec<Folder>,
    /// Files in it of at least [`SMALLEST_FILE`] bytes: name, bytes, origin.
    pub files: Vec<(String, u64, String)>,
}

/// Files below this many bytes are only counted, not listed.
pub const SMALLEST_FILE: u64 = 64 * 1024;

/// Something pruned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PrunedPath {
    /// Where it was.
    pub path: String,
    /// Bytes saved.
    pub bytes: u64,
    /// The rule that took it.
    pub rule: String,
}

/// A maintainer script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScriptNote {
    /// Package.
    pub package: String,
    /// `postinst`, …
    pub script: String,
    /// What kind of script it is.
    pub class: String,
    /// Why not running it is fine.
    pub reason: String,
}

/// Sizes by package, largest first. `versions` gives the version of each package.
pub fn package_sizes(tree: &RootTree, versions: &BTreeMap<String, String>) -> Vec<PackageSize> {
    let mut sizes: BTreeMap<String, PackageSize> = versions
        .iter()
        .map(|(name, version)| {
            (name.clone(), PackageSize { name: name.clone(), version: version.clone(), files: 0, bytes: 0 })
        })
        .collect();
    for (_, node) in tree.iter() {
        let bytes = match &node.kind {
            Kind::Folder => continue,
            Kind::File(content) => content.len(),
            _ => 0,
        };
        let name = origin_name(&node.origin);
        let entry = sizes.entry(name.clone()).or_insert_with(|| PackageSize {
            name,
            version: String::new(),
            files: 0,
            bytes: 0,
        });
        entry.files += 1;
        entry.bytes += bytes;
    }
    let mut sizes: Vec<PackageSize> = sizes.into_values().collect();
    sizes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    sizes
}

/// The root by folder, largest first at every level.
pub fn folder_sizes(tree: &RootTree) -> Folder {
    folder(tree, &TreePath::root())
}

fn folder(tree: &RootTree, path: &TreePath) -> Folder {
    let mut result = Folder { name: path.name().to_owned(), ..Folder::default() };
    for (child, node) in tree.children(path) {
        match &node.kind {
            Kind::Folder => {
                let folder = folder(tree, child);
                result.bytes += folder.bytes;
                if folder.bytes > 0 {
                    result.folders.push(folder);
                }
            }
            Kind::File(content) => {
                result.bytes += content.len();
                if content.len() >= SMALLEST_FILE {
                    result.files.push((child.name().to_owned(), content.len(), origin_name(&node.origin)));
                }
            }
            _ => {}
        }
    }
    result.folders.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    result.files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    result
}

fn origin_name(origin: &Origin) -> String {
    match origin {
        Origin::Package(name) => name.to_string(),
        Origin::Effect(name) => format!("effect: {name}"),
        Origin::Recipe => "recipe".to_owned(),
    }
}

#[cfg(test)]
pub(crate) use tests::report as sample;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    pub(crate) fn report() -> Report {
        let mut tree = RootTree::new();
        let package = |name: &str| Origin::Package(name.into());
        tree.insert_file("/usr/bin/dockerd".parse().unwrap(), 0o755, vec![1; 300_000], package("docker.io")).unwrap();
        tree.insert_file("/usr/bin/ls".parse().unwrap(), 0o755, vec![1; 100_000], package("coreutils")).unwrap();
        tree.insert_file("/etc/hostname".parse().unwrap(), 0o644, "host\n", Origin::Effect("host".into())).unwrap();
        let versions = BTreeMap::from([("docker.io".into(), "26.1".into()), ("coreutils".into(), "9.7".into())]);
        Report {
            id: "test".into(),
            version: "1".into(),
            description: "a <test> & more".into(),
            root_hash: "ab".repeat(32),
            commit: "cd".repeat(32),
            kernel: "6.12".into(),
            parts: vec![("root.erofs".into(), 409_600), ("uki.efi".into(), 1_000)],
            packages: package_sizes(&tree, &versions),
            tree: folder_sizes(&tree),
            pruned: vec![PrunedPath { path: "/usr/share/doc/x".into(), bytes: 10, rule: "/usr/share/doc/**".into() }],
            scripts: vec![ScriptNote {
                package: "docker.io".into(),
                script: "postinst".into(),
                class: "modelled".into(),
                reason: "group docker".into(),
            }],
            findings: vec!["/usr/bin/x: suggested library libfoo.so.1 is not there".into()],
            timings: vec![("unpack".into(), 4000)],
            boot: Some(BootReport {
                accelerator: "tcg".into(),
                milestones: vec![("kernel".into(), 7000), ("multi-user".into(), 20_000)],
                units: vec![UnitSpan { name: "docker.service".into(), started_ms: 9000, active_ms: 19_250 }],
            }),
        }
    }

    #[test]
    fn sizes_add_up_by_package_and_by_folder() {
        let report = report();
        let names: Vec<&str> = report.packages.iter().map(|size| size.name.as_str()).collect();
        assert_eq!(names, ["docker.io", "coreutils", "effect: host"]);
        assert_eq!(report.tree.bytes, 400_005);
        assert_eq!(report.tree.bytes, report.packages.iter().map(|size| size.bytes).sum::<u64>());
        assert_eq!(report.tree.folders[0].name, "usr");
        assert_eq!(report.tree.folders[0].folders[0].files[0], ("dockerd".into(), 300_000, "docker.io".into()));
    }
}

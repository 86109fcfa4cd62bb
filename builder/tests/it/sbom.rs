//! The bill of materials against the official schema of CycloneDX 1.6.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::{Registry, Resource};
use serde_json::Value;
use slipway_builder::deb::Package;
use slipway_builder::lock::{Lock, LockedPackage, Role};
use slipway_builder::recipe::{Download, DownloadTarget, Ownership, Recipe};
use slipway_builder::sbom::sbom;
use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::tree::{Kind, Meta, Node, Origin, TreePath};

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cyclonedx").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn package(name: &str, version: &str, repository: &str, role: Role) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        source: name.to_owned(),
        role,
        repository: repository.to_owned(),
        path: format!("pool/{name}.deb"),
        size: 1,
        sha256: Digest::of(name.as_bytes()),
    }
}

fn base_files() -> Package {
    let text = "PRETTY_NAME=\"Debian GNU/Linux 13\"\nID=debian\nVERSION_ID=\"13\"\n";
    let meta = Meta::root_owned(0o644);
    let node = Node { meta, kind: Kind::File(Content::from_bytes(text)), origin: Origin::Recipe };
    let control = [
        ("Maintainer", "A Person <a@example.org>"),
        ("Description", "base system\n long text"),
        ("Homepage", "https://example.org/"),
    ];
    Package {
        name: "base-files".into(),
        version: "13.8".to_owned(),
        control: control.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        scripts: BTreeMap::new(),
        control_files: BTreeMap::new(),
        entries: vec![(TreePath::new("/usr/lib/os-release").unwrap(), node)],
    }
}

fn bill_with(version: &str) -> Value {
    let mut recipe = Recipe::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/minimal.toml")).unwrap();
    recipe.downloads.push(Download {
        url: "https://example.org/k3s".to_owned(),
        sha256: Digest::of(b"k3s"),
        target: DownloadTarget::File(TreePath::new("/usr/bin/k3s").unwrap()),
        ownership: Ownership { owner: "root".to_owned(), group: "root".to_owned(), mode: 0o755 },
    });
    let lock = Lock {
        lock_version: 1,
        request: Digest::of(b""),
        epoch: 1_795_364_090,
        users: BTreeMap::new(),
        groups: BTreeMap::new(),
        packages: vec![
            package("base-files", "13.8", "debian", Role::Root),
            package("libstdc++6", version, "debian-security", Role::Root),
            package("systemd-boot-efi", "257", "debian", Role::Boot),
            package("tool", "1", "vendor", Role::Container),
        ],
    };
    sbom(&recipe, &lock, &[base_files()])
}

fn bill() -> Value {
    bill_with("1:14.2.0-19+b1~x")
}

#[test]
fn a_bill_of_materials_is_valid_and_a_spoilt_one_is_not() {
    let base = "http://cyclonedx.org/schema/";
    let mut registry = Registry::new();
    for name in ["spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json"] {
        registry = registry.add(format!("{base}{name}"), Resource::from_contents(schema(name))).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let main = schema("bom-1.6.SNAPSHOT.schema.json");
    let validator = jsonschema::options().with_registry(&registry).build(&main).unwrap();
    let good = bill();
    let errors: Vec<String> = validator.iter_errors(&good).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (pointer, bad) in
        [("/components/0/type", "banana"), ("/serialNumber", "1"), ("/components/1/hashes/0/content", "x")]
    {
        let mut spoilt = good.clone();
        *spoilt.pointer_mut(pointer).unwrap() = bad.into();
        assert!(!validator.is_valid(&spoilt), "{pointer}");
    }
    assert_eq!(good, bill(), "the same inputs give the same bill");
}

#[test]
fn packages_are_named_by_package_urls_and_described() {
    let bill = bill();
    let urls: Vec<&str> =
        bill["components"].as_array().unwrap().iter().filter_map(|component| component["purl"].as_str()).collect();
    assert_eq!(
        urls,
        [
            "pkg:deb/debian/base-files@13.8?arch=amd64&distro=debian-13",
            "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19%2Bb1~x?arch=amd64&distro=debian-13",
            "pkg:deb/debian/systemd-boot-efi@257?arch=amd64&distro=debian-13",
            "pkg:deb/vendor/tool@1?arch=amd64",
        ]
    );
    let base_files = &bill["components"][0];
    assert_eq!(
        (&base_files["supplier"]["name"], &base_files["description"]),
        (&"A Person".into(), &"base system".into())
    );
    assert_eq!(bill["components"][4]["name"], "k3s");
    assert_eq!(bill["metadata"]["timestamp"], "2026-11-22T16:14:50Z");
}

#[test]
fn the_serial_number_changes_with_what_is_listed() {
    assert_ne!(bill()["serialNumber"], bill_with("2")["serialNumber"]);
}

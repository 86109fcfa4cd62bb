//! The bill of materials against the official schema of CycloneDX 1.6.

use std::collections::BTreeMap;
use std::path::Path;

use jsonschema::{Registry, Resource};
use serde_json::Value;
use slipway_builder::lock::{Lock, LockedPackage, Role};
use slipway_builder::recipe::Recipe;
use slipway_builder::sbom::sbom;
use slipway_images::digest::Digest;

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

fn bill() -> Value {
    let recipe = Recipe::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/minimal.toml")).unwrap();
    let lock = Lock {
        lock_version: 1,
        request: Digest::of(b""),
        epoch: 1_795_364_090,
        users: BTreeMap::new(),
        groups: BTreeMap::new(),
        packages: vec![
            package("libstdc++6", "1:14.2.0-19+b1~x", "debian-security", Role::Root),
            package("systemd-boot-efi", "257", "debian", Role::Boot),
            package("tool", "1", "local", Role::Container),
        ],
    };
    sbom(&recipe, &lock)
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

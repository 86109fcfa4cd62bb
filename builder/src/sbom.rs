//! The software bill of materials of an image: CycloneDX 1.6, JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway_images::disk::derived_uuid;

use crate::lock::{Lock, LockedPackage, Role};
use crate::recipe::Recipe;

/// The bill for the image of `recipe` with the packages of `lock`: what is in the root, and what boots it. The same
/// inputs give the same bytes: serial number and time derive from them.
pub fn sbom(recipe: &Recipe, lock: &Lock) -> Value {
    let image = &recipe.image;
    let root_ref = format!("image:{}@{}", image.id, image.version);
    let components: Vec<Value> = lock.packages.iter().map(component).collect();
    let references: Vec<String> = lock.packages.iter().map(package_url).collect();
    let serial = derived_uuid("sbom", &[&image.id, &image.version, &lock.request.to_hex(), &references.concat()]);
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{serial}"),
        "version": 1,
        "metadata": {
            "timestamp": timestamp(lock.epoch),
            "tools": { "components": [{
                "type": "application", "name": "slipway", "version": env!("CARGO_PKG_VERSION"),
            }] },
            "component": {
                "type": "operating-system",
                "bom-ref": root_ref,
                "name": image.id,
                "version": image.version,
                "description": image.description,
            },
        },
        "components": components,
        "dependencies": [{ "ref": root_ref, "dependsOn": references }],
    })
}

fn component(package: &LockedPackage) -> Value {
    let url = package_url(package);
    let properties: BTreeMap<&str, String> = BTreeMap::from([
        ("slipway:role", role(package.role).to_owned()),
        ("slipway:repository", package.repository.clone()),
        ("slipway:path", package.path.clone()),
        ("debian:source", package.source.clone()),
    ]);
    json!({
        "type": "library",
        "bom-ref": url,
        "name": package.name,
        "version": package.version,
        "purl": url,
        "hashes": [{ "alg": "SHA-256", "content": package.sha256.to_hex() }],
        "properties": properties.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Root => "root",
        Role::Boot => "boot",
        Role::Container => "container",
    }
}

/// Package URL (the `deb` type of the purl specification). `+`, `:` and `~` are percent-encoded where it says so.
fn package_url(package: &LockedPackage) -> String {
    let version: String = package
        .version
        .chars()
        .map(|c| match c {
            '+' => "%2B".to_owned(),
            ':' => "%3A".to_owned(),
            _ => c.to_string(),
        })
        .collect();
    let namespace = if package.repository.starts_with("debian") { "debian/" } else { "" };
    format!("pkg:deb/{namespace}{}@{version}?arch={}", package.name.replace('+', "%2B"), package.architecture)
}

/// RFC 3339, UTC, for seconds since 1970.
fn timestamp(seconds: u64) -> String {
    crate::calendar::Utc::from_seconds(seconds).rfc3339()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use slipway_images::digest::Digest;

    use super::*;

    #[test]
    fn package_urls_are_encoded() {
        let package = LockedPackage {
            name: "libstdc++6".into(),
            version: "1:14.2.0-19+b1".into(),
            architecture: "amd64".into(),
            source: "gcc-14".into(),
            role: Role::Root,
            repository: "debian-security".into(),
            path: "pool/main/g/x.deb".into(),
            size: 1,
            sha256: Digest::of(b""),
        };
        assert_eq!(package_url(&package), "pkg:deb/debian/libstdc%2B%2B6@1%3A14.2.0-19%2Bb1?arch=amd64");
    }
}

//! The software bill of materials of an image: CycloneDX 1.6, JSON (ECMA-424).
//!
//! Same inputs, same bytes: the serial number derives from what is listed, the time is the lock's epoch. Where packages
//! were fetched from is no part of it: their paths are those below any mirror.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use slipway_images::calendar::Moment;
use slipway_images::disk::derived_uuid;
use slipway_images::tree::Kind;

use crate::deb::Package;
use crate::lock::{Lock, LockedPackage, Role};
use crate::recipe::{Download, Recipe};

/// The bill for the image of `recipe` with the packages of `lock`: what is in the root, what boots it, what its
/// containers are made of, and what the recipe downloads. `packages` are those that were unpacked; what they say of
/// themselves goes into it.
pub fn sbom<'a>(recipe: &Recipe, lock: &Lock, packages: impl IntoIterator<Item = &'a Package>) -> Value {
    let image = &recipe.image;
    let unpacked: BTreeMap<&str, &Package> = packages.into_iter().map(|package| (&*package.name, package)).collect();
    let distribution = distribution(&unpacked);
    let root_ref = format!("image:{}@{}", image.id, image.version);
    let of_package = |locked: &LockedPackage| {
        package_component(locked, unpacked.get(locked.name.as_str()).copied(), distribution.as_deref())
    };
    let mut components: Vec<Value> = lock.packages.iter().map(of_package).collect();
    components.extend(recipe.downloads.iter().map(download_component));
    let references: Vec<Value> = components.iter().map(|component| component["bom-ref"].clone()).collect();
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": Moment::from_seconds(lock.epoch).rfc3339(),
            "tools": { "components": [{
                "type": "application", "name": "slipway", "version": env!("CARGO_PKG_VERSION"),
            }] },
            "component": {
                "type": "operating-system",
                "bom-ref": root_ref,
                "name": image.id,
                "version": image.version,
                "description": image.description,
                "properties": [{ "name": "slipway:recipe:sha256", "value": recipe.digest.to_hex() }],
            },
        },
        "components": components,
        "dependencies": [{ "ref": root_ref, "dependsOn": references }],
    });
    let serial = derived_uuid("sbom", &[&bill.to_string()]);
    bill["serialNumber"] = format!("urn:uuid:{serial}").into();
    bill
}

fn package_component(locked: &LockedPackage, unpacked: Option<&Package>, distribution: Option<&str>) -> Value {
    let url = package_url(locked, distribution);
    let field = |name: &str| unpacked.and_then(|package| package.control.get(name)).map(String::as_str);
    let is_library = field("Section").is_some_and(|section| section.ends_with("libs"));
    let mut component = Map::new();
    let mut put = |name: &str, value: Value| component.insert(name.to_owned(), value);
    put("type", if is_library { "library" } else { "application" }.into());
    put("bom-ref", url.clone().into());
    if let Some(maintainer) = field("Maintainer") {
        let name = maintainer.split('<').next().unwrap_or(maintainer).trim();
        put("supplier", json!({ "name": name }));
    }
    put("name", locked.name.clone().into());
    put("version", locked.version.clone().into());
    if let Some(summary) = field("Description").and_then(|text| text.lines().next()) {
        put("description", summary.into());
    }
    put("hashes", json!([{ "alg": "SHA-256", "content": locked.sha256.to_hex() }]));
    put("purl", url.into());
    if let Some(homepage) = field("Homepage") {
        put("externalReferences", json!([{ "type": "website", "url": homepage }]));
    }
    let properties = json!([
        { "name": "debian:source", "value": locked.source },
        { "name": "slipway:path", "value": locked.path },
        { "name": "slipway:repository", "value": locked.repository },
        { "name": "slipway:role", "value": role(locked.role) },
    ]);
    put("properties", properties);
    component.into()
}

fn download_component(download: &Download) -> Value {
    json!({
        "type": "file",
        "bom-ref": format!("sha256:{}", download.sha256),
        "name": download.url.rsplit('/').next().unwrap_or(&download.url),
        "hashes": [{ "alg": "SHA-256", "content": download.sha256.to_hex() }],
        "externalReferences": [{ "type": "distribution", "url": download.url }],
    })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Root => "root",
        Role::Boot => "boot",
        Role::Container => "container",
    }
}

/// The package URL (purl specification, type `deb`). Repositories that aren't Debian's stand as the vendor.
fn package_url(locked: &LockedPackage, distribution: Option<&str>) -> String {
    let of_debian = locked.repository.starts_with("debian");
    let vendor = if of_debian { "debian" } else { locked.repository.as_str() };
    let parts = [vendor, &locked.name, &locked.version, &locked.architecture].map(percent_encoded);
    let [vendor, name, version, architecture] = parts;
    let mut url = format!("pkg:deb/{vendor}/{name}@{version}?arch={architecture}");
    if let Some(distribution) = distribution.filter(|_| of_debian) {
        url.push_str("&distro=");
        url.push_str(&percent_encoded(distribution));
    }
    url
}

/// As package URLs want it: letters, digits, `.-_~` and the colon stay.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

/// `debian-13`, from the `os-release` that base-files brings.
fn distribution(packages: &BTreeMap<&str, &Package>) -> Option<String> {
    let base_files = packages.get("base-files")?;
    let (_, node) = base_files.entries.iter().find(|(path, _)| path.as_str() == "/usr/lib/os-release")?;
    let Kind::File(content) = &node.kind else { return None };
    let text = content.to_text().ok()?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    Some(format!("{}-{}", value("ID")?, value("VERSION_ID")?))
}

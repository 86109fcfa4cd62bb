#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};

use serde_json::{Value, json};
use slipway_images::tree::{Kind, Meta, Node, Origin, TreePath};
use tempfile::TempDir;

use super::*;

fn container(image: ContainerImage) -> Container {
    Container {
        name: "web".to_owned(),
        image,
        run: true,
        command: vec!["/bin/busybox".to_owned(), "true".to_owned()],
        ports: Vec::new(),
        volumes: Vec::new(),
        environment: BTreeMap::new(),
        network: "bridge".to_owned(),
    }
}

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in files {
        tar.append_data(&mut write::header(tar::EntryType::Regular, 0o644, data.len() as u64, 7), path, *data).unwrap();
    }
    tar.into_inner().unwrap()
}

fn files_of(archive: &Content) -> BTreeMap<String, Vec<u8>> {
    let bytes = archive.to_vec().unwrap();
    let mut tar = tar::Archive::new(&bytes[..]);
    let mut files = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), data);
    }
    files
}

/// An image with one gzipped layer, as the files of an OCI layout; `change` may spoil the configuration.
fn layout(change: impl Fn(&mut Value)) -> BTreeMap<String, Vec<u8>> {
    let layer = tar_of(&[("hello", b"world")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&layer).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [oci_digest(Digest::of(&layer))] },
    });
    change(&mut config);
    let config = config.to_string().into_bytes();
    let descriptor =
        |data: &[u8]| json!({ "mediaType": "x", "digest": oci_digest(Digest::of(data)), "size": data.len() });
    let manifest = json!({ "schemaVersion": 2, "config": descriptor(&config), "layers": [descriptor(&gzip)] });
    let manifest = manifest.to_string().into_bytes();
    let mut attestation = descriptor(b"none");
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let nested = json!({ "manifests": [descriptor(&manifest), attestation] }).to_string().into_bytes();
    let mut top = descriptor(&nested);
    top["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
    let index = json!({ "manifests": [top] }).to_string().into_bytes();
    let mut files = BTreeMap::from([("index.json".to_owned(), index)]);
    for blob in [gzip, config, manifest, nested] {
        files.insert(format!("blobs/sha256/{}", Digest::of(&blob)), blob);
    }
    files
}

fn pack_files(files: &BTreeMap<String, Vec<u8>>) -> Result<Content, ContainerError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image.tar");
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, data)| (path.as_str(), data.as_slice())).collect();
    fs::write(&path, tar_of(&files)).unwrap();
    pack(&container(ContainerImage::Local(path)), None, 9, folder.path())
}

fn refusal(files: &BTreeMap<String, Vec<u8>>) -> String {
    pack_files(files).unwrap_err().to_string()
}

/// What `docker load` looks at: the manifest, and that everything it names is there and is what it is called.
fn check_as_docker(archive: &Content) -> Value {
    let files = files_of(archive);
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], "web:latest");
    let config = manifest[0]["Config"].as_str().unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    for path in layers.iter().map(|layer| layer.as_str().unwrap()).chain([config]) {
        assert_eq!(path, format!("blobs/sha256/{}", Digest::of(&files[path])));
    }
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let named = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    let oci: Value = serde_json::from_slice(&files[&format!("blobs/{named}")]).unwrap();
    assert_eq!(oci["layers"].as_array().unwrap().len(), layers.len());
    assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    serde_json::from_slice(&files[config]).unwrap()
}

#[test]
fn a_layout_keeps_its_configuration_and_layers() {
    let files = layout(|_| ());
    let archive = pack_files(&files).unwrap();
    check_as_docker(&archive);
    let packed = files_of(&archive);
    for (path, data) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
        // The manifest and the nested index are written anew.
        assert!(packed.get(path).is_none_or(|packed| packed == data));
    }
    assert_eq!(archive, pack_files(&files).unwrap(), "the same bytes again");
    assert_eq!(archive, pack_files(&packed).unwrap(), "what is written is read as the same image");
}

#[test]
fn a_layout_in_a_folder_is_the_same() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
    let files = layout(|_| ());
    for (path, data) in &files {
        fs::write(folder.path().join(path), data).unwrap();
    }
    let wanted = container(ContainerImage::Local(folder.path().to_owned()));
    assert_eq!(pack(&wanted, None, 9, folder.path()).unwrap(), pack_files(&files).unwrap());
}

#[test]
fn an_archive_of_docker_save_is_taken_with_links_for_equal_layers() {
    let layer = tar_of(&[("hello", b"world")]);
    let id = oci_digest(Digest::of(&layer));
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "diff_ids": [id, id] } }).to_string();
    let manifest =
        json!([{ "Config": "c.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar", "b/layer.tar"] }]).to_string();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in
        [("c.json", config.as_bytes()), ("manifest.json", manifest.as_bytes()), ("a/layer.tar", &layer[..])]
    {
        tar.append_data(&mut write::header(tar::EntryType::Regular, 0o644, data.len() as u64, 7), path, data).unwrap();
    }
    let mut link = write::header(tar::EntryType::Symlink, 0o777, 0, 7);
    tar.append_link(&mut link, "b/layer.tar", "../a/layer.tar").unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("image.tar.zst");
    fs::write(&path, zstd::encode_all(&tar.into_inner().unwrap()[..], 1).unwrap()).unwrap();
    let archive = pack(&container(ContainerImage::Local(path)), None, 9, folder.path()).unwrap();
    assert_eq!(check_as_docker(&archive)["rootfs"]["diff_ids"][1], id);
}

#[test]
fn images_that_would_not_load_are_refused_at_build() {
    let arm = layout(|config| config["architecture"] = "arm64".into());
    assert!(refusal(&arm).contains("linux/arm64"), "{}", refusal(&arm));
    let diff_id = layout(|config| config["rootfs"]["diff_ids"][0] = oci_digest(Digest::of(b"")).into());
    assert!(refusal(&diff_id).contains("layer is damaged"));
    let layers = layout(|config| config["rootfs"]["diff_ids"] = json!([]));
    assert!(refusal(&layers).contains("another number of layers"));
    let mut flipped = layout(|_| ());
    for (_, data) in flipped.iter_mut().filter(|(path, _)| path.starts_with("blobs/")) {
        let last = data.len() - 1;
        data[last] ^= 1;
    }
    assert!(refusal(&flipped).contains("is damaged"));
    let mut missing = layout(|_| ());
    missing.retain(|path, _| path == "index.json");
    assert!(refusal(&missing).contains("it has no `blobs/sha256/"));
    assert!(refusal(&BTreeMap::from([("x".to_owned(), Vec::new())])).contains("neither `index.json`"));
}

#[test]
fn a_package_becomes_an_image_without_its_documentation() {
    let node = |kind| Node { meta: Meta::root_owned(0o755), kind, origin: Origin::Recipe };
    let file = |text: &str| Kind::File(Content::from_bytes(text));
    let entries = [
        ("/usr/bin/busybox", file("binary")),
        ("/usr/bin/other", Kind::HardLink(TreePath::new("/usr/bin/busybox").unwrap())),
        ("/usr/share/doc/busybox/README", file("text")),
    ];
    let package = Package {
        name: "busybox-static".into(),
        version: "1".to_owned(),
        control: BTreeMap::new(),
        scripts: BTreeMap::new(),
        control_files: BTreeMap::new(),
        entries: entries.map(|(path, kind)| (TreePath::new(path).unwrap(), node(kind))).to_vec(),
    };
    let wanted = container(ContainerImage::Package("busybox-static".to_owned()));
    let folder = TempDir::new().unwrap();
    let archive = pack(&wanted, Some(&package), 0, folder.path()).unwrap();
    let config = check_as_docker(&archive);
    assert_eq!(config["config"]["Cmd"], json!(["/bin/busybox", "true"]));
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let layer = config["rootfs"]["diff_ids"][0].as_str().unwrap().replace(':', "/");
    let layer = Content::from_bytes(files_of(&archive)[&format!("blobs/{layer}")].clone());
    let names: Vec<String> = files_of(&layer).into_keys().collect();
    assert_eq!(names, ["bin", "usr/", "usr/bin/", "usr/bin/busybox", "usr/bin/other"]);
    assert!(pack(&wanted, None, 0, folder.path()).unwrap_err().to_string().contains("slipway lock"));
}

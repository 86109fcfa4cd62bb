//! Container images in archives that anybody may have made. What is carried can be imported again, and comes out as the same bytes.
//!
//! The first byte says what is damaged: a document of the layout, the archive, or the layer.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use slipway_builder::compose::container::pack;
use slipway_builder::recipe::{Container, ContainerImage};
use slipway_fuzz::{damaged, first};
use slipway_images::content::Content;
use slipway_images::digest::Digest;
use tempfile::TempDir;

fuzz_target!(|input: &[u8]| {
    let Some((kind, changes)) = input.split_first() else { return };
    first(|| assert!(imported(0, &[]) && imported(128, &[])));
    imported(*kind, changes);
});

/// Whether it is an image that can be carried.
fn imported(kind: u8, changes: &[u8]) -> bool {
    let hurt = |number: u8, good: Vec<u8>| if kind & 7 == number { damaged(&good, changes) } else { good };
    let layer = tar_of(&[("hello", b"world")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&layer).expect("memory takes it");
    let gzip = hurt(0, gzip.finish().expect("memory takes it"));
    let rootfs = json!({ "type": "layers", "diff_ids": [format!("sha256:{}", Digest::of(&layer))] });
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs });
    let config = hurt(1, config.to_string().into_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": descriptor(&config), "layers": [descriptor(&gzip)] });
    let manifest = hurt(2, manifest.to_string().into_bytes());
    let mut nested = descriptor(&manifest);
    nested["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    let nested = hurt(3, json!({ "manifests": [nested] }).to_string().into_bytes());
    let mut top = descriptor(&nested);
    top["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
    let index = hurt(4, json!({ "manifests": [top] }).to_string().into_bytes());
    let docker = json!([{ "Config": "c.json", "Layers": ["l.tar"] }]).to_string().into_bytes();
    let docker = hurt(5, docker);
    let archive = if kind & 128 == 0 {
        let names: Vec<String> = [&gzip, &config, &manifest, &nested]
            .iter()
            .map(|blob| format!("blobs/sha256/{}", Digest::of(blob)))
            .collect();
        tar_of(&[
            ("index.json", &index),
            (&names[0], &gzip),
            (&names[1], &config),
            (&names[2], &manifest),
            (&names[3], &nested),
        ])
    } else {
        tar_of(&[("manifest.json", &docker), ("c.json", &config), ("l.tar", &gzip)])
    };
    let Some(archive) = carried(&hurt(6, archive)) else { return false };
    let archive = archive.to_vec().expect("it can be read");
    let again = carried(&archive).expect("what was carried can be imported");
    assert_eq!(again.to_vec().expect("it can be read"), archive);
    true
}

fn descriptor(data: &[u8]) -> Value {
    json!({ "mediaType": "x", "digest": format!("sha256:{}", Digest::of(data)), "size": data.len() })
}

fn carried(archive: &[u8]) -> Option<Content> {
    // In memory, as nearly every machine has it.
    let folder = TempDir::new_in("/dev/shm").expect("there is a file system in memory");
    let path = folder.path().join("image.tar");
    fs::write(&path, archive).expect("the file system has room");
    let container = Container {
        name: "web".to_owned(),
        image: ContainerImage::Local(path),
        run: true,
        command: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        environment: BTreeMap::new(),
        network: "bridge".to_owned(),
    };
    pack(&container, None, 9, folder.path()).ok()
}

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(data.len() as u64);
        tar.append_data(&mut header, path, *data).expect("memory takes it");
    }
    tar.into_inner().expect("memory takes it")
}

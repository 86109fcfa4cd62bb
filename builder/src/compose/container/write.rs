//! The archive that goes out.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use slipway_images::content::Content;
use slipway_images::digest::Digest;
use tar::{Builder, EntryType, Header};

use super::{Image, oci_digest};
use crate::archive::spool::Spool;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// `image` as a layout and an archive of `docker save` under the reference `NAME:latest`.
pub fn archive(name: &str, image: &Image, epoch: u64, spool: &mut Spool) -> io::Result<Content> {
    let mut blobs: BTreeMap<Digest, Content> = BTreeMap::new();
    let mut descriptor = |media_type: &str, blob: &Content| {
        blobs.insert(blob.digest(), blob.clone());
        json!({ "mediaType": media_type, "digest": oci_digest(blob.digest()), "size": blob.len() })
    };
    let layers: Vec<Value> = image.layers.iter().map(|layer| descriptor(layer.media_type, &layer.blob)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &image.config),
        "layers": layers,
    });
    let mut entry = descriptor(MANIFEST, &Content::from_bytes(manifest.to_string()));
    entry["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/{name}:latest"),
        "org.opencontainers.image.ref.name": "latest",
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let path = |digest: Digest| format!("blobs/sha256/{digest}");
    let docker = json!([{
        "Config": path(image.config.digest()),
        "RepoTags": [format!("{name}:latest")],
        "Layers": image.layers.iter().map(|layer| path(layer.blob.digest())).collect::<Vec<_>>(),
    }]);
    spool.write(|sink| {
        let mut tar = Builder::new(sink);
        // What says what is in here comes first, so that a reader finds it without going through the layers.
        for (name, value) in [("manifest.json", docker), ("index.json", index)] {
            append(&mut tar, name, &Content::from_bytes(value.to_string()), epoch)?;
        }
        append(&mut tar, "oci-layout", &Content::from_bytes(*br#"{"imageLayoutVersion":"1.0.0"}"#), epoch)?;
        for folder in ["blobs/", "blobs/sha256/"] {
            tar.append_data(&mut header(EntryType::Directory, 0o755, 0, epoch), folder, io::empty())?;
        }
        for (digest, blob) in &blobs {
            append(&mut tar, &path(*digest), blob, epoch)?;
        }
        tar.into_inner()?.flush()
    })
}

fn append(tar: &mut Builder<impl Write>, path: &str, content: &Content, epoch: u64) -> io::Result<()> {
    tar.append_data(&mut header(EntryType::Regular, 0o644, content.len(), epoch), path, content.reader())
}

/// A header with nothing in it that depends on the machine.
pub fn header(kind: EntryType, mode: u32, size: u64, epoch: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(epoch);
    header
}

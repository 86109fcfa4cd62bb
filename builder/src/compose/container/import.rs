//! Images that the user brings: an OCI image layout (folder or tar) or an archive of `docker save`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use slipway_images::content::{Content, ReadAt};
use slipway_images::digest::Digest;

use super::{ContainerError, Image, Layer};
use crate::archive::ArchiveError;
use crate::archive::compression::{Capped, Compression, Threads};
use crate::archive::spool::Spool;
use crate::archive::tar::{Limits, MemberKind, read_members};

/// Most that an archive of an image may hold, and that a layer may hold once it is decompressed.
const LIMITS: Limits = Limits { bytes: 64 << 30, members: 10_000 };
/// Most bytes of a manifest, an index or a configuration: registries refuse more than 4 MiB.
const MAX_JSON: u64 = 4 << 20;
/// An index of a layout may point at indexes, which point at manifests.
const MAX_DEPTH: usize = 3;
const BUFFER: usize = 128 << 10;

/// The image at `path` for the container `name`.
pub fn import(name: &str, path: &Path, spool: &mut Spool) -> Result<Image, ContainerError> {
    let read = |source| ContainerError::Read { name: name.to_owned(), path: path.to_owned(), source };
    let files = if path.metadata().map_err(read)?.is_dir() {
        read_folder(path, Path::new("")).map_err(read)?
    } else {
        read_archive(path, spool).map_err(|error| match error {
            Stop::Read(source) => read(source),
            Stop::Write(source) => ContainerError::Write { name: name.to_owned(), source },
            Stop::Archive(source) => ContainerError::Archive { name: name.to_owned(), path: path.to_owned(), source },
        })?
    };
    let bundle = Bundle { files };
    let image = bundle.image().and_then(|image| check(&image).map(|()| image));
    image.map_err(|what| ContainerError::Image { name: name.to_owned(), what: format!("`{}`: {what}", path.display()) })
}

/// The files of a layout or archive, by path; links of old archives stand for what they point at.
struct Bundle {
    files: BTreeMap<String, Content>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    architecture: String,
    os: String,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Bundle {
    /// The one image for this architecture. Errors say what is wrong.
    fn image(&self) -> Result<Image, String> {
        if self.files.contains_key("index.json") {
            let index: Index = self.json("index.json")?;
            let manifest = self.choose(index.manifests, MAX_DEPTH)?;
            let manifest: Manifest = parse(&self.blob(&manifest)?, "the manifest")?;
            let layers = manifest.layers.iter().map(|layer| self.blob(layer).and_then(layer_of));
            return Ok(Image { config: self.blob(&manifest.config)?, layers: layers.collect::<Result<_, _>>()? });
        }
        if self.files.contains_key("manifest.json") {
            let manifests: Vec<DockerManifest> = self.json("manifest.json")?;
            let [manifest] = &manifests[..] else {
                return Err(format!("it holds {} images; save the one that is wanted", manifests.len()));
            };
            let file = |path: &String| self.file(path).cloned();
            let layers = manifest.layers.iter().map(|path| file(path).and_then(layer_of));
            return Ok(Image { config: file(&manifest.config)?, layers: layers.collect::<Result<_, _>>()? });
        }
        Err("it has neither `index.json` nor `manifest.json`, so it is no OCI layout and no archive of `docker save`"
            .to_owned())
    }

    fn choose(&self, candidates: Vec<Descriptor>, depth: usize) -> Result<Descriptor, String> {
        let fits = |candidate: &Descriptor| {
            let attestation = candidate.annotations.contains_key("vnd.docker.reference.type");
            let platform = candidate.platform.as_ref();
            !attestation && platform.is_none_or(|it| it.architecture == "amd64" && it.os == "linux")
        };
        let found: Vec<Descriptor> = candidates.into_iter().filter(fits).collect();
        let [one] = &found[..] else {
            return Err(format!("it holds {} images for linux/amd64, and one is wanted", found.len()));
        };
        if one.media_type.contains("index") || one.media_type.contains("manifest.list") {
            let depth = depth.checked_sub(1).ok_or("its indexes are nested too deeply")?;
            let nested: Index = parse(&self.blob(one)?, "an index")?;
            return self.choose(nested.manifests, depth);
        }
        Ok(one.clone())
    }

    fn file(&self, path: &str) -> Result<&Content, String> {
        self.files.get(path).ok_or_else(|| format!("it has no `{path}`"))
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        parse(self.file(path)?, path)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Content, String> {
        let digest = &descriptor.digest;
        let hex = digest.strip_prefix("sha256:").and_then(|hex| hex.parse::<Digest>().ok());
        let hex = hex.ok_or_else(|| format!("`{digest}` is no SHA-256 digest"))?;
        let blob = self.file(&format!("blobs/sha256/{hex}"))?;
        if blob.digest() != hex || blob.len() != descriptor.size {
            return Err(format!("the blob `{digest}` is damaged: it is {} bytes with {}", blob.len(), blob.digest()));
        }
        Ok(blob.clone())
    }
}

/// Compares the layers with what the configuration says they are.
fn check(image: &Image) -> Result<(), String> {
    let config: Config = parse(&image.config, "the configuration")?;
    if (config.architecture.as_str(), config.os.as_str()) != ("amd64", "linux") {
        return Err(format!("it is for {}/{}, and the host is linux/amd64", config.os, config.architecture));
    }
    if config.rootfs.diff_ids.len() != image.layers.len() {
        return Err("its configuration lists another number of layers than its manifest".to_owned());
    }
    for (layer, expected) in image.layers.iter().zip(&config.rootfs.diff_ids) {
        let found = uncompressed_digest(&layer.blob).map_err(|error| format!("a layer can't be read: {error}"))?;
        if *expected != super::oci_digest(found) {
            return Err(format!("a layer is damaged: {expected} was expected, and it is sha256:{found}"));
        }
    }
    Ok(())
}

fn layer_of(blob: Content) -> Result<Layer, String> {
    let media_type = match compression(&blob).map_err(|error| format!("a layer can't be read: {error}"))? {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        Compression::Xz => return Err("a layer is compressed with xz, which OCI images don't allow".to_owned()),
    };
    Ok(Layer { blob, media_type })
}

fn compression(blob: &Content) -> io::Result<Compression> {
    let mut magic = Vec::new();
    blob.reader().take(6).read_to_end(&mut magic)?;
    Ok(Compression::by_magic(&magic))
}

fn uncompressed_digest(blob: &Content) -> io::Result<Digest> {
    let compression = compression(blob)?;
    if compression == Compression::None {
        return Ok(blob.digest());
    }
    let reader = BufReader::with_capacity(BUFFER, blob.reader());
    let decoder = compression.decoder(reader, blob.len(), Threads::One).map_err(io::Error::other)?;
    Ok(Digest::of_reader(&mut Capped::new(decoder, LIMITS.bytes))?.0)
}

fn parse<T: DeserializeOwned>(content: &Content, what: &str) -> Result<T, String> {
    if content.len() > MAX_JSON {
        return Err(format!("{what} is larger than 4 MiB"));
    }
    let bytes = content.to_vec().map_err(|error| format!("{what} can't be read: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{what} can't be understood: {error}"))
}

/// The JSON files and blobs of a layout that lies unpacked.
fn read_folder(root: &Path, below: &Path) -> io::Result<BTreeMap<String, Content>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() && (path.starts_with("blobs") || path.as_os_str() == "blobs") && path.components().count() <= 2
        {
            files.extend(read_folder(root, &path)?);
        } else if kind.is_file()
            && let Some(name) = path.to_str()
        {
            files.insert(name.to_owned(), whole_file(&entry.path())?);
        }
    }
    Ok(files)
}

fn whole_file(path: &Path) -> io::Result<Content> {
    let file = File::open(path)?;
    let (digest, len) = Digest::of_reader(&mut BufReader::with_capacity(BUFFER, &file))?;
    let source: Arc<dyn ReadAt> = Arc::new(file);
    Ok(Content::from_extent(source, 0, len, digest))
}

enum Stop {
    Read(io::Error),
    Write(io::Error),
    Archive(ArchiveError),
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

fn read_archive(path: &Path, spool: &mut Spool) -> Result<BTreeMap<String, Content>, Stop> {
    let file = File::open(path).map_err(Stop::Read)?;
    let len = file.metadata().map_err(Stop::Read)?.len();
    let mut magic = [0; 6];
    let magic_len = std::os::unix::fs::FileExt::read_at(&file, &mut magic, 0).map_err(Stop::Read)?;
    let reader = BufReader::with_capacity(BUFFER, file);
    let decoder = Compression::by_magic(&magic[..magic_len]).decoder(reader, len, Threads::Several)?;
    let mut files = BTreeMap::new();
    let mut links = Vec::new();
    read_members(decoder, &LIMITS, |member, content| {
        match member.kind {
            MemberKind::File => {
                files.insert(member.path, spool.copy(content).map_err(Stop::Write)?);
            }
            MemberKind::Symlink(target) => links.push((member.path, target)),
            MemberKind::HardLink(target) => links.push((member.path, format!("/{target}"))),
            _ => {}
        }
        Ok::<(), Stop>(())
    })?;
    // `docker save` wrote equal layers as links to the first until version 25.
    for (path, target) in links {
        let from = slipway_images::tree::TreePath::new(&format!("/{path}"));
        if let Ok(from) = from
            && let Some(content) = files.get(from.resolve_link(&target).as_str().trim_start_matches('/')).cloned()
        {
            files.insert(path, content);
        }
    }
    Ok(files)
}

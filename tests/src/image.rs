//! The image that most scenarios look at.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use slipway_builder::build::REPRODUCIBLE;

use crate::program::{Outcome, build, slipway, workspace};
use crate::workplace::{copy_folder, scratch};

/// A built image.
#[derive(Debug)]
pub struct Image {
    /// Its recipe, whose lock lies beside it.
    pub recipe: PathBuf,
    /// The folder with the store, given as `--out`.
    pub out: PathBuf,
    /// The folder with the six outputs.
    pub folder: PathBuf,
}

/// The image of `recipes/minimal.toml`, built by the first who asks.
pub fn minimal() -> &'static Image {
    static MINIMAL: OnceLock<Image> = OnceLock::new();
    MINIMAL.get_or_init(|| shared("minimal"))
}

/// The image of `recipes/docker-host.toml`, built by the first who asks.
pub fn docker_host() -> &'static Image {
    static DOCKER_HOST: OnceLock<Image> = OnceLock::new();
    DOCKER_HOST.get_or_init(|| shared("docker-host"))
}

fn shared(name: &str) -> Image {
    let out = workspace().join("out/e2e/shared");
    let recipe = workspace().join(format!("recipes/{name}.toml"));
    let built = Outcome::of(&mut build(&out, &recipe));
    if built.code == Some(0) {
        return Image { recipe, folder: folder_of(&built), out };
    }
    assert!(is_gone(&built), "{built}");
    let copy = scratch(&format!("relocked-{name}"));
    copy_folder(&workspace().join("recipes"), &copy);
    let recipe = copy.join(format!("{name}.toml"));
    println!("a locked package can't be had any more; a copy of the recipe is locked anew\n{}", built.stderr);
    let _ = Outcome::of(slipway().arg("lock").arg("--update").arg("--").arg(&recipe)).succeeded();
    let built = Outcome::of(&mut build(&out, &recipe)).succeeded();
    Image { recipe, folder: folder_of(&built), out }
}

/// Whether a mirror answered that it doesn't have a package: of a suite it keeps the newest versions alone.
fn is_gone(built: &Outcome) -> bool {
    built.stderr.contains("answers 404") || built.stderr.contains("answers 410")
}

/// The output folder that a build with `--json` names.
pub fn folder_of(built: &Outcome) -> PathBuf {
    PathBuf::from(built.json()["folder"].as_str().expect("a build names its folder"))
}

impl Image {
    /// The output `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The manifest.
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("manifest.json")).unwrap()).unwrap()
    }

    /// The hash that authenticates the root, in hexadecimal.
    pub fn root_hash(&self) -> String {
        self.manifest()["root_hash"].as_str().expect("a manifest has a root hash").to_owned()
    }
}

/// Fails unless the six outputs in two folders are the same bytes, and says which is not, and from where on.
pub fn assert_same_outputs(one: &Path, other: &Path) {
    if let Some((name, offset)) = different_output(one, other) {
        panic!("{name} of {} and {} differ from byte {offset} on", one.display(), other.display());
    }
}

/// Whether the six outputs in two folders are the same bytes.
pub fn are_same_outputs(one: &Path, other: &Path) -> bool {
    different_output(one, other).is_none()
}

fn different_output(one: &Path, other: &Path) -> Option<(&'static str, u64)> {
    REPRODUCIBLE
        .into_iter()
        .find_map(|name| first_difference(&one.join(name), &other.join(name)).map(|offset| (name, offset)))
}

/// Where two files first differ, if they do; the end of one is a difference. Holes that both have are not read.
pub fn first_difference(one: &Path, other: &Path) -> Option<u64> {
    let open = |path: &Path| File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let files = [open(one), open(other)];
    let [left, right] = files.each_ref().map(|file| file.metadata().unwrap().len());
    let mut at = 0;
    while let Some(start) = files.iter().filter_map(|file| data_from(file, at)).min() {
        let chunks = files.each_ref().map(|file| chunk_at(file, start));
        if chunks[0] != chunks[1] {
            let same = chunks[0].iter().zip(&chunks[1]).take_while(|(a, b)| a == b).count();
            return Some(start + same as u64);
        }
        at = start + chunks[0].len() as u64;
    }
    (left != right).then(|| left.min(right))
}

const CHUNK: u64 = 1 << 20;

/// Where the first byte from `at` on is that lies in no hole.
pub fn data_from(file: &File, at: u64) -> Option<u64> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(found) => Some(found),
        Err(rustix::io::Errno::NXIO) => None,
        Err(error) => panic!("no file to seek in: {error}"),
    }
}

fn chunk_at(mut file: &File, at: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.take(CHUNK).read_to_end(&mut bytes).unwrap();
    bytes
}

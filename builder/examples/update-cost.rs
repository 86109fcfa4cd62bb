//! What an update from one built image to another costs: bytes, and the time to make and to apply a patch.
//!
//! ```console
//! $ cargo run --release -p slipway-builder --example update-cost make out/docker-host_1 out/docker-host_2 out/patch
//! $ cargo run --release -p slipway-builder --example update-cost apply out/docker-host_1 out/patch
//! $ cargo run --release -p slipway-builder --example update-cost blocks out/docker-host_1 out/docker-host_2
//! ```
//!
//! Prints one `name value` a line. `scripts/bench/update.sh` sets the figures beside those of other ways.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use slipway_builder::patch::{self, RootSource};
use slipway_builder::progress::Silent;
use slipway_images::digest::Digest;
use slipway_images::frames::{BlockPlan, FRAME_BLOCKS};
use slipway_images::manifest::Manifest;
use slipway_images::patch::{HEAD_FIXED_LEN, Head, PatchSummary};
use slipway_images::verity::{GroupIndex, GroupWriter, VerityTree, head_len, tree_len};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const BLOCK_LEN: usize = 4096;
const LEVEL: i32 = 19;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", old, new, to] => make(Path::new(old), Path::new(new), Path::new(to)),
        ["apply", old, patch] => apply(Path::new(old), Path::new(patch)),
        ["blocks", old, new] => blocks(Path::new(old), Path::new(new)),
        _ => Err("usage: update-cost make OLD NEW FOLDER | apply OLD FOLDER | blocks OLD NEW".into()),
    }
}

fn make(old: &Path, new: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to)?;
    let start = Instant::now();
    let mut bytes = Vec::new();
    let summary = patch::root(&root(old)?, &root(new)?, &mut bytes, &Silent)?;
    fs::write(to.join("root.patch"), &bytes)?;
    report("root", &summary)?;
    say("root-seconds", start.elapsed().as_secs_f64())?;
    let start = Instant::now();
    let mut bytes = Vec::new();
    let [old, new] = [old, new].map(|folder| fs::read(folder.join("uki.efi")));
    let summary = patch::file(&old?, &new?, &mut bytes)?;
    fs::write(to.join("uki.patch"), &bytes)?;
    report("uki", &summary)?;
    say("uki-seconds", start.elapsed().as_secs_f64())
}

fn report(name: &str, summary: &PatchSummary) -> Outcome<()> {
    let PatchSummary { len, head_len, windows, control, added, inserted, .. } = summary;
    for (part, value) in
        [("bytes", len), ("head", head_len), ("control", control), ("added", added), ("inserted", inserted)]
    {
        say(&format!("{name}-{part}"), value)?;
    }
    say(&format!("{name}-windows"), windows)
}

/// Reads the patch as a host does that fetches it: the head, then a window at a time.
fn apply(old: &Path, to: &Path) -> Outcome<()> {
    let start = Instant::now();
    let mut patch = File::open(to.join("root.patch"))?;
    let mut head = vec![0; HEAD_FIXED_LEN];
    patch.read_exact(&mut head)?;
    head.resize(Head::len_from(&head)?, 0);
    patch.read_exact(&mut head[HEAD_FIXED_LEN..])?;
    let head = Head::parse_unverified(&head)?;
    let tree = head.tree_head()?;
    let old = File::open(old.join("root.erofs"))?;
    let mut made = 0_u64;
    let mut groups = GroupWriter::new(&tree, GroupIndex(0), |_, _, bytes| {
        made += bytes.len() as u64;
        Ok(())
    });
    for (number, window) in head.windows().iter().enumerate() {
        let mut stored = vec![0; usize::try_from(window.stored_len())?];
        patch.read_exact(&mut stored)?;
        head.apply(number, &stored, &old, &mut groups)?;
    }
    if made != head.pair().new_len {
        return Err("not all of the root was made".into());
    }
    let seconds = start.elapsed().as_secs_f64();
    say("apply-seconds", seconds)?;
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    say("apply-mb-per-second", made as f64 / 1e6 / seconds)
}

/// What a host has to fetch that has the old root and no patch: by frames of several lengths, and by chunks that end
/// where the content says so, as casync has them (16 to 256 KiB, 64 on average).
fn blocks(old: &Path, new: &Path) -> Outcome<()> {
    let (old_tree, new_tree) = (tree(old)?, tree(new)?);
    let [old, new] = [old, new].map(|folder| fs::read(folder.join("root.erofs")));
    let (old, new) = (old?, new?);
    let plan = BlockPlan::new(&new_tree, &old_tree);
    say("missing-blocks", plan.missing())?;
    say("leaves", tree_len(new.len() as u64) - head_len(new.len() as u64))?;
    let missing: Vec<u8> = new
        .chunks(BLOCK_LEN)
        .zip(plan.sources())
        .filter(|(_, source)| source.is_none())
        .flat_map(|(block, _)| block.iter().copied())
        .collect();
    say("missing-blocks-one-stream", zstd::bulk::compress(&missing, LEVEL)?.len())?;
    for frame_blocks in [1, 4, 8, FRAME_BLOCKS as usize, 32, 64] {
        let frames = new.par_chunks(frame_blocks * BLOCK_LEN).zip(plan.sources().par_chunks(frame_blocks));
        let needed = frames.filter(|(_, sources)| sources.iter().any(Option::is_none));
        let bytes: usize = needed.map(|(frame, _)| compressed_len(frame)).sum::<io::Result<usize>>()?;
        say(&format!("frames-of-{frame_blocks}"), bytes)?;
        say(&format!("index-of-{frame_blocks}"), 56 + new.len().div_ceil(frame_blocks * BLOCK_LEN) * 36)?;
    }
    let have: HashSet<Digest> = chunks(&old).into_par_iter().map(Digest::of).collect();
    let mut seen = have.clone();
    let wanted: Vec<&[u8]> = chunks(&new).into_iter().filter(|chunk| seen.insert(Digest::of(chunk))).collect();
    let bytes = wanted.par_iter().map(|chunk| compressed_len(chunk)).sum::<io::Result<usize>>()?;
    say("casync-like", bytes)
}

fn compressed_len(bytes: &[u8]) -> io::Result<usize> {
    Ok(zstd::bulk::compress(bytes, LEVEL)?.len())
}

fn chunks(bytes: &[u8]) -> Vec<&[u8]> {
    const MIN: usize = 16 << 10;
    const MAX: usize = 256 << 10;
    const TYPICAL_BITS: u32 = 16;
    let (mut chunks, mut start, mut hash) = (Vec::new(), 0, 0_u64);
    for (at, byte) in bytes.iter().enumerate() {
        let spread = (u64::from(*byte) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = (hash << 1).wrapping_add(spread ^ spread >> 29);
        let len = at + 1 - start;
        if (len >= MIN && hash >> (64 - TYPICAL_BITS) == 0) || len == MAX {
            chunks.push(&bytes[start..=at]);
            start = at + 1;
        }
    }
    chunks.push(&bytes[start..]);
    chunks
}

fn root(folder: &Path) -> Outcome<RootSource> {
    let image = Arc::new(File::open(folder.join("root.erofs"))?);
    let hash = File::open(folder.join("root.verity"))?;
    let manifest = Manifest::from_json(&fs::read(folder.join("manifest.json"))?)?;
    Ok(RootSource::open(image, &hash, hash.metadata()?.len(), &manifest.root_hash)?)
}

fn tree(folder: &Path) -> Outcome<VerityTree> {
    let hash = File::open(folder.join("root.verity"))?;
    let manifest = Manifest::from_json(&fs::read(folder.join("manifest.json"))?)?;
    Ok(VerityTree::read(&hash, hash.metadata()?.len(), &manifest.root_hash)?)
}

fn say(name: &str, value: impl Display) -> Outcome<()> {
    Ok(writeln!(io::stdout(), "{name} {value:.2}")?)
}

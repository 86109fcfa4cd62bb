//! Makes the parts of a release, and the plain bytes of an image from its parts.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;

use slipway_images::calendar::Moment;
use slipway_images::content::ReadAt;
use slipway_images::digest::Digest;
use slipway_images::frames::{self, FRAME_BLOCKS, FrameIndex, Index};
use slipway_images::manifest::Parts;
use slipway_images::release::{Architecture, Blocks, Part, ReleaseContents, ReleaseDocument, ReleaseParts, RootFacts};
use slipway_images::verity::{BLOCK_SIZE, BlockIndex, VerityTree};
use zstd::zstd_safe::CParameter;

use super::ReleaseError;
use super::repository::{LockedRepository, Repository};
use super::source::Build;
use crate::progress::{Event, Phase, Progress};

const LEVEL: i32 = 19;
/// Whoever unpacks a part needs two to the power of this many bytes.
const WINDOW_LOG: u32 = 21;

/// Writes the parts of a build into the repository: its document, without patches.
pub fn pack(
    repository: &mut LockedRepository,
    build: &Build,
    created: Moment,
    progress: &dyn Progress,
) -> Result<ReleaseDocument, ReleaseError> {
    // What is too large is refused before it is compressed.
    let least = Part { size: 1, sha256: Digest::of(&[]) };
    let parts = ReleaseParts { verity: least, uki: least, blocks: Blocks { index: least, frames: least } };
    document(build, created, parts)?;
    let (size, root_hash) = (build.manifest.parts.root.size, build.manifest.root_hash);
    progress.event(Event::Start(Phase::Pack, Some(size)));
    let mut writer = repository.begin_part()?;
    let advance = |bytes| progress.event(Event::Advance(Phase::Pack, bytes));
    let summary = frames::write(&*build.root, size, root_hash, FRAME_BLOCKS, &mut writer, &advance)?;
    let blocks = Blocks { frames: repository.finish_part(writer)?, index: repository.add_part(&summary.index)? };
    let parts =
        ReleaseParts { verity: compress(repository, &build.verity)?, uki: compress(repository, &build.uki)?, blocks };
    repository.add_part(&build.manifest_json)?;
    let document = document(build, created, parts)?;
    progress.event(Event::Done(Phase::Pack, &format!("{} to {} bytes", size, summary.len)));
    Ok(document)
}

fn document(build: &Build, created: Moment, parts: ReleaseParts) -> Result<ReleaseDocument, ReleaseError> {
    let manifest = &build.manifest;
    let Parts { root, verity, uki } = &manifest.parts;
    let document = ReleaseDocument::new(ReleaseContents {
        label: manifest.label.clone(),
        architecture: Architecture::X86_64,
        created,
        root: RootFacts { root_hash: manifest.root_hash, salt: manifest.salt.clone(), size: root.size },
        verity: Part { size: verity.size, sha256: verity.sha256 },
        uki: Part { size: uki.size, sha256: uki.sha256 },
        manifest: Part::of(&build.manifest_json),
        parts,
        patches: Vec::new(),
    });
    document.map_err(|source| ReleaseError::Draft { target: manifest.label.to_string(), source })
}

fn compress(repository: &mut LockedRepository, bytes: &[u8]) -> Result<Part, ReleaseError> {
    let packed = (|| {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
        encoder.write_all(bytes)?;
        encoder.finish()
    })();
    repository.add_part(&packed.map_err(ReleaseError::Compress)?)
}

/// The bytes of a part, which are checked.
pub fn part_bytes(repository: &Repository, part: &Part) -> Result<Vec<u8>, ReleaseError> {
    let path = repository.part(part);
    let name = slipway_images::release::part_path(&part.sha256);
    let bytes = repository.read(&name, part.size)?.ok_or_else(|| ReleaseError::Missing(path.clone()))?;
    if Part::of(&bytes) != *part {
        return Err(ReleaseError::Damaged { path, what: "part" });
    }
    Ok(bytes)
}

/// What a part of one zstd frame holds, which must be `plain`.
pub fn unpack(repository: &Repository, part: &Part, plain: &Part) -> Result<Vec<u8>, ReleaseError> {
    let damaged = || ReleaseError::Damaged { path: repository.part(part), what: "compressed part" };
    let packed = part_bytes(repository, part)?;
    let mut bytes = Vec::new();
    let mut decoder = zstd::Decoder::with_buffer(&packed[..]).map_err(|_| damaged())?;
    decoder.window_log_max(WINDOW_LOG).map_err(|_| damaged())?;
    decoder.take(plain.size.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| damaged())?;
    if Part::of(&bytes) == *plain { Ok(bytes) } else { Err(damaged()) }
}

/// The hash tree of a release, checked against its root hash.
pub fn tree(repository: &Repository, document: &ReleaseDocument) -> Result<VerityTree, ReleaseError> {
    let bytes = unpack(repository, &document.parts.verity, &document.verity)?;
    let tree = VerityTree::read(&bytes, bytes.len() as u64, &document.root.root_hash);
    let path = repository.part(&document.parts.verity);
    tree.map_err(|source| ReleaseError::Tree { path, source })
}

/// Makes the root of a release from its frames, each block checked against `tree`, and writes it to `out`.
pub fn restore_root(
    repository: &Repository,
    document: &ReleaseDocument,
    tree: &VerityTree,
    out: &std::fs::File,
    progress: &dyn Progress,
) -> Result<(), ReleaseError> {
    each_frame(repository, document, tree, progress, |offset, bytes| out.write_all_at(bytes, offset))
}

/// Hands on the bytes of each frame of a root, in order, with their place in the root; each block was checked.
pub fn each_frame(
    repository: &Repository,
    document: &ReleaseDocument,
    tree: &VerityTree,
    progress: &dyn Progress,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> Result<(), ReleaseError> {
    let Blocks { index: index_part, frames: frames_part } = &document.parts.blocks;
    let damaged = |part: &Part| ReleaseError::Damaged { path: repository.part(part), what: "part" };
    let index = Index::parse(&part_bytes(repository, index_part)?, &index_part.sha256)?;
    let fits = index.root_hash() == document.root.root_hash && index.data_len() == document.root.size;
    if !fits || tree.data_len() != document.root.size || index.frames_len() != frames_part.size {
        return Err(damaged(index_part));
    }
    let path = repository.part(frames_part);
    let failed = |source| ReleaseError::Io { what: "read", path: path.clone(), source };
    let file = std::fs::File::open(&path).map_err(failed)?;
    for (number, frame) in (0..).zip(index.frames()) {
        let mut stored = vec![0; usize::try_from(frame.len).unwrap_or(usize::MAX)];
        ReadAt::read_exact_at(&file, &mut stored, frame.offset).map_err(failed)?;
        let bytes = index.decode(FrameIndex(number), &stored)?;
        let first = index.blocks_of(FrameIndex(number)).start;
        for (block, data) in (first..).map(BlockIndex).zip(bytes.chunks(4096)) {
            if !tree.matches(block, data) {
                return Err(damaged(frames_part));
            }
        }
        take(first * BLOCK_SIZE, &bytes).map_err(|source| ReleaseError::Io {
            what: "written",
            path: path.clone(),
            source,
        })?;
        progress.event(Event::Advance(Phase::Verify, bytes.len() as u64));
    }
    Ok(())
}

/// Reads a part of any length and compares its digest.
pub fn check_part(repository: &Repository, part: &Part) -> Result<(), ReleaseError> {
    let path = repository.part(part);
    let found = std::fs::File::open(&path).and_then(|mut file| Digest::of_reader(&mut file));
    match found {
        Ok((sha256, size)) if (Part { size, sha256 }) == *part => Ok(()),
        Ok(_) => Err(ReleaseError::Damaged { path, what: "part" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReleaseError::Missing(path)),
        Err(source) => Err(ReleaseError::Io { what: "read", path, source }),
    }
}

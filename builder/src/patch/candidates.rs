//! Which old file a new one most likely came from: of the same path; of the same name but for version numbers
//! (`/usr/lib/modules/6.12.107/…`, `libexpat.so.1.12.3`); with the same build id; with the most content in common.

use std::collections::HashMap;
use std::sync::OnceLock;

use object::{Object, read::elf::ElfFile64};
use rayon::prelude::*;
use slipway_images::content::ReadAt;
use slipway_images::erofs::Extent;
use slipway_images::tree::TreePath;

use super::image::{Region, Regions};
use super::{MakeError, read};

/// Content shorter than this is not worth looking for.
const SEARCH_MIN: u64 = 16 << 10;
/// A new file shares at least one in so many of its samples with an old one that it came from.
const SHARED_MIN: usize = 8;

pub(super) struct Candidates<'a> {
    old: &'a Regions,
    old_image: &'a dyn ReadAt,
    new_image: &'a dyn ReadAt,
    by_path: HashMap<&'a TreePath, Extent>,
    /// Paths without their numbers.
    by_pattern: HashMap<String, Vec<&'a Region>>,
    between: Vec<Extent>,
    new_between: Vec<Extent>,
    content: OnceLock<Content>,
    /// What is longer isn't looked into.
    search_max: u64,
}

/// What files hold. It takes reading almost the whole old root, and most updates can do without.
struct Content {
    by_build_id: HashMap<Vec<u8>, Extent>,
    /// Old files, by number in the image, that a sample of content is in.
    by_sample: HashMap<u64, Vec<usize>>,
}

impl<'a> Candidates<'a> {
    pub fn new(
        old: &'a Regions,
        old_image: &'a dyn ReadAt,
        new: &'a Regions,
        new_image: &'a dyn ReadAt,
        search_max: u64,
    ) -> Self {
        let files = || old.all().iter().filter_map(|region| Some((region.path.as_ref()?, region)));
        let mut by_pattern: HashMap<_, Vec<_>> = HashMap::new();
        for (path, region) in files() {
            by_pattern.entry(pattern(path.as_str())).or_default().push(region);
        }
        Self {
            old,
            old_image,
            new_image,
            by_path: files().map(|(path, region)| (path, region.extent)).collect(),
            by_pattern,
            between: between(old),
            new_between: between(new),
            content: OnceLock::new(),
            search_max,
        }
    }

    /// Where the old version of a region is, if there seems to be one.
    pub fn of(&self, region: &Region) -> Result<Option<Extent>, MakeError> {
        let Some(path) = &region.path else {
            // Inodes and names lie before the first file; anything else between files has its place in a row.
            let number = self.new_between.iter().position(|extent| *extent == region.extent);
            return Ok(number.and_then(|number| self.between.get(number)).copied());
        };
        if let Some(extent) = self.by_path.get(path) {
            return Ok(Some(*extent));
        }
        let alike = self.by_pattern.get(&pattern(path.as_str())).map(Vec::as_slice).unwrap_or_default();
        let same_name = alike.iter().find(|old| old.path.as_ref().is_some_and(|old| old.name() == path.name()));
        if let Some(found) = same_name.or_else(|| nearest_len(alike, region.file_len)) {
            return Ok(Some(found.extent));
        }
        if self.is_searched(region) { self.by_content(region) } else { Ok(None) }
    }

    fn is_searched(&self, region: &Region) -> bool {
        region.file_len >= SEARCH_MIN && region.extent.len <= self.search_max
    }

    fn by_content(&self, region: &Region) -> Result<Option<Extent>, MakeError> {
        let bytes = read(self.new_image, "new", region.extent)?;
        let content = if let Some(content) = self.content.get() {
            content
        } else {
            let read = self.read_old()?;
            self.content.get_or_init(|| read)
        };
        if let Some(extent) = build_id(&bytes).and_then(|id| content.by_build_id.get(&id)) {
            return Ok(Some(*extent));
        }
        let wanted = samples(&bytes);
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for file in wanted.iter().filter_map(|sample| content.by_sample.get(sample)).flatten() {
            *shared.entry(*file).or_default() += 1;
        }
        // The first of those that share most, so that the result doesn't hang on the map's order.
        let best = shared.into_iter().max_by_key(|(file, count)| (*count, std::cmp::Reverse(*file)));
        let best = best.filter(|(_, count)| *count * SHARED_MIN >= wanted.len());
        Ok(best.and_then(|(file, _)| self.old.all().get(file)).map(|old| old.extent))
    }

    fn read_old(&self) -> Result<Content, MakeError> {
        let files = self.old.all().par_iter().enumerate();
        let files = files.filter(|(_, region)| region.path.is_some() && self.is_searched(region));
        let read: Vec<_> = files
            .map(|(number, region)| {
                let bytes = read(self.old_image, "old", region.extent)?;
                Ok((number, region.extent, build_id(&bytes), samples(&bytes)))
            })
            .collect::<Result<_, MakeError>>()?;
        let mut content = Content { by_build_id: HashMap::new(), by_sample: HashMap::new() };
        for (number, extent, build_id, samples) in read {
            if let Some(id) = build_id {
                content.by_build_id.entry(id).or_insert(extent);
            }
            for sample in samples {
                content.by_sample.entry(sample).or_default().push(number);
            }
        }
        Ok(content)
    }
}

fn between(regions: &Regions) -> Vec<Extent> {
    regions.all().iter().filter(|region| region.path.is_none()).map(|region| region.extent).collect()
}

fn nearest_len<'a, 'b>(regions: &'b [&'a Region], len: u64) -> Option<&'b &'a Region> {
    regions.iter().min_by_key(|region| region.file_len.abs_diff(len))
}

/// A path with every version number made equal: digits, and dots between digits, become `#`.
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut rest = path.chars().peekable();
    while let Some(char) = rest.next() {
        let is_dot_within = char == '.' && pattern.ends_with('#') && rest.peek().is_some_and(char::is_ascii_digit);
        if !char.is_ascii_digit() && !is_dot_within {
            pattern.push(char);
        } else if !pattern.ends_with('#') {
            pattern.push('#');
        }
    }
    pattern
}

fn build_id(bytes: &[u8]) -> Option<Vec<u8>> {
    let elf = ElfFile64::<object::Endianness>::parse(bytes).ok()?;
    elf.build_id().ok().flatten().map(<[u8]>::to_vec)
}

/// Hashes of 64 bytes each, taken where the content itself says so: about one in 1024 bytes, sorted, each once.
fn samples(bytes: &[u8]) -> Vec<u64> {
    let (mut hash, mut samples) = (0_u64, Vec::new());
    for byte in bytes {
        // Every bit of the hash is gone after 64 shifts: a window of 64 bytes.
        hash = (hash << 1).wrapping_add(spread(*byte));
        if hash >> 54 == 0 && hash != 0 {
            samples.push(hash);
        }
    }
    samples.sort_unstable();
    samples.dedup();
    samples
}

/// A number for a byte whose bits look random (the finaliser of splitmix64).
const fn spread(byte: u8) -> u64 {
    let mut number = (byte as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_numbers_make_no_difference() {
        let [old, new] = ["6.12.107+deb13-cloud-amd64/nf.ko", "6.12.9+deb13-cloud-amd64/nf.ko"].map(pattern);
        assert_eq!(old, new);
        assert_eq!(pattern("/lib/libz.so.1.3.1"), "/lib/libz.so.#");
        assert_eq!(pattern("/a1.b2"), "/a#.b#");
        assert_ne!(pattern("/usr/bin/a"), pattern("/usr/bin/b"));
    }

    #[test]
    fn samples_of_moved_content_are_the_same() {
        let content: Vec<u8> =
            (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        let moved = [&[7; 999], &content[..]].concat();
        let (here, there) = (samples(&content), samples(&moved));
        assert!(here.len() > 20, "{}", here.len());
        let shared = here.iter().filter(|sample| there.contains(sample)).count();
        assert!(shared + 2 > here.len(), "{shared} of {}", here.len());
    }
}

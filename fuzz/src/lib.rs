//! What the targets share: damage to good inputs, and disks in memory.

pub mod disk;
pub mod elf;

use std::sync::Once;

/// Checks once that good inputs get all the way: a target that stops at its first line finds nothing, and looks well.
pub fn first(check: impl FnOnce()) {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(check);
}

/// `good` with what `changes` does to it. Each change is an offset (two bytes, little-endian), how many bytes go away there (modulo
/// 32), how many come instead (modulo 16), and these. So the fuzzer starts behind magic numbers and knows words of the format.
pub fn damaged(good: &[u8], mut changes: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    while let [low, high, gone, come, rest @ ..] = changes {
        let start = usize::from(u16::from_le_bytes([*low, *high])).min(bytes.len());
        let end = (start + usize::from(*gone % 32)).min(bytes.len());
        let (new, rest) = rest.split_at(usize::from(*come % 16).min(rest.len()));
        bytes.splice(start..end, new.iter().copied());
        changes = rest;
    }
    bytes
}

/// What an input stands for: the bytes behind an even first byte, or one of the good inputs, damaged.
pub fn raw_or_damaged<G: AsRef<[u8]>>(input: &[u8], good: &[G]) -> Vec<u8> {
    match input.split_first() {
        Some((kind, changes)) if kind & 1 == 1 => match good.get(usize::from(kind >> 1) % good.len().max(1)) {
            Some(good) => damaged(good.as_ref(), changes),
            None => changes.to_vec(),
        },
        Some((_, raw)) => raw.to_vec(),
        None => Vec::new(),
    }
}

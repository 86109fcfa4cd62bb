//! Long and short names of a folder's entries ("FAT: General Overview of On-Disk Format", 1.03, and the long name
//! specification with it).

use super::folder::SlotBytes;
use super::geometry::Cluster;

/// The attributes of a slot that holds a part of a long name.
pub const LONG_NAME: u8 = 0x0f;
const LAST_PART: u8 = 0x40;
const UNITS_PER_PART: usize = 13;
const MAX_PARTS: usize = 20;
const ARCHIVE: u8 = 0x20;
/// 1980-01-01, as all times on the ESP.
const FIRST_DAY: [u8; 2] = [0x21, 0];

/// The sum over a short name that its long name carries.
pub fn checksum(slot: &SlotBytes) -> u8 {
    slot[..11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// The long name in the slots before an entry, and how many of them it takes; `None` if they are not its own.
pub fn assemble_long_name(slots: &[SlotBytes], sum: u8) -> Option<(String, usize)> {
    let mut units = Vec::new();
    for (slot, number) in slots.iter().rev().zip(1_u8..) {
        if slot[0] & !LAST_PART != number || slot[13] != sum || usize::from(number) > MAX_PARTS {
            return None;
        }
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        units.extend(places.map(|place| u16::from_le_bytes([slot[place], slot[place + 1]])));
        if slot[0] & LAST_PART != 0 {
            let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
            return Some((String::from_utf16_lossy(&units[..end]), usize::from(number)));
        }
    }
    None
}

/// A short name as a text, `LOADER~1.EFI`.
pub fn short_name(slot: &SlotBytes) -> String {
    let text = |bytes: &[u8], lower: bool| {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end().to_owned();
        if lower { text.to_ascii_lowercase() } else { text }
    };
    let (stem, extension) = (text(&slot[..8], slot[12] & 0x08 != 0), text(&slot[8..11], slot[12] & 0x10 != 0));
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}

/// The slots of a file: parts of its long name, and the entry itself, under a short name that is not `taken`.
/// `None` if no short name is left.
pub fn slots_of(name: &str, first: Option<Cluster>, size: u32, taken: &[[u8; 11]]) -> Option<Vec<SlotBytes>> {
    let short = free_short_name(name, taken)?;
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(&short);
    entry[11] = ARCHIVE;
    entry[16..18].copy_from_slice(&FIRST_DAY);
    entry[18..20].copy_from_slice(&FIRST_DAY);
    entry[24..26].copy_from_slice(&FIRST_DAY);
    let [a, b, c, d] = first.map_or(0, |first| first.0).to_le_bytes();
    entry[26..28].copy_from_slice(&[a, b]);
    entry[20..22].copy_from_slice(&[c, d]);
    entry[28..32].copy_from_slice(&size.to_le_bytes());

    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(UNITS_PER_PART) {
        units.push(0);
        units.resize(units.len().next_multiple_of(UNITS_PER_PART), 0xffff);
    }
    let parts = units.len() / UNITS_PER_PART;
    let mut slots = Vec::with_capacity(parts + 1);
    for (number, part) in (1_u8..).zip(units.chunks(UNITS_PER_PART)).take(MAX_PARTS) {
        let mut slot = [0; 32];
        slot[0] = if usize::from(number) == parts { number | LAST_PART } else { number };
        slot[11] = LONG_NAME;
        slot[13] = checksum(&entry);
        let places = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        for (place, unit) in places.zip(part) {
            slot[place..place + 2].copy_from_slice(&unit.to_le_bytes());
        }
        slots.push(slot);
    }
    slots.reverse();
    slots.push(entry);
    Some(slots)
}

/// `EDGE-W~1EFI`, or with a larger number.
fn free_short_name(name: &str, taken: &[[u8; 11]]) -> Option<[u8; 11]> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |text: &str| -> Vec<u8> {
        text.bytes().filter(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).collect()
    };
    let (stem, extension) = (plain(stem).to_ascii_uppercase(), plain(extension).to_ascii_uppercase());
    (1..=9999_u32).find_map(|number| {
        let tail = format!("~{number}");
        let mut short = [b' '; 11];
        let start = stem.len().min(8 - tail.len());
        short[..start].copy_from_slice(&stem[..start]);
        short[start..start + tail.len()].copy_from_slice(tail.as_bytes());
        let extension = &extension[..extension.len().min(3)];
        short[8..8 + extension.len()].copy_from_slice(extension);
        (!taken.contains(&short)).then_some(short)
    })
}

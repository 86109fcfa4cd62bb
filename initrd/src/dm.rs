//! The device mapper's requests, laid out as `linux/dm-ioctl.h` has them (interface version 4).
//!
//! A request is one buffer: `struct dm_ioctl`, then what the command needs. All numbers are of the machine's byte order.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::minor;

use crate::sys;

/// Where requests go.
pub const CONTROL: &str = "/dev/mapper/control";

/// Bytes of `struct dm_ioctl`:
/// `version` 3×4, `data_size` 4, `data_start` 4, `target_count` 4, `open_count` 4, `flags` 4, `event_nr` 4, `padding` 4,
/// `dev` 8, `name` 128, `uuid` 129, `data` 7.
pub const HEADER: u16 = 312;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEV: usize = 40;
const NAME: (usize, usize) = (48, 128);
const UUID: (usize, usize) = (176, 129);

/// Bytes of `struct dm_target_spec`: `sector_start` 8, `length` 8, `status` 4, `next` 4, `target_type` 16.
const TARGET_SPEC: usize = 40;
const TARGET_TYPE: (usize, usize) = (24, 16);

/// The oldest interface that knows all that is used here.
const VERSION: [u32; 3] = [4, 0, 0];
const READONLY: u32 = 1 << 0;

/// A command, by its number in the header's enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `DM_DEV_CREATE_CMD`
    Create = 3,
    /// `DM_DEV_SUSPEND_CMD`; without the suspend flag it resumes, which puts the loaded table into use.
    Resume = 6,
    /// `DM_TABLE_LOAD_CMD`
    LoadTable = 9,
}

/// A device of one read-only target over its whole length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The target's type: `verity`.
    pub kind: &'static str,
    /// Length in sectors of 512 bytes.
    pub sectors: u64,
    /// Its parameters.
    pub parameters: String,
}

/// Makes the device `name`, with the first of `tables` that the kernel takes; gives the path of its node.
pub fn create(control: impl AsFd, name: &str, uuid: &str, tables: &[Target]) -> io::Result<String> {
    let mut answer = request(name, uuid, 0, &[])?;
    sys::device_mapper(&control, Command::Create, &mut answer)?;
    let mut refused = io::Error::from(io::ErrorKind::InvalidInput);
    let taken = tables.iter().any(|target| {
        let loaded = request(name, "", READONLY, &payload(target))
            .and_then(|mut request| sys::device_mapper(&control, Command::LoadTable, &mut request));
        loaded.map_err(|error| refused = error).is_ok()
    });
    if !taken {
        return Err(refused);
    }
    let mut answer = request(name, "", READONLY, &[])?;
    sys::device_mapper(&control, Command::Resume, &mut answer)?;
    Ok(format!("/dev/dm-{}", minor(number_of(&answer))))
}

/// A request for the device `name`.
fn request(name: &str, uuid: &str, flags: u32, payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(HEADER)];
    for (index, part) in VERSION.iter().enumerate() {
        put(&mut bytes, index * 4, &part.to_ne_bytes());
    }
    let size = u32::try_from(bytes.len() + payload.len()).map_err(io::Error::other)?;
    put(&mut bytes, DATA_SIZE, &size.to_ne_bytes());
    put(&mut bytes, DATA_START, &u32::from(HEADER).to_ne_bytes());
    put(&mut bytes, TARGET_COUNT, &u32::from(!payload.is_empty()).to_ne_bytes());
    put(&mut bytes, FLAGS, &flags.to_ne_bytes());
    put_text(&mut bytes, NAME, name)?;
    put_text(&mut bytes, UUID, uuid)?;
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// A table of one target: its specification, and its parameters with their NUL, filled up to a multiple of 8.
fn payload(target: &Target) -> Vec<u8> {
    let mut bytes = vec![0; TARGET_SPEC];
    put(&mut bytes, 8, &target.sectors.to_ne_bytes());
    let (start, room) = TARGET_TYPE;
    debug_assert!(target.kind.len() < room);
    put(&mut bytes, start, target.kind.as_bytes());
    bytes.extend_from_slice(target.parameters.as_bytes());
    bytes.resize((bytes.len() + 1).next_multiple_of(8), 0);
    bytes
}

/// The device number that the kernel filled in.
fn number_of(answer: &[u8]) -> u64 {
    answer.get(DEV..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_ne_bytes)
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

/// Text that must leave room for its NUL.
fn put_text(bytes: &mut [u8], (offset, room): (usize, usize), text: &str) -> io::Result<()> {
    if text.len() >= room {
        return Err(io::Error::other(format!("`{text}` is too long for the device mapper")));
    }
    put(bytes, offset, text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table_is_laid_out_as_the_header_says() {
        let target = Target { kind: "verity", sectors: 8, parameters: "1 a b".into() };
        let bytes = request("root", "CRYPT-VERITY-x", READONLY, &payload(&target)).unwrap();
        assert_eq!(bytes.len(), 312 + 48);
        assert_eq!(bytes[..12], [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[12..16], 360_u32.to_ne_bytes());
        assert_eq!(bytes[16..24], [312_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat());
        assert_eq!(bytes[28..32], 1_u32.to_ne_bytes());
        assert_eq!(&bytes[48..53], b"root\0");
        assert_eq!(&bytes[176..191], b"CRYPT-VERITY-x\0");
        assert_eq!(bytes[312 + 8..312 + 16], 8_u64.to_ne_bytes());
        assert_eq!(&bytes[312 + 24..312 + 31], b"verity\0");
        assert_eq!(&bytes[312 + 40..], b"1 a b\0\0\0");
    }

    #[test]
    fn names_that_would_be_cut_off_are_refused() {
        assert!(request(&"n".repeat(127), "", 0, &[]).is_ok());
        assert!(request(&"n".repeat(128), "", 0, &[]).is_err());
        assert!(request("n", &"u".repeat(129), 0, &[]).is_err());
    }
}

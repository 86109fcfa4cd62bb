//! The system calls that no safe wrapper exists for. All `unsafe` of the project is in this file.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, Setter, ioctl, opcode};

use crate::dm::{Command, HEADER};

/// Sends a device mapper request and leaves the answer in it. The buffer is a `struct dm_ioctl` whose `data_size` is
/// its length, as [`crate::dm`] makes it.
pub fn device_mapper(control: impl AsFd, command: Command, request: &mut [u8]) -> io::Result<()> {
    let stated = request.get(12..16).and_then(<[u8]>::first_chunk).copied().map(u32::from_ne_bytes);
    if request.len() < HEADER.into() || stated.and_then(|size| usize::try_from(size).ok()) != Some(request.len()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the kernel reads and writes `data_size` bytes from the pointer, which is the length of the buffer, as was
    // just checked; the buffer outlives the call and has no invariants on its bytes.
    unsafe { ioctl(control, DeviceMapper { command, request }) }.map_err(io::Error::from)
}

struct DeviceMapper<'a> {
    command: Command,
    request: &'a mut [u8],
}

// SAFETY: `_IOWR(0xfd, command, struct dm_ioctl)` of linux/dm-ioctl.h takes a pointer to a buffer that the kernel reads
// and writes; it is declared mutating, and nothing is made of the pointer afterwards.
unsafe impl Ioctl for DeviceMapper<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::ReadWrite, 0xfd, self.command as u8, HEADER.into())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.request.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// `struct blkpg_partition` of linux/blkpg.h.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg` of linux/blkpg.h.
#[repr(C)]
struct BlkpgArgument {
    operation: i32,
    flags: i32,
    data_length: i32,
    data: *mut c_void,
}

/// Tells the kernel of a partition that it didn't find by itself: `start` and `length` in bytes.
pub fn add_partition(disk: impl AsFd, number: u32, start: u64, length: u64) -> io::Result<()> {
    /// `_IO(0x12, 105)`
    const BLKPG: Opcode = opcode::none(0x12, 105);
    const ADD_PARTITION: i32 = 1;
    let mut partition = BlkpgPartition {
        start: i64::try_from(start).map_err(io::Error::other)?,
        length: i64::try_from(length).map_err(io::Error::other)?,
        number: i32::try_from(number).map_err(io::Error::other)?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let argument = BlkpgArgument {
        operation: ADD_PARTITION,
        flags: 0,
        data_length: i32::try_from(size_of::<BlkpgPartition>()).map_err(io::Error::other)?,
        data: (&raw mut partition).cast(),
    };
    // SAFETY: BLKPG reads a `blkpg_ioctl_arg` and the `blkpg_partition` that it points to; both are laid out in C order,
    // live on this stack until the call is over, and aren't written to.
    unsafe { ioctl(disk, Setter::<BLKPG, BlkpgArgument>::new(argument)) }.map_err(io::Error::from)
}

/// In place of glibc's, which std calls for the bounds of a stack, so that it can say `stack overflow`. That one reads
/// `/proc/self/maps`, which isn't there yet, with a `sscanf` that would be a tenth of this program. "Not known" is an answer.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_thread: *const c_void, _attributes: *mut c_void) -> i32 {
    rustix::io::Errno::NOSYS.raw_os_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_of_the_kernel_s() {
        assert_eq!((size_of::<BlkpgPartition>(), size_of::<BlkpgArgument>()), (152, 24));
        assert_eq!(opcode::from_components(Direction::ReadWrite, 0xfd, 3, HEADER.into()), 0xc138_fd03);
        assert_eq!(opcode::none(0x12, 105), 0x1269);
    }

    #[test]
    fn a_request_that_lies_about_its_length_is_not_sent() {
        let file = std::fs::File::open("/dev/null");
        let sent = file.and_then(|file| device_mapper(file, Command::Create, &mut [0; HEADER as usize]));
        assert_eq!(sent.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
    }
}

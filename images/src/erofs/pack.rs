//! Places inodes one after another so that what the kernel wants in one block is in one block.

use super::BLOCK_SIZE;
use super::format::SLOT;

/// Hands out places in a zone from front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packer {
    next: u64,
    used: u64,
}

impl Packer {
    /// Starts at byte `start`, a multiple of 32.
    pub fn new(start: u64) -> Self {
        Self { next: start, used: 0 }
    }

    /// The place of an inode of `head` bytes with its attributes, with `tail` bytes of data behind it. Together they
    /// are in one block if they fit one. If they don't, there is no tail (see [`fits`]), and the head starts a block.
    pub fn place(&mut self, head: u64, tail: u64) -> u64 {
        let len = head + tail;
        let left = BLOCK_SIZE - self.next % BLOCK_SIZE;
        if len > left {
            self.next = self.next.next_multiple_of(BLOCK_SIZE);
        }
        let place = self.next;
        self.next = (place + len).next_multiple_of(SLOT);
        self.used += len;
        place
    }

    /// The first byte not handed out.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// Bytes handed out, gaps not counted.
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// Whether a tail can follow its inode: the kernel refuses one that crosses a block border.
pub(super) fn fits(head: u64, tail: u64) -> bool {
    head + tail <= BLOCK_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_fits_a_block_crosses_a_border() {
        let mut packer = Packer::new(4096);
        assert_eq!(packer.place(32, 10), 4096);
        assert_eq!(packer.place(32, 3990), 4096 + 64);
        assert_eq!(packer.place(64, 0), 8192);
        assert_eq!(packer.place(32, 4064), 12288);
        assert_eq!(packer.place(9000, 0), 16384);
        assert_eq!(packer.place(32, 0), 16384 + 9024);
        assert_eq!(packer.used(), 42 + 4022 + 64 + 4096 + 9000 + 32);
        assert!(fits(32, 4064) && !fits(32, 4065));
    }
}

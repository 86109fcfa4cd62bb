//! Instructions, and how they are written: variable-length numbers, seven bits a byte, the lowest first.

use std::io::{self, Read};

use super::PatchError;

/// Makes some bytes of the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Takes `len` bytes from `old` on as they are.
    Copy {
        /// Place in the old version, in bytes.
        old: u64,
        /// Bytes.
        len: u64,
    },
    /// Takes `len` bytes from `old` on and adds as many bytes of the second stream, each modulo 256.
    Add {
        /// Place in the old version, in bytes.
        old: u64,
        /// Bytes.
        len: u64,
    },
    /// Takes `len` bytes of the third stream.
    Insert {
        /// Bytes.
        len: u64,
    },
}

impl Op {
    /// Bytes it makes.
    pub const fn len(&self) -> u64 {
        match *self {
            Self::Copy { len, .. } | Self::Add { len, .. } | Self::Insert { len } => len,
        }
    }

    /// Whether it makes nothing. Such an instruction is in no patch.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The instruction for the first `len` bytes, of which there must be as many, and the one for the rest.
    pub const fn split(self, len: u64) -> (Self, Self) {
        match self {
            Self::Copy { old, len: all } => {
                (Self::Copy { old, len }, Self::Copy { old: old.wrapping_add(len), len: all - len })
            }
            Self::Add { old, len: all } => {
                (Self::Add { old, len }, Self::Add { old: old.wrapping_add(len), len: all - len })
            }
            Self::Insert { len: all } => (Self::Insert { len }, Self::Insert { len: all - len }),
        }
    }
}

const KIND_BITS: u32 = 2;
const COPY: u64 = 0;
const ADD: u64 = 1;
const INSERT: u64 = 2;

/// Writes instructions one after the other. A place in the old version is written as the distance from the end of the
/// one before, which is mostly small.
#[derive(Default)]
pub(super) struct OpWriter {
    bytes: Vec<u8>,
    cursor: u64,
}

impl OpWriter {
    pub(super) fn put(&mut self, op: Op) {
        let (kind, old) = match op {
            Op::Copy { old, .. } => (COPY, Some(old)),
            Op::Add { old, .. } => (ADD, Some(old)),
            Op::Insert { .. } => (INSERT, None),
        };
        put_number(&mut self.bytes, op.len() << KIND_BITS | kind);
        if let Some(old) = old {
            let distance = old.wrapping_sub(self.cursor).cast_signed();
            put_number(&mut self.bytes, (distance << 1 ^ distance >> 63).cast_unsigned());
            self.cursor = old.wrapping_add(op.len());
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Why there is no next instruction.
pub(super) enum NoOp {
    Bad(&'static str),
    Io(io::Error),
}

/// Reads what [`OpWriter`] wrote.
#[derive(Default)]
pub(super) struct OpReader {
    cursor: u64,
}

impl OpReader {
    /// The next instruction, which makes at least one byte, at most `left`, and reads no old byte from `old_len` on.
    pub(super) fn next(&mut self, input: &mut impl Read, left: u64, old_len: u64) -> Result<Op, NoOp> {
        let first = number(input)?;
        let len = first >> KIND_BITS;
        if len == 0 {
            return Err(NoOp::Bad("an instruction that makes nothing"));
        }
        if len > left {
            return Err(NoOp::Bad("an instruction that makes too much"));
        }
        let kind = first & ((1 << KIND_BITS) - 1);
        if kind == INSERT {
            return Ok(Op::Insert { len });
        }
        let coded = number(input)?;
        let distance = (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed();
        let old = self.cursor.checked_add_signed(distance);
        let placed = old.and_then(|old| Some((old, old.checked_add(len).filter(|end| *end <= old_len)?)));
        let Some((old, end)) = placed else {
            return Err(NoOp::Bad("an instruction that reads outside of the old version"));
        };
        self.cursor = end;
        match kind {
            COPY => Ok(Op::Copy { old, len }),
            ADD => Ok(Op::Add { old, len }),
            _ => Err(NoOp::Bad("an unknown instruction")),
        }
    }
}

fn number(input: &mut impl Read) -> Result<u64, NoOp> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => NoOp::Bad("instructions that end early"),
            _ => NoOp::Io(error),
        })?;
        let bits = u64::from(byte[0] & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        number |= bits << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(NoOp::Bad("a number of more than 64 bits"))
}

/// Whether these instructions make `new_len` bytes of `old_len` old ones.
pub(super) fn check(ops: &[Op], old_len: u64, new_len: u64) -> Result<(), PatchError> {
    let mut at = 0_u64;
    let bad = |at, problem| Err(PatchError::BadOp { at, problem });
    for op in ops {
        if let Op::Copy { old, len } | Op::Add { old, len } = *op
            && old.checked_add(len).is_none_or(|end| end > old_len)
        {
            return bad(at, "a place outside of the old version");
        }
        match at.checked_add(op.len()) {
            _ if op.is_empty() => return bad(at, "no length"),
            Some(end) if end <= new_len => at = end,
            _ => return bad(at, "a length beyond the end"),
        }
    }
    if at == new_len { Ok(()) } else { bad(at, "no successor, before the end") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(bytes: &[u8], left: u64, old_len: u64) -> Result<Op, &'static str> {
        OpReader::default().next(&mut &*bytes, left, old_len).map_err(|error| match error {
            NoOp::Bad(problem) => problem,
            NoOp::Io(_) => "io",
        })
    }

    #[test]
    fn instructions_come_back() {
        let ops = [
            Op::Copy { old: 1 << 40, len: 1 << 33 },
            Op::Insert { len: 1 },
            Op::Add { old: 0, len: 127 },
            Op::Copy { old: 127, len: u64::MAX >> 2 },
        ];
        let mut writer = OpWriter::default();
        for op in &ops {
            writer.put(*op);
        }
        let bytes = writer.finish();
        let (mut input, mut reader) = (&bytes[..], OpReader::default());
        for op in ops {
            assert_eq!(reader.next(&mut input, u64::MAX, u64::MAX).ok(), Some(op));
        }
        assert!(input.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(read(&[4 << 2 | 1, 0], 4, 4), Ok(Op::Add { old: 0, len: 4 }));
        assert_eq!(read(&[2], 9, 9), Err("an instruction that makes nothing"));
        assert_eq!(read(&[4 << 2 | 2], 3, 9), Err("an instruction that makes too much"));
        assert_eq!(read(&[4 << 2, 2], 9, 4), Err("an instruction that reads outside of the old version"));
        assert_eq!(read(&[4 << 2, 1], 9, 9), Err("an instruction that reads outside of the old version"));
        assert_eq!(read(&[4 << 2 | 3, 0], 9, 9), Err("an unknown instruction"));
        assert_eq!(read(&[0x80], 9, 9), Err("instructions that end early"));
        assert_eq!(read(&[0xff; 11], u64::MAX, 9), Err("a number of more than 64 bits"));
    }

    #[test]
    fn a_list_of_instructions_makes_the_whole_and_no_more() {
        let ops = [Op::Copy { old: 0, len: 4 }, Op::Insert { len: 2 }];
        assert!(check(&ops, 4, 6).is_ok());
        assert!(check(&ops, 3, 6).is_err());
        assert!(check(&ops, 4, 5).is_err());
        assert!(check(&ops, 4, 7).is_err());
        assert!(check(&[Op::Insert { len: 0 }], 4, 0).is_err());
    }
}

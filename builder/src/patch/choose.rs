//! Compares in every way there is and keeps the one that comes to the fewest bytes.

use std::io::{self, Write};

use slipway_images::content::ReadAt;
use slipway_images::patch::Op;

use super::MakeError;
use super::suffix::{Sorted, approximate, exact};

/// Level by which the ways are compared: the patch itself is compressed harder, and all files of a window together.
const LEVEL: i32 = 9;
/// Bytes that an instruction comes to, about, once compressed.
const OP_COST: u64 = 3;

/// The instructions that make `new` from `old`, which starts at `base` of the old version.
pub(super) fn best(old: &[u8], base: u64, new: &[u8]) -> Result<Vec<Op>, MakeError> {
    let sorted = Sorted::new(old)?;
    let raw = vec![Op::Insert { len: new.len() as u64 }];
    let mut best = (raw.clone(), cost(&raw, old, base, new)?);
    for ops in [approximate(&sorted, base, new), exact(&sorted, base, new)] {
        let cost = cost(&ops, old, base, new)?;
        if cost < best.1 {
            best = (ops, cost);
        }
    }
    Ok(best.0)
}

/// About how many bytes the instructions and what goes with them come to.
fn cost(ops: &[Op], old: &[u8], base: u64, new: &[u8]) -> Result<u64, MakeError> {
    let failed = |error: io::Error| MakeError::Compare(error.to_string());
    let (mut added, mut inserted) = (Counter::new().map_err(failed)?, Counter::new().map_err(failed)?);
    let mut rest = new;
    for op in ops {
        let (bytes, after) = rest.split_at(usize::try_from(op.len()).unwrap_or(usize::MAX));
        rest = after;
        match *op {
            Op::Copy { .. } => {}
            Op::Insert { .. } => inserted.write_all(bytes).map_err(failed)?,
            Op::Add { old: offset, .. } => {
                let mut before = vec![0; bytes.len()];
                old.read_exact_at(&mut before, offset - base).map_err(failed)?;
                let delta: Vec<u8> = bytes.iter().zip(before).map(|(new, old)| new.wrapping_sub(old)).collect();
                added.write_all(&delta).map_err(failed)?;
            }
        }
    }
    Ok(added.finish().map_err(failed)? + inserted.finish().map_err(failed)? + ops.len() as u64 * OP_COST)
}

/// Counts the bytes that something comes to when it is compressed.
struct Counter(zstd::stream::write::Encoder<'static, Sink>);

#[derive(Default)]
struct Sink(u64);

impl Counter {
    fn new() -> io::Result<Self> {
        Ok(Self(zstd::stream::write::Encoder::new(Sink::default(), LEVEL)?))
    }

    fn finish(self) -> io::Result<u64> {
        Ok(self.0.finish()?.0)
    }
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Makes the bytes of a window.

use std::io::{self, Read, Write};

use zstd::stream::read::Decoder;

use super::op::{NoOp, Op, OpReader};
use super::{Head, PatchError, WINDOW_LOG};
use crate::content::ReadAt;
use crate::digest::Digest;

/// Bytes that are made at a time.
const CHUNK: usize = 128 << 10;

impl Head {
    /// Makes the bytes of window number `window` from how it is `stored` and from the `old` version, and writes them to
    /// `out` in order. On an error some may have been written; `out` must not rely on them before it has checked them.
    pub fn apply(&self, window: usize, stored: &[u8], old: &dyn ReadAt, out: &mut dyn Write) -> Result<(), PatchError> {
        let Some(entry) = self.windows().get(window) else {
            return Err(PatchError::BadWindow { window, at: 0, problem: "a number beyond the last" });
        };
        if stored.len() as u64 != entry.stored_len() || Digest::of(stored) != entry.digest {
            return Err(PatchError::WrongWindow { window });
        }
        let (control, rest) = split(stored, entry.control_len);
        let (add, insert) = split(rest, entry.add_len);
        let bad = |at, problem| PatchError::BadWindow { window, at, problem };
        let mut control = Stream::new("instructions", window, control)?;
        let mut add = Stream::new("added bytes", window, add)?;
        let mut insert = Stream::new("inserted bytes", window, insert)?;
        let mut ops = OpReader::default();
        let (mut made, mut delta) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut at = 0;
        while at < entry.new_len {
            let op = ops.next(&mut control.decoder, entry.new_len - at, self.pair().old_len);
            let op = op.map_err(|error| match error {
                NoOp::Bad(problem) => bad(at, problem),
                NoOp::Io(source) => control.error(source),
            })?;
            let mut done = 0;
            while done < op.len() {
                let len = usize::try_from(op.len() - done).map_or(CHUNK, |left| left.min(CHUNK));
                let made = &mut made[..len];
                if let Op::Copy { old: start, .. } | Op::Add { old: start, .. } = op {
                    let offset = start + done;
                    old.read_exact_at(made, offset).map_err(|source| PatchError::Old { offset, source })?;
                }
                match op {
                    Op::Copy { .. } => {}
                    Op::Add { .. } => {
                        let delta = &mut delta[..len];
                        add.fill(delta, at)?;
                        made.iter_mut().zip(delta).for_each(|(byte, delta)| *byte = byte.wrapping_add(*delta));
                    }
                    Op::Insert { .. } => insert.fill(made, at)?,
                }
                let offset = entry.new_offset + at;
                out.write_all(made).map_err(|source| PatchError::Write { offset, source })?;
                done += len as u64;
                at += len as u64;
            }
        }
        [control, add, insert].into_iter().try_for_each(|stream| stream.finish(at))
    }
}

fn split(bytes: &[u8], at: u32) -> (&[u8], &[u8]) {
    // The sum of the lengths was compared with that of `bytes`.
    bytes.split_at_checked(usize::try_from(at).unwrap_or(usize::MAX)).unwrap_or((bytes, &[]))
}

/// One stream of a window, decompressed as it is read. No bytes at all stand for an empty stream.
struct Stream<'a> {
    name: &'static str,
    window: usize,
    decoder: Box<dyn Read + 'a>,
}

impl<'a> Stream<'a> {
    fn new(name: &'static str, window: usize, stored: &'a [u8]) -> Result<Self, PatchError> {
        let error = |source| PatchError::Stream { window, stream: name, source };
        if stored.is_empty() {
            return Ok(Self { name, window, decoder: Box::new(io::empty()) });
        }
        let mut decoder = Decoder::with_buffer(stored).map_err(error)?;
        decoder.window_log_max(WINDOW_LOG).map_err(error)?;
        Ok(Self { name, window, decoder: Box::new(decoder) })
    }

    fn error(&self, source: io::Error) -> PatchError {
        PatchError::Stream { window: self.window, stream: self.name, source }
    }

    fn fill(&mut self, buf: &mut [u8], at: u64) -> Result<(), PatchError> {
        let window = self.window;
        self.decoder.read_exact(buf).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => PatchError::BadWindow { window, at, problem: "a stream that ends early" },
            _ => self.error(source),
        })
    }

    fn finish(mut self, at: u64) -> Result<(), PatchError> {
        let problem = "a stream with bytes left over";
        match self.decoder.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(PatchError::BadWindow { window: self.window, at, problem }),
            Err(source) => Err(self.error(source)),
        }
    }
}

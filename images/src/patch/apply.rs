//! Makes the bytes of a window.

use std::io::{self, Cursor, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use zstd::stream::read::Decoder;

use super::head::Window;
use super::op::{NoOp, Op, OpReader};
use super::{Head, PatchError, WINDOW_LOG};
use crate::content::ReadAt;
use crate::digest::Digest;

/// Bytes that are made at a time.
const CHUNK: usize = 128 << 10;

/// A window that is being made, some bytes at a time. Holds the window as it is stored, and the memory of three decoders.
pub struct WindowMaker {
    number: usize,
    window: Window,
    old_len: u64,
    ops: OpReader,
    control: Stream,
    add: Stream,
    insert: Stream,
    /// The instruction that is being carried out, and how many of its bytes were made.
    open: Option<(Op, u64)>,
    at: u64,
    made: Vec<u8>,
    delta: Vec<u8>,
}

impl Head {
    /// Starts to make window number `window` from how it is `stored`, which must be what the head says.
    pub fn maker(&self, window: usize, stored: Vec<u8>) -> Result<WindowMaker, PatchError> {
        let number = window;
        let Some(window) = self.windows().get(number) else {
            return Err(PatchError::BadWindow { window: number, at: 0, problem: "a number beyond the last" });
        };
        if stored.len() as u64 != window.stored_len() || Digest::of(&stored) != window.digest {
            return Err(PatchError::WrongWindow { window: number });
        }
        let stored = Arc::new(stored);
        let mut start = 0;
        let mut stream = |name, len: u32| {
            // The sum of the lengths was compared with that of `stored`.
            let end = start + usize::try_from(len).unwrap_or(usize::MAX);
            let range = start..end;
            start = end;
            Stream::new(name, number, Stored { window: Arc::clone(&stored), range })
        };
        Ok(WindowMaker {
            number,
            window: *window,
            old_len: self.pair().old_len,
            ops: OpReader::default(),
            control: stream("instructions", window.control_len)?,
            add: stream("added bytes", window.add_len)?,
            insert: stream("inserted bytes", window.insert_len)?,
            open: None,
            at: 0,
            made: vec![0; CHUNK],
            delta: vec![0; CHUNK],
        })
    }

    /// Makes the bytes of window number `window` from how it is `stored` and from the `old` version, and writes them to
    /// `out` in order. On an error some may have been written; `out` must not rely on them before it has checked them.
    pub fn apply(&self, window: usize, stored: &[u8], old: &dyn ReadAt, out: &mut dyn Write) -> Result<(), PatchError> {
        let mut maker = self.maker(window, stored.to_vec())?;
        loop {
            let offset = maker.window.new_offset + maker.at;
            match maker.next_bytes(old)? {
                [] => return Ok(()),
                made => out.write_all(made).map_err(|source| PatchError::Write { offset, source })?,
            }
        }
    }
}

impl WindowMaker {
    /// The next bytes, at most 128 KiB of them; none when the window is complete.
    pub fn next_bytes(&mut self, old: &dyn ReadAt) -> Result<&[u8], PatchError> {
        if self.at == self.window.new_len {
            for stream in [&mut self.control, &mut self.add, &mut self.insert] {
                stream.expect_end(self.at)?;
            }
            return Ok(&[]);
        }
        let mut filled = 0;
        // Most instructions are short: many are carried out at once.
        while filled < CHUNK && self.at < self.window.new_len {
            let (op, done) = match self.open.take() {
                Some(open) => open,
                None => (self.next_op()?, 0),
            };
            let len = usize::try_from(op.len() - done).map_or(CHUNK - filled, |left| left.min(CHUNK - filled));
            let made = &mut self.made[filled..filled + len];
            if let Op::Copy { old: start, .. } | Op::Add { old: start, .. } = op {
                let offset = start + done;
                old.read_exact_at(made, offset).map_err(|source| PatchError::Old { offset, source })?;
            }
            match op {
                Op::Copy { .. } => {}
                Op::Add { .. } => {
                    let delta = &mut self.delta[..len];
                    self.add.fill(delta, self.at)?;
                    made.iter_mut().zip(delta).for_each(|(byte, delta)| *byte = byte.wrapping_add(*delta));
                }
                Op::Insert { .. } => self.insert.fill(made, self.at)?,
            }
            let done = done + len as u64;
            self.open = (done < op.len()).then_some((op, done));
            filled += len;
            self.at += len as u64;
        }
        Ok(&self.made[..filled])
    }

    fn next_op(&mut self) -> Result<Op, PatchError> {
        let (window, at) = (self.number, self.at);
        let op = self.ops.next(&mut self.control.decoder, self.window.new_len - at, self.old_len);
        op.map_err(|error| match error {
            NoOp::Bad(problem) => PatchError::BadWindow { window, at, problem },
            NoOp::Io(source) => self.control.error(source),
        })
    }
}

/// A part of a window as it is stored.
struct Stored {
    window: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Stored {
    fn as_ref(&self) -> &[u8] {
        self.window.get(self.range.clone()).unwrap_or_default()
    }
}

/// One stream of a window, decompressed as it is read. No bytes at all stand for an empty stream.
struct Stream {
    name: &'static str,
    window: usize,
    decoder: Box<dyn Read + Send>,
}

impl Stream {
    fn new(name: &'static str, window: usize, stored: Stored) -> Result<Self, PatchError> {
        let error = |source| PatchError::Stream { window, stream: name, source };
        if stored.as_ref().is_empty() {
            return Ok(Self { name, window, decoder: Box::new(io::empty()) });
        }
        let mut decoder = Decoder::with_buffer(Cursor::new(stored)).map_err(error)?;
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

    fn expect_end(&mut self, at: u64) -> Result<(), PatchError> {
        let problem = "a stream with bytes left over";
        match self.decoder.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(PatchError::BadWindow { window: self.window, at, problem }),
            Err(source) => Err(self.error(source)),
        }
    }
}

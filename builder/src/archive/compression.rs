//! Decoders with a memory limit, chosen by file name or by the first bytes.

use std::io::{self, BufRead, Read};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{MtStreamBuilder, Stream};

use super::ArchiveError;

/// What a single-threaded xz decoder may use, bytes: the dictionary of `xz -9` (64 MiB) and its state.
const XZ_MEMORY: u64 = 96 << 20;
/// What a multi-threaded xz decoder may use for its blocks, bytes; beyond that it decodes with fewer threads.
const XZ_MEMORY_THREADED: u64 = 160 << 20;
/// Streams shorter than this have one block in practice (xz cuts blocks at 24 MiB of input).
const THREADED_FROM: u64 = 4 << 20;
/// Largest zstd window, as a power of two: 128 MiB, the format's own recommendation for decoders.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), several members in a row allowed.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// By the suffix of `name`, which begins with `stem`: `data.tar.xz` with the stem `data.tar`.
    pub fn by_name(name: &str, stem: &str) -> Result<Self, ArchiveError> {
        match name.strip_prefix(stem) {
            Some("") => Ok(Self::None),
            Some(".gz") => Ok(Self::Gzip),
            Some(".xz") => Ok(Self::Xz),
            Some(".zst") => Ok(Self::Zstd),
            _ => Err(ArchiveError::Compression(name.to_owned())),
        }
    }

    /// By the first bytes of a stream; without a known magic number it counts as not compressed.
    pub fn by_magic(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// A reader of what `source`, `len` bytes long, was before it was compressed. xz streams that are long enough to
    /// have several blocks are decoded by as many threads as `threads` allows.
    pub fn decoder<'a>(
        self,
        source: impl BufRead + Send + 'a,
        len: u64,
        threads: Threads,
    ) -> Result<Box<dyn Read + Send + 'a>, ArchiveError> {
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(MultiGzDecoder::new(source)),
            Self::Xz => {
                let stream = xz_stream(len, threads).map_err(|error| ArchiveError::Read(error.into()))?;
                Box::new(XzDecoder::new_stream(source, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(source).map_err(ArchiveError::Read)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(ArchiveError::Read)?;
                Box::new(decoder)
            }
        })
    }
}

/// How many threads a decoder may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One.
    One,
    /// As many as there are processors, at most four.
    Several,
}

fn xz_stream(len: u64, threads: Threads) -> Result<Stream, liblzma::stream::Error> {
    let count = match threads {
        Threads::Several if len >= THREADED_FROM => {
            thread::available_parallelism().map_or(1, |count| count.get().min(4))
        }
        _ => 1,
    };
    match u32::try_from(count) {
        Ok(count) if count > 1 => MtStreamBuilder::new()
            .threads(count)
            .memlimit_threading(XZ_MEMORY_THREADED)
            .memlimit_stop(XZ_MEMORY_THREADED)
            .decoder(),
        _ => Stream::new_stream_decoder(XZ_MEMORY, 0),
    }
}

/// A reader that fails once more than `left` bytes came through, for content whose size nobody declared.
pub struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R> Capped<R> {
    /// Lets `limit` bytes of `inner` through.
    pub fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit }
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "more data than its limit allows"))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use liblzma::stream::Check;

    use super::*;

    fn decode(compression: Compression, bytes: &[u8], threads: Threads) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let len = bytes.len() as u64;
        compression.decoder(bytes, len, threads).unwrap().read_to_end(&mut out).map(|_| out)
    }

    /// Bytes that don't compress to nothing.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24).to_le_bytes()[0]
        })
        .take(len)
        .collect()
    }

    #[test]
    fn every_compression_is_found_by_its_magic_and_read() {
        let data = noise(100_000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&data).unwrap();
        let gzip = gzip.finish().unwrap();
        let xz = liblzma::encode_all(&data[..], 1).unwrap();
        let zstd = zstd::encode_all(&data[..], 1).unwrap();
        for (bytes, expected) in [
            (gzip, Compression::Gzip),
            (xz, Compression::Xz),
            (zstd, Compression::Zstd),
            (data.clone(), Compression::None),
        ] {
            assert_eq!(Compression::by_magic(&bytes), expected);
            assert_eq!(decode(expected, &bytes, Threads::Several).unwrap(), data);
            if expected != Compression::None {
                assert!(decode(expected, &bytes[..bytes.len() / 2], Threads::One).is_err(), "{expected:?} cut off");
            }
        }
    }

    #[test]
    fn xz_of_several_blocks_is_read_by_several_threads_and_its_damage_is_noticed() {
        let data = noise(6 << 20);
        let stream =
            MtStreamBuilder::new().threads(2).preset(0).block_size(1 << 20).check(Check::Crc64).encoder().unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(&data).unwrap();
        let mut bytes = encoder.finish().unwrap();
        assert!(bytes.len() as u64 >= THREADED_FROM);
        assert!(decode(Compression::Xz, &bytes, Threads::Several).unwrap() == data);
        let end = bytes.len() - 1;
        assert!(decode(Compression::Xz, &bytes[..end], Threads::Several).is_err());
        let middle = end / 2;
        bytes[middle] ^= 1;
        assert!(decode(Compression::Xz, &bytes, Threads::Several).is_err());
    }

    #[test]
    fn a_cap_stops_a_bomb() {
        let bomb = zstd::encode_all(io::repeat(0).take(1 << 24), 1).unwrap();
        let decoder = Compression::Zstd.decoder(&bomb[..], bomb.len() as u64, Threads::One).unwrap();
        let error = io::copy(&mut Capped::new(decoder, 1 << 20), &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}

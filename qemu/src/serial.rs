//! What a serial port said: kept as lines with the host's time, and as bytes in a file.
//!
//! A guest may say anything, for ever, without ever ending a line. Lines are cut at [`LINE_MAX`], only the last [`LINES_MAX`] are
//! kept in memory, escape sequences and control characters are taken out, and what isn't UTF-8 is replaced.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes after which a line is cut.
const LINE_MAX: usize = 16 * 1024;

/// Lines that are kept.
const LINES_MAX: usize = 100_000;

/// A line of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialLine {
    /// When its first byte came, since the machine was switched on, by the host's clock.
    pub at: Duration,
    /// Its text, without escape sequences and line end.
    pub text: String,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    line: usize,
    column: usize,
}

/// What a serial port said so far. Clones look at the same log.
#[derive(Clone)]
pub struct SerialLog {
    shared: Arc<(Mutex<State>, Condvar)>,
    start: Instant,
}

#[derive(Default)]
struct State {
    /// Complete lines that are kept.
    lines: Vec<SerialLine>,
    /// How many came before those.
    dropped: usize,
    /// The line that has no end yet, and when it began.
    partial: Vec<u8>,
    partial_at: Duration,
    escape: Escape,
    closed: bool,
}

/// Where in an escape sequence (ECMA-48) the stream is.
#[derive(Clone, Copy, Default)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// In a control sequence, after ESC `[`.
    Control,
    /// In a string (title and the like), until BEL or ESC.
    Text,
}

impl SerialLog {
    /// An empty log; times count from `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { shared: Arc::default(), start }
    }

    /// Reads `port` to its end, and copies every byte to `file`.
    pub(crate) fn follow(&self, mut port: impl Read, mut file: Option<File>) {
        let mut buffer = [0; 4096];
        loop {
            let count = match port.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if let Some(Err(error)) = file.as_mut().map(|file| file.write_all(&buffer[..count])) {
                file = None;
                self.push(format!("\n[the console's file cannot be written: {error}]\n").as_bytes());
            }
            self.push(&buffer[..count]);
        }
        self.lock().close();
        self.shared.1.notify_all();
    }

    /// Takes more bytes.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let at = self.start.elapsed();
        let mut state = self.lock();
        for byte in bytes {
            state.push(*byte, at);
        }
        drop(state);
        self.shared.1.notify_all();
    }

    /// All lines that are kept, the one without an end too.
    pub fn lines(&self) -> Vec<SerialLine> {
        let state = self.lock();
        state.lines.iter().cloned().chain(state.unfinished()).collect()
    }

    /// The last `count` lines that aren't empty.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let state = self.lock();
        let mut tail: Vec<String> = state
            .unfinished()
            .into_iter()
            .chain(state.lines.iter().rev().cloned())
            .map(|line| line.text)
            .filter(|text| !text.trim().is_empty())
            .take(count)
            .collect();
        tail.reverse();
        tail
    }

    /// The end of what was said so far.
    pub fn mark(&self) -> Mark {
        let state = self.lock();
        let column = state.unfinished().map_or(0, |line| line.text.len());
        Mark { line: state.dropped + state.lines.len(), column }
    }

    /// The first line after `after` that has `pattern` in it, and the place behind the pattern.
    pub fn find(&self, pattern: &str, after: Mark) -> Option<(SerialLine, Mark)> {
        self.lock().find(pattern, after)
    }

    /// Like [`Self::find`], waiting for it until `deadline`. `None` if it didn't come, or the port is closed.
    pub fn wait_for(&self, pattern: &str, after: Mark, deadline: Instant) -> Option<(SerialLine, Mark)> {
        let mut state = self.lock();
        // Lines already searched needn't be searched again.
        let mut from = after;
        loop {
            if let Some(found) = state.find(pattern, from) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            from = from.max(Mark { line: state.dropped + state.lines.len(), column: 0 });
            state = self.shared.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, byte: u8, at: Duration) {
        match (self.escape, byte) {
            (Escape::None | Escape::Text, 0x1b) => self.escape = Escape::Begun,
            (Escape::None, b'\n') => self.end_line(at),
            (Escape::None, b'\t') => self.text(b' ', at),
            (Escape::None, 0..0x20 | 0x7f) | (Escape::Begun, 0x20..0x30) => {}
            (Escape::None, _) => self.text(byte, at),
            (Escape::Begun, b'[') => self.escape = Escape::Control,
            (Escape::Begun, b']' | b'P' | b'X' | b'^' | b'_') => self.escape = Escape::Text,
            (Escape::Begun, _) | (Escape::Text, 0x07 | b'\n') => self.escape = Escape::None,
            (Escape::Control, 0x40..0x7f) => {
                self.escape = Escape::None;
                // Firmware moves the cursor instead of ending lines.
                if matches!(byte, b'H' | b'f' | b'J') && !self.partial.is_empty() {
                    self.end_line(at);
                }
            }
            (Escape::Control, b'\n') => {
                self.escape = Escape::None;
                self.end_line(at);
            }
            (Escape::Control | Escape::Text, _) => {}
        }
    }

    fn text(&mut self, byte: u8, at: Duration) {
        if self.partial.is_empty() {
            self.partial_at = at;
        }
        self.partial.push(byte);
        if self.partial.len() >= LINE_MAX {
            self.end_line(at);
        }
    }

    fn end_line(&mut self, at: Duration) {
        let line = self.unfinished().unwrap_or(SerialLine { at, text: String::new() });
        self.partial.clear();
        self.lines.push(line);
        if self.lines.len() > LINES_MAX {
            let half = LINES_MAX / 2;
            self.lines.drain(..half);
            self.dropped += half;
        }
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn unfinished(&self) -> Option<SerialLine> {
        (!self.partial.is_empty())
            .then(|| SerialLine { at: self.partial_at, text: String::from_utf8_lossy(&self.partial).into_owned() })
    }

    fn find(&self, pattern: &str, after: Mark) -> Option<(SerialLine, Mark)> {
        let first = after.line.saturating_sub(self.dropped);
        let kept =
            self.lines.iter().skip(first).cloned().chain(self.unfinished().filter(|_| first <= self.lines.len()));
        for (offset, line) in kept.enumerate() {
            let number = self.dropped + first + offset;
            let column = if number == after.line { after.column } else { 0 };
            if let Some(position) = line.text.get(column..).and_then(|rest| rest.find(pattern)) {
                return Some((line, Mark { line: number, column: column + position + pattern.len() }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn log_of(bytes: &[u8]) -> SerialLog {
        let log = SerialLog::new(Instant::now());
        log.push(bytes);
        log
    }

    fn texts(log: &SerialLog) -> Vec<String> {
        log.lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn escapes_are_no_text_and_cursor_moves_end_lines() {
        let log = log_of(b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: x\x1b[02;01Hnext\r\n\x1b[0;32m  OK\x1b[0m\tdone\n\x1b]0;title\x07login: ");
        assert_eq!(texts(&log), ["BdsDxe: x", "next", "  OK done", "login: "]);
    }

    #[test]
    fn a_prompt_without_a_line_end_is_found_once() {
        let log = log_of(b"host login: ");
        let (_, mark) = log.find("login:", Mark::default()).unwrap();
        assert!(log.find("login:", mark).is_none());
        log.push(b"root\nhost login: ");
        assert_eq!(log.find("root", mark).unwrap().0.text, "host login: root");
        assert_eq!(log.find("login:", mark).unwrap().1, Mark { line: 1, column: 11 });
    }

    #[test]
    fn a_mark_hides_what_came_before() {
        let log = log_of(b"boot\nboot");
        let mark = log.mark();
        assert!(log.find("boot", mark).is_none());
        log.push(b"\nboot again\n");
        assert_eq!(log.find("boot", mark).unwrap().0.text, "boot again");
    }

    #[test]
    fn waiting_ends_with_the_line_the_deadline_or_the_port() {
        let log = log_of(b"");
        let soon = Instant::now() + Duration::from_millis(10);
        assert!(log.wait_for("x", Mark::default(), soon).is_none());
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| log.wait_for("two", Mark::default(), Instant::now() + Duration::from_secs(30)));
            log.push(b"one\nt");
            log.push(b"wo");
            assert_eq!(waiting.join().unwrap().unwrap().0.text, "two");
            let waiting =
                scope.spawn(|| log.wait_for("three", Mark::default(), Instant::now() + Duration::from_secs(30)));
            log.follow(&b"four"[..], None);
            assert!(waiting.join().unwrap().is_none(), "the port is closed");
        });
    }

    #[test]
    fn the_file_has_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        let log = log_of(b"");
        log.follow(&b"\x1b[1mbold\xff\r\n"[..], Some(File::create(&path).unwrap()));
        assert_eq!(std::fs::read(path).unwrap(), b"\x1b[1mbold\xff\r\n");
        assert_eq!(texts(&log), ["bold\u{fffd}"]);
    }

    #[test]
    fn endless_lines_are_cut_and_old_ones_dropped() {
        let log = log_of(&vec![b'x'; LINE_MAX * 2 + 5]);
        assert_eq!(log.lines().iter().map(|line| line.text.len()).collect::<Vec<_>>(), [LINE_MAX, LINE_MAX, 5]);
        let log = log_of(b"first\n");
        log.push(&b"\n".repeat(LINES_MAX));
        log.push(b"last\n");
        assert!(log.lines().len() <= LINES_MAX);
        assert!(log.find("first", Mark::default()).is_none());
        let (_, mark) = log.find("last", Mark::default()).unwrap();
        assert_eq!(mark, Mark { line: LINES_MAX + 1, column: 4 });
        assert_eq!(log.tail(3), ["last"]);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_clean_lines(bytes: Vec<u8>, cut in 0_usize..64) {
            let whole = log_of(&bytes);
            let pieces = log_of(b"");
            for piece in bytes.chunks(cut + 1) {
                pieces.push(piece);
            }
            prop_assert_eq!(texts(&whole), texts(&pieces));
            prop_assert!(texts(&whole).iter().all(|text| !text.contains('\x1b') && !text.contains('\n')));
            let mark = whole.mark();
            prop_assert!(whole.find("x", mark).is_none());
        }
    }
}

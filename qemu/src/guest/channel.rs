//! The host's end of the channel.
//!
//! The peer is the guest, which a test may have broken on purpose. It may send lines without end (they are cut off at
//! [`LINE_MAX`] and given up), lines without number (at most [`QUEUE`] wait; then the guest does), things that aren't JSON or nest
//! deeply (`serde_json` stops at depth 128), answers to other requests (left out by their id), or nothing (deadlines).

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::GuestError;

/// The longest line that is taken.
const LINE_MAX: u64 = 8 << 20;

/// Lines that wait to be looked at.
const QUEUE: usize = 256;

/// Lines that weren't understood and are kept for an error, and how much of each.
const NOISE_LINES: usize = 5;
const NOISE_WIDTH: usize = 200;

/// A line from the guest.
#[derive(Debug, PartialEq)]
enum Incoming {
    Hello { version: String },
    Answer { id: u64, body: Map<String, Value> },
    Noise(String),
}

impl Incoming {
    fn parse(line: &[u8]) -> Self {
        let noise = || Self::Noise(String::from_utf8_lossy(line).trim().chars().take(NOISE_WIDTH).collect());
        let Ok(Value::Object(body)) = serde_json::from_slice(line) else { return noise() };
        if body.get("hello").and_then(Value::as_str) == Some("slipway-agent") {
            let version = body.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Self::Hello { version };
        }
        match body.get("id").and_then(Value::as_u64) {
            Some(id) => Self::Answer { id, body },
            None => noise(),
        }
    }
}

/// The host's end.
pub(crate) struct Channel {
    writer: UnixStream,
    incoming: Receiver<Incoming>,
    next_id: u64,
    /// A hello that came in the midst of a request.
    hello: Option<String>,
    noise: VecDeque<String>,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> std::io::Result<Self> {
        let reader = stream.try_clone()?;
        let (sender, incoming) = sync_channel(QUEUE);
        thread::spawn(move || follow(reader, &sender));
        Ok(Self { writer: stream, incoming, next_id: 0, hello: None, noise: VecDeque::new() })
    }

    /// The next hello that nobody was told of. `within` is for the error.
    pub(super) fn wait_for_hello(&mut self, deadline: Instant, within: Duration) -> Result<String, GuestError> {
        if let Some(version) = self.hello.take() {
            return Ok(version);
        }
        loop {
            if let Incoming::Hello { version } = self.next("hello of the agent", deadline, within)? {
                return Ok(version);
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) fn request(&mut self, mut request: Value, waiting: &str, within: Duration) -> Result<Value, GuestError> {
        let deadline = Instant::now() + within;
        self.next_id += 1;
        request["id"] = self.next_id.into();
        let mut line = request.to_string();
        line.push('\n');
        self.writer
            .set_write_timeout(Some(within.max(Duration::from_millis(1))))
            .and_then(|()| self.writer.write_all(line.as_bytes()))
            .map_err(|error| GuestError::Send(error.to_string()))?;
        loop {
            match self.next(waiting, deadline, within)? {
                Incoming::Hello { version } => {
                    self.hello = Some(version);
                    return Err(GuestError::Restarted(waiting.to_owned()));
                }
                Incoming::Answer { id, body } if id == self.next_id => {
                    return match body.get("error") {
                        Some(Value::String(reason)) => Err(GuestError::Refused(reason.clone())),
                        _ => Ok(Value::Object(body)),
                    };
                }
                // The answer to a request that was given up.
                Incoming::Answer { .. } | Incoming::Noise(_) => {}
            }
        }
    }

    fn next(&mut self, waiting: &str, deadline: Instant, within: Duration) -> Result<Incoming, GuestError> {
        match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(incoming) => {
                if let Incoming::Noise(line) = &incoming
                    && !line.is_empty()
                {
                    self.noise.truncate(NOISE_LINES - 1);
                    self.noise.push_front(line.clone());
                }
                Ok(incoming)
            }
            Err(RecvTimeoutError::Disconnected) => Err(GuestError::Closed(waiting.to_owned())),
            Err(RecvTimeoutError::Timeout) => Err(GuestError::Deadline {
                waiting: waiting.to_owned(),
                after: within,
                noise: self.noise.drain(..).rev().collect(),
            }),
        }
    }
}

fn follow(stream: UnixStream, sender: &SyncSender<Incoming>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let mut cut = false;
    loop {
        line.clear();
        match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let ended = line.last() == Some(&b'\n');
        // A line in several pieces is none that can be understood; say so once, at its end.
        let incoming = match (cut, ended) {
            (_, false) => {
                cut = true;
                continue;
            }
            (true, true) => {
                cut = false;
                Incoming::Noise(format!("a line of more than {LINE_MAX} bytes"))
            }
            (false, true) => Incoming::parse(&line),
        };
        if sender.send(incoming).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SOON: Duration = Duration::from_secs(10);

    /// A guest that answers each request with the lines that `answers` makes of it.
    fn guest(hello: &'static str, answers: impl Fn(Value) -> String + Send + 'static) -> Channel {
        let (here, there) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut writer = there.try_clone().unwrap();
            writer.write_all(hello.as_bytes()).unwrap();
            for line in BufReader::new(there).lines() {
                let answer = answers(serde_json::from_str(&line.unwrap()).unwrap());
                if writer.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Channel::new(here).unwrap()
    }

    const HELLO: &str = "\u{0}login garbage\r\n{\"hello\":\"slipway-agent\",\"version\":\"0.1.0\"}\r\n";

    fn hello(channel: &mut Channel) -> Result<String, GuestError> {
        channel.wait_for_hello(Instant::now() + SOON, SOON)
    }

    #[test]
    fn hello_then_answers_by_id_past_noise() {
        let mut channel = guest(HELLO, |request| {
            format!(
                "kernel: noise\n{{\"id\":999,\"old\":1}}\n{{\"id\":{},\"run\":{}}}\n",
                request["id"], request["run"]
            )
        });
        assert_eq!(hello(&mut channel).unwrap(), "0.1.0");
        for command in [["true"], ["false"]] {
            let answer = channel.request(json!({"run": command}), "answer", SOON).unwrap();
            assert_eq!(answer["run"], json!(command));
        }
    }

    #[test]
    fn a_silent_guest_costs_the_deadline_and_its_noise_is_shown() {
        let mut channel = guest(HELLO, |_| "{\"half\":\nwhat?\n".into());
        hello(&mut channel).unwrap();
        let error = channel.request(json!({"ping": true}), "answer to ping", Duration::from_millis(300)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no answer to ping within 0.3 s"), "{text}");
        assert!(text.ends_with("it said instead: \u{0}login garbage | {\"half\": | what?"), "{text}");
    }

    #[test]
    fn a_restart_a_refusal_and_an_end_are_told_apart() {
        let mut channel = guest(HELLO, |_| "{\"hello\":\"slipway-agent\",\"version\":\"2\"}\n".into());
        hello(&mut channel).unwrap();
        let restarted = channel.request(json!({}), "x", SOON).unwrap_err();
        assert_eq!(restarted, GuestError::Restarted("x".into()));
        assert_eq!(hello(&mut channel).unwrap(), "2", "it isn't lost");

        let mut channel = guest(HELLO, |request| format!("{{\"id\":{},\"error\":\"no such set\"}}\n", request["id"]));
        hello(&mut channel).unwrap();
        assert_eq!(channel.request(json!({}), "x", SOON), Err(GuestError::Refused("no such set".into())));

        let (here, there) = UnixStream::pair().unwrap();
        let mut channel = Channel::new(here).unwrap();
        drop(there);
        assert_eq!(hello(&mut channel), Err(GuestError::Closed("hello of the agent".into())));
    }

    #[test]
    fn a_line_without_end_is_given_up_and_the_next_one_heard() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut channel = Channel::new(here).unwrap();
        let writer = thread::spawn(move || {
            let piece = vec![b'['; 1 << 20];
            for _ in 0..9 {
                there.write_all(&piece).unwrap();
            }
            there.write_all(b"\n").unwrap();
            there.write_all(HELLO.as_bytes()).unwrap();
        });
        assert_eq!(hello(&mut channel).unwrap(), "0.1.0");
        writer.join().unwrap();
        assert!(channel.noise.iter().any(|line| line.contains("more than")));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_harm(line: Vec<u8>) {
            let _ = Incoming::parse(&line);
        }

        #[test]
        fn deep_nesting_is_noise(depth in 200_usize..5000) {
            prop_assert!(matches!(Incoming::parse("[".repeat(depth).as_bytes()), Incoming::Noise(_)));
            let object = format!("{}1{}", "{\"id\":".repeat(depth), "}".repeat(depth));
            prop_assert!(matches!(Incoming::parse(object.as_bytes()), Incoming::Noise(_)));
        }
    }
}

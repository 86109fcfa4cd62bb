//! The guest's end of the channel into a machine under test: JSON lines over a serial port.
//!
//! | request | answer |
//! | --- | --- |
//! | `{"id":1,"ping":true}` | `{"id":1,"pong":true}` |
//! | `{"id":2,"run":["cmd","arg"],"timeout_ms":5000}` | `{"id":2,"status":0,"stdout":"…","stderr":"…","timed_out":false}`; status null when a signal ended it, 127 when it could not be started |
//! | `{"id":3,"checks":"smoke"}` or `"health"` | `{"id":3,"results":[{"name":"…","ok":true,"ms":12,"detail":"…"}]}` |
//!
//! It begins with `{"hello":"slipway-agent","version":"…"}`. A request that is not understood is answered with
//! `{"id":4,"error":"…"}`, `id` null where none could be read. Requests are answered in turn.
//!
//! Whoever writes to the port commands the machine as root: it is only served when the machine's owner starts a unit for
//! it from outside, by a credential. So the peer is trusted with commands, not with form: a line is at most
//! [`LINE_LIMIT`] bytes, output at most [`OUTPUT_LIMIT`] per stream.

pub mod tty;

use std::io::{self, BufRead, Read as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::chain;
use crate::checks::{self, CheckResult, Phase};
use crate::process;

/// The longest request.
pub const LINE_LIMIT: u64 = 1 << 20;

/// The most that is sent of each of a command's outputs.
pub const OUTPUT_LIMIT: usize = 256 << 10;

/// What a command may take when the request doesn't say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a shell answers for a program that can't be started.
const NOT_STARTED: i32 = 127;

#[derive(Debug, Serialize)]
struct Hello {
    hello: &'static str,
    version: &'static str,
}

/// A request as it comes: exactly one of the optional fields says what is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    id: u64,
    run: Option<Vec<String>>,
    timeout_ms: Option<u64>,
    checks: Option<CheckSetName>,
    ping: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum CheckSetName {
    Health,
    Smoke,
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Ping,
    Run { argv: Vec<String>, timeout: Duration },
    Checks(CheckSetName),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Pong { pong: bool },
    Output { status: Option<i32>, stdout: String, stderr: String, timed_out: bool },
    Results { results: Vec<CheckResult> },
    Error { error: String },
}

#[derive(Debug, Serialize)]
struct Reply {
    id: Option<u64>,
    #[serde(flatten)]
    answer: Answer,
}

/// Serves one peer.
#[derive(Debug)]
pub struct Server {
    root: PathBuf,
}

impl Server {
    /// A server for the system whose root is at `root`: `/`, or a copy for tests.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Says hello, and answers requests until the peer's end is closed.
    pub fn serve(&self, mut reader: impl BufRead, mut writer: impl Write) -> io::Result<()> {
        // The line may have been begun by somebody else.
        writer.write_all(b"\n")?;
        send(&mut writer, &Hello { hello: "slipway-agent", version: env!("CARGO_PKG_VERSION") })?;
        let mut line = Vec::new();
        while let Some(whole) = read_line(&mut reader, &mut line)? {
            if whole && line.trim_ascii().is_empty() {
                continue;
            }
            let reply = if whole {
                self.reply(&line)
            } else {
                let error = format!("a request is at most {LINE_LIMIT} bytes");
                Reply { id: None, answer: Answer::Error { error } }
            };
            send(&mut writer, &reply)?;
        }
        Ok(())
    }

    fn reply(&self, line: &[u8]) -> Reply {
        match serde_json::from_slice::<RawRequest>(line) {
            Ok(raw) => {
                let id = Some(raw.id);
                let answer = match raw.understand() {
                    Ok(request) => self.answer(&request),
                    Err(error) => Answer::Error { error },
                };
                Reply { id, answer }
            }
            Err(error) => {
                let id = serde_json::from_slice::<serde_json::Value>(line).ok().and_then(|value| value["id"].as_u64());
                Reply { id, answer: Answer::Error { error: error.to_string() } }
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        match request {
            Request::Ping => Answer::Pong { pong: true },
            Request::Run { argv, timeout } => run(argv, *timeout),
            Request::Checks(set) => match checks::load(&self.root) {
                Ok(checks) => {
                    let set = match set {
                        CheckSetName::Health => &checks.health,
                        CheckSetName::Smoke => &checks.smoke,
                    };
                    Answer::Results { results: checks::run(set, Phase::Running, &|_| ()).results }
                }
                Err(error) => Answer::Error { error: chain(&error) },
            },
        }
    }
}

impl RawRequest {
    fn understand(self) -> Result<Request, String> {
        match (self.run, self.checks, self.ping) {
            (Some(argv), None, None) if !argv.is_empty() => {
                let timeout = self.timeout_ms.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
                Ok(Request::Run { argv, timeout })
            }
            (None, Some(set), None) => Ok(Request::Checks(set)),
            (None, None, Some(true)) => Ok(Request::Ping),
            _ => Err("a request has one of `run` (with a program), `checks` and `ping`".to_owned()),
        }
    }
}

fn run(argv: &[String], timeout: Duration) -> Answer {
    match process::run(argv, timeout, OUTPUT_LIMIT) {
        Ok(finished) => Answer::Output {
            status: finished.status,
            stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
            timed_out: finished.timed_out,
        },
        Err(error) => Answer::Output {
            status: Some(NOT_STARTED),
            stdout: String::new(),
            stderr: error.to_string(),
            timed_out: false,
        },
    }
}

/// One line per value, in one write. JSON has no line breaks but escaped ones.
fn send(writer: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line)?;
    writer.flush()
}

/// Reads the next line; whether it is whole, or was cut off at the limit. `None` at the end.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    if reader.by_ref().take(LINE_LIMIT).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    let cut = line.len() as u64 == LINE_LIMIT && !line.ends_with(b"\n");
    if cut {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(!cut))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn talk_below(root: &std::path::Path, requests: &[u8]) -> Vec<Value> {
        let mut answers = Vec::new();
        Server::new(root).serve(requests, &mut answers).unwrap();
        let mut lines = answers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let hello: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
        assert_eq!(hello, json!({"hello": "slipway-agent", "version": env!("CARGO_PKG_VERSION")}));
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    fn talk(requests: &[u8]) -> Vec<Value> {
        talk_below(std::path::Path::new("/nonexistent"), requests)
    }

    #[test]
    fn commands_are_run_in_turn() {
        let answers = talk(
            b"{\"id\":1,\"ping\":true}\n\n{\"id\":2,\"run\":[\"sh\",\"-c\",\"echo out; echo err >&2; exit 3\"]}\n\
              {\"id\":3,\"run\":[\"sleep\",\"60\"],\"timeout_ms\":100}\n{\"id\":4,\"run\":[\"/nonexistent\"]}",
        );
        assert_eq!(answers[0], json!({"id": 1, "pong": true}));
        assert_eq!(answers[1], json!({"id": 2, "status": 3, "stdout": "out\n", "stderr": "err\n", "timed_out": false}));
        assert_eq!(answers[2], json!({"id": 3, "status": null, "stdout": "", "stderr": "", "timed_out": true}));
        assert_eq!(answers[3]["status"], 127);
        assert!(answers[3]["stderr"].as_str().unwrap().contains("/nonexistent"));
    }

    #[test]
    fn output_is_capped_and_made_text() {
        let answers = talk(b"{\"id\":1,\"run\":[\"sh\",\"-c\",\"printf '\\\\377x'; head -c 400000 /dev/zero\"]}\n");
        let text = answers[0]["stdout"].as_str().unwrap();
        assert!(text.starts_with("\u{fffd}x"), "{:?}", &text[..8]);
        // The first byte became three.
        assert_eq!(text.len(), OUTPUT_LIMIT + 2);
    }

    #[test]
    fn checks_are_those_of_the_image() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/lib/slipway");
        std::fs::create_dir_all(&folder).unwrap();
        let check = |name: &str, program: &str| json!({"name": name, "within_ms": 300, "what": {"command": {"argv": [program], "prints": null}}});
        let checks = json!({
            "health": {"soak_ms": 0, "checks": []},
            "smoke": {"soak_ms": 0, "checks": [check("good", "true"), check("bad", "false")]},
        });
        std::fs::write(folder.join("checks.json"), checks.to_string()).unwrap();
        let answers = talk_below(root.path(), b"{\"id\":7,\"checks\":\"smoke\"}\n{\"id\":8,\"checks\":\"health\"}\n");
        let [good, bad] = &answers[0]["results"].as_array().unwrap()[..] else { panic!("{answers:?}") };
        assert_eq!((&good["name"], &good["ok"]), (&json!("good"), &json!(true)));
        assert_eq!(
            (&bad["name"], &bad["ok"], &bad["detail"]),
            (&json!("bad"), &json!(false), &json!("ended with status 1"))
        );
        assert!(bad["ms"].as_u64().unwrap() >= 300);
        assert_eq!(answers[1], json!({"id": 8, "results": []}));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_id() {
        let answers = talk(
            b"{\"id\":1,\"runn\":[]}\n{\"id\":2}\n{\"id\":3,\"run\":[]}\nnoise\n{\"id\":5,\"checks\":\"all\"}\n\
              {\"id\":6,\"checks\":\"smoke\"}\n",
        );
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64()).collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3), None, Some(5), Some(6)]);
        assert!(answers.iter().all(|answer| answer["error"].is_string()), "{answers:?}");
        assert!(answers[5]["error"].as_str().unwrap().contains("checks.json"));
    }

    #[test]
    fn a_line_without_end_is_dropped_and_the_next_one_answered() {
        let limit = usize::try_from(LINE_LIMIT).unwrap();
        let requests = [&vec![b'x'; 2 * limit + 5][..], b"\n{\"id\":9,\"ping\":true}\n"].concat();
        let answers = talk(&requests);
        assert!(answers[0]["error"].as_str().unwrap().contains("at most"));
        assert_eq!((answers.len(), &answers[1]["pong"]), (2, &json!(true)));
    }

    proptest! {
        #[test]
        fn every_line_gets_one_answer(line in "[^\n\r\\s][^\n]{0,60}") {
            // No request of these can name a program.
            prop_assume!(!line.contains("run"));
            let answers = talk(format!("{line}\n{{\"id\":1,\"ping\":true}}\n").as_bytes());
            prop_assert_eq!(answers.len(), 2);
        }
    }
}

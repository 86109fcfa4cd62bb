//! QEMU's machine protocol (QMP): one JSON object per line, over a unix socket; see QEMU's "QMP specification".
//!
//! The peer is the QEMU that this crate started, which is trusted as far as the rest of this process is; still, a line that isn't
//! understood is left out, and lines have a greatest length.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The longest line that is read. Answers to the commands used here have some hundred bytes.
const LINE_MAX: u64 = 1 << 20;

/// Something that QEMU reported on its own, such as `RESET`, `SHUTDOWN`, `WATCHDOG`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// What goes with it; null if nothing does.
    pub data: Value,
    /// When it came, since the machine was switched on, by the host's clock.
    pub at: Duration,
}

/// A line of the protocol.
#[derive(Debug, PartialEq)]
enum Message {
    Greeting,
    Event { name: String, data: Value },
    Answer { id: u64, result: Result<Value, String> },
}

impl Message {
    fn parse(line: &str) -> Option<Self> {
        let Ok(Value::Object(mut object)) = serde_json::from_str(line) else { return None };
        if object.contains_key("QMP") {
            return Some(Self::Greeting);
        }
        let data = object.remove("data").unwrap_or_default();
        if let Some(Value::String(name)) = object.remove("event") {
            return Some(Self::Event { name, data });
        }
        let id = object.get("id")?.as_u64()?;
        if let Some(value) = object.remove("return") {
            return Some(Self::Answer { id, result: Ok(value) });
        }
        let error = object.get("error")?;
        let description = error.get("desc").and_then(Value::as_str).unwrap_or("gives no reason");
        Some(Self::Answer { id, result: Err(description.to_owned()) })
    }
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    answer: Option<(u64, Result<Value, String>)>,
    greeted: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `look` finds something. `None` at the deadline, or when the connection is closed and there is nothing.
    fn wait<T>(&self, deadline: Option<Instant>, mut look: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Some(found);
            }
            if state.closed {
                return None;
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return None,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// A connection to a machine's monitor.
pub(crate) struct Monitor {
    writer: UnixStream,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    next_id: u64,
}

impl Monitor {
    /// Shakes hands. Times of events count from `start`.
    pub(crate) fn connect(stream: UnixStream, start: Instant, within: Duration) -> Result<Self, String> {
        let reader = stream.try_clone().map_err(|error| format!("socket cannot be used: {error}"))?;
        stream.set_write_timeout(Some(within)).map_err(|error| format!("socket cannot be used: {error}"))?;
        let shared = Arc::new(Shared::default());
        let followed = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            follow(reader, &followed, start);
            followed.change(|state| state.closed = true);
        });
        let mut monitor = Self { writer: stream, shared, reader: Some(reader), next_id: 0 };
        let deadline = Instant::now() + within;
        if monitor.shared.wait(Some(deadline), |state| state.greeted.then_some(())).is_none() {
            return Err("greeting did not come".into());
        }
        monitor.command("qmp_capabilities", &Value::Null, within)?;
        Ok(monitor)
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn command(&mut self, name: &str, arguments: &Value, within: Duration) -> Result<Value, String> {
        let deadline = Instant::now() + within;
        self.next_id += 1;
        let id = self.next_id;
        let mut line = match arguments {
            Value::Null => json!({"execute": name, "id": id}),
            arguments => json!({"execute": name, "arguments": arguments, "id": id}),
        }
        .to_string();
        line.push('\n');
        self.writer.write_all(line.as_bytes()).map_err(|error| format!("`{name}` cannot be sent: {error}"))?;
        let answer = self.shared.wait(Some(deadline), |state| state.answer.take_if(|(answered, _)| *answered == id));
        match answer {
            Some((_, Ok(value))) => Ok(value),
            Some((_, Err(reason))) => Err(format!("`{name}` was refused: {reason}")),
            None => Err(format!("`{name}` was not answered")),
        }
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.shared.lock().events.clone()
    }

    /// The first event of that name from the `after`th on. `None` at the deadline, or when QEMU has ended without it.
    pub(crate) fn wait_for_event(&self, name: &str, after: usize, deadline: Instant) -> Option<Event> {
        self.shared
            .wait(Some(deadline), |state| state.events.iter().skip(after).find(|event| event.name == name).cloned())
    }

    /// Waits until QEMU has closed the connection, which it does when it ends; then no event is missing.
    pub(crate) fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // It only panics if this module is wrong; the events are there anyway.
            let _ = reader.join();
        }
    }
}

fn follow(stream: UnixStream, shared: &Shared, start: Instant) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(line)) = read_line(&mut reader) {
        match Message::parse(&line) {
            Some(Message::Greeting) => shared.change(|state| state.greeted = true),
            Some(Message::Event { name, data }) => {
                let at = start.elapsed();
                shared.change(|state| state.events.push(Event { name, data, at }));
            }
            Some(Message::Answer { id, result }) => shared.change(|state| state.answer = Some((id, result))),
            None => {}
        }
    }
}

/// The next line; `None` at the end. A line that is too long is an error.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn reads_what_qemu_writes() {
        let greeting =
            r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}"#;
        assert_eq!(Message::parse(greeting), Some(Message::Greeting));
        let event = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": true}}"#;
        let expected = Message::Event { name: "RESET".into(), data: json!({"guest": true}) };
        assert_eq!(Message::parse(event), Some(expected));
        let answer = Message::parse("{\"return\": {}, \"id\": 3}\r\n");
        assert_eq!(answer, Some(Message::Answer { id: 3, result: Ok(json!({})) }));
        let refusal = Message::parse(r#"{"id": 4, "error": {"class": "GenericError", "desc": "no such thing"}}"#);
        assert_eq!(refusal, Some(Message::Answer { id: 4, result: Err("no such thing".into()) }));
    }

    #[test]
    fn shakes_hands_commands_and_hears_events() {
        let (here, there) = UnixStream::pair().unwrap();
        let qemu = thread::spawn(move || {
            let mut lines = BufReader::new(there.try_clone().unwrap()).lines();
            let mut there = there;
            let mut heard = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
            writeln!(there, r#"{{"QMP": {{}}}}"#).unwrap();
            assert_eq!(heard(), json!({"execute": "qmp_capabilities", "id": 1}));
            writeln!(there, r#"{{"return": {{}}, "id": 1}}"#).unwrap();
            assert_eq!(heard(), json!({"execute": "cont", "id": 2}));
            writeln!(there, "{{\"event\": \"RESUME\"}}\nnot json\n{{\"return\": {{}}, \"id\": 2}}").unwrap();
            assert_eq!(heard(), json!({"execute": "eject", "arguments": {"device": "x"}, "id": 3}));
            writeln!(there, r#"{{"error": {{"desc": "Device 'x' not found"}}, "id": 3}}"#).unwrap();
        });
        let mut monitor = Monitor::connect(here, Instant::now(), SOON).unwrap();
        assert_eq!(monitor.command("cont", &Value::Null, SOON).unwrap(), json!({}));
        let refused = monitor.command("eject", &json!({"device": "x"}), SOON).unwrap_err();
        assert_eq!(refused, "`eject` was refused: Device 'x' not found");
        assert_eq!(monitor.wait_for_event("RESUME", 0, Instant::now() + SOON).unwrap().data, Value::Null);
        qemu.join().unwrap();
        assert_eq!(monitor.wait_for_event("RESUME", 1, Instant::now() + SOON), None, "closed, so nothing more comes");
        assert!(monitor.command("cont", &Value::Null, SOON).is_err());
        monitor.join();
        assert_eq!(monitor.events().len(), 1);
    }

    #[test]
    fn a_peer_that_says_nothing_costs_no_more_than_the_deadline() {
        let (here, _there) = UnixStream::pair().unwrap();
        let error = Monitor::connect(here, Instant::now(), Duration::from_millis(20)).map(drop).unwrap_err();
        assert_eq!(error, "greeting did not come");
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_harm(line in ".*") {
            let _ = Message::parse(&line);
        }
    }
}

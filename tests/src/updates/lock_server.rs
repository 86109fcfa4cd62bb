//! A lock manager on the loopback interface: the `FleetLock` protocol with a semaphore, and faults. The agent's own tests ask it too.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Request, answer_all};

/// A request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// The header by which the protocol is known.
    pub header: Option<String>,
    /// Its body.
    pub body: serde_json::Value,
}

/// What the manager does instead of what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockFault {
    /// All is well.
    None,
    /// Answers with this status and body, and does nothing.
    Answer(u16, &'static str),
    /// Sends what is no HTTP.
    Garbage,
    /// Does what it is asked for, and closes without an answer.
    Mute,
    /// Does nothing and says nothing, and keeps the connection.
    Hang,
    /// Waits, and does what it is asked for when there is no fault any more.
    Hold,
}

/// The manager. It runs until the test ends.
#[derive(Clone, Debug)]
pub struct LockServer {
    address: SocketAddr,
    slots: usize,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug)]
struct State {
    fault: LockFault,
    holders: BTreeSet<String>,
    log: Vec<Asked>,
}

impl LockServer {
    /// Gives so many locks at a time.
    pub fn start(slots: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { fault: LockFault::None, holders: BTreeSet::new(), log: Vec::new() };
        let server = Self { address, slots, shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let serving = server.clone();
        answer_all(listener, move |stream| serving.answer(stream));
        server
    }

    /// Where programs on this machine find it.
    pub fn url(&self) -> String {
        format!("http://{}/base", self.address)
    }

    /// Where a machine in QEMU's user network finds it.
    pub fn url_in_guest(&self) -> String {
        format!("http://10.0.2.2:{}/base", self.address.port())
    }

    /// What is wrong from now on.
    pub fn set_fault(&self, fault: LockFault) {
        self.change(|state| state.fault = fault);
    }

    /// Gives a lock to another host.
    pub fn lock(&self, id: &str) {
        self.change(|state| state.holders.insert(id.to_owned()));
    }

    /// Another host gives its lock back.
    pub fn unlock(&self, id: &str) {
        self.change(|state| state.holders.remove(id));
    }

    /// Who has a lock.
    pub fn holders(&self) -> Vec<String> {
        self.look().holders.iter().cloned().collect()
    }

    /// What was asked for so far.
    pub fn log(&self) -> Vec<Asked> {
        self.look().log.clone()
    }

    /// Waits until somebody has asked for so many things.
    pub fn wait_for(&self, requests: usize, within: Duration) {
        let deadline = Instant::now() + within;
        let mut state = self.look();
        while state.log.len() < requests {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing but {:?} was asked for", state.log);
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }

    fn look(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.look());
        self.shared.1.notify_all();
        changed
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let request = Request::read(&stream)?;
        let header = request.field("fleet-lock-protocol").map(str::to_owned);
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let id = body["client_params"]["id"].as_str().unwrap_or_default().to_owned();
        let path = request.path;
        let asked = Asked { path: path.clone(), header, body };
        let fault = self.change(|state| {
            state.log.push(asked);
            state.fault.clone()
        });
        match fault {
            LockFault::Answer(status, text) => return reply(stream, status, text),
            LockFault::Garbage => return stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n"),
            LockFault::Hang => {
                // Longer than any client of a test waits.
                thread::sleep(Duration::from_secs(20));
                return Ok(());
            }
            LockFault::Hold => {
                drop(self.shared.1.wait_while(self.look(), |state| state.fault == LockFault::Hold));
            }
            LockFault::None | LockFault::Mute => {}
        }
        let given = self.change(|state| state.grant(&path, &id, self.slots));
        if fault == LockFault::Mute {
            return Ok(());
        }
        if given {
            reply(stream, 200, "")
        } else {
            reply(stream, 409, r#"{"kind":"failed_lock_semaphore_full","value":"all slots are locked"}"#)
        }
    }
}

impl State {
    fn grant(&mut self, path: &str, id: &str, slots: usize) -> bool {
        match path {
            "/base/v1/pre-reboot" if self.holders.contains(id) => true,
            "/base/v1/pre-reboot" if self.holders.len() < slots => self.holders.insert(id.to_owned()),
            "/base/v1/steady-state" => {
                self.holders.remove(id);
                true
            }
            _ => false,
        }
    }
}

fn reply(mut stream: TcpStream, status: u16, body: &str) -> io::Result<()> {
    let len = body.len();
    let location = if status == 302 { "Location: /base/v1/elsewhere\r\n" } else { "" };
    write!(stream, "HTTP/1.1 {status} X\r\n{location}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}")
}

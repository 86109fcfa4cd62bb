//! A lock manager on the loopback interface: the `FleetLock` protocol with a semaphore, and faults.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use slipway_updater::net::BaseUrl;

/// A request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub header: Option<String>,
    pub body: serde_json::Value,
}

/// What the manager does instead of what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockFault {
    None,
    /// Answers so, and does nothing.
    Answer(u16, &'static str),
    /// Sends what is no HTTP.
    Garbage,
    /// Does what it is asked for, and closes without an answer.
    Mute,
    /// Does nothing and says nothing, and keeps the connection.
    Hang,
}

/// The manager. It runs until the test ends.
#[derive(Clone)]
pub struct LockServer {
    address: SocketAddr,
    slots: usize,
    fault: Arc<Mutex<LockFault>>,
    holders: Arc<Mutex<BTreeSet<String>>>,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl LockServer {
    /// Gives so many locks at a time.
    pub fn start(slots: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(Mutex::new(LockFault::None));
        let server = Self { address, slots, fault, holders: Arc::default(), log: Arc::default() };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // A client may go away in the middle.
                thread::spawn(move || serving.answer(&stream).ok());
            }
        });
        server
    }

    pub fn url(&self) -> BaseUrl {
        BaseUrl::new(&format!("http://{}/base", self.address)).unwrap()
    }

    pub fn set_fault(&self, fault: LockFault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Who has a lock.
    pub fn holders(&self) -> Vec<String> {
        self.holders.lock().unwrap().iter().cloned().collect()
    }

    /// What was asked for so far.
    pub fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let header = |name: &str| {
            let mut fields = head.iter().filter_map(|line| line.split_once(": "));
            fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let len: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        let path = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = body["client_params"]["id"].as_str().unwrap_or_default().to_owned();
        self.log.lock().unwrap().push(Asked { path: path.clone(), header: header("fleet-lock-protocol"), body });
        let fault = self.fault.lock().unwrap().clone();
        match fault {
            LockFault::Answer(status, text) => return reply(stream, status, text),
            LockFault::Garbage => return stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n"),
            LockFault::Hang => {
                // Longer than any client of a test waits.
                thread::sleep(Duration::from_secs(20));
                return Ok(());
            }
            LockFault::None | LockFault::Mute => {}
        }
        let given = self.change(&path, &id);
        if fault == LockFault::Mute {
            return Ok(());
        }
        if given {
            reply(stream, 200, "")
        } else {
            reply(stream, 409, r#"{"kind":"failed_lock_semaphore_full","value":"all slots are locked"}"#)
        }
    }

    fn change(&self, path: &str, id: &str) -> bool {
        let mut holders = self.holders.lock().unwrap();
        match path {
            "/base/v1/pre-reboot" if holders.contains(id) => true,
            "/base/v1/pre-reboot" if holders.len() < self.slots => holders.insert(id.to_owned()),
            "/base/v1/steady-state" => {
                holders.remove(id);
                true
            }
            _ => false,
        }
    }
}

fn reply(mut stream: &TcpStream, status: u16, body: &str) -> io::Result<()> {
    let len = body.len();
    let location = if status == 302 { "Location: /base/v1/elsewhere\r\n" } else { "" };
    write!(stream, "HTTP/1.1 {status} X\r\n{location}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}")
}

//! A small HTTP server whose every answer a test decides, byte by byte.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub path: String,
    /// First byte asked for, of a `Range` header.
    pub from: Option<usize>,
    /// How many requests for this path there were before.
    pub nth: usize,
}

/// What is sent.
pub enum Reply {
    /// 200 with all of it; ranges are not understood.
    Whole(Vec<u8>),
    /// 200 or 206, as asked.
    Ranged(Vec<u8>),
    /// As `Ranged`, but the connection ends after so many bytes of the body.
    Cut(Vec<u8>, usize),
    /// As `Cut`, but the connection stays open and silent.
    Stalled(Vec<u8>, usize),
    /// These bytes and no more.
    Raw(Vec<u8>),
    /// A status without a body.
    Status(u16),
}

pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves what `reply` says until the test ends.
    pub fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (reply, log) = (Arc::new(reply), requests.clone());
        let counts = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, log, counts) = (reply.clone(), log.clone(), counts.clone());
                thread::spawn(move || {
                    let Some((path, from)) = read_request(&stream) else { return };
                    let nth = {
                        let mut counts = counts.lock().unwrap();
                        let count = counts.entry(path.clone()).or_default();
                        *count += 1;
                        *count - 1
                    };
                    let request = Request { path, from, nth };
                    log.lock().unwrap().push(request.clone());
                    let _ = answer(stream, &request, reply(&request));
                });
            }
        });
        Self { address, requests }
    }

    /// Serves files by path, ranges and all.
    pub fn of_files(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::start(move |request| match files.get(&request.path) {
            Some(bytes) => Reply::Ranged(bytes.clone()),
            None => Reply::Status(404),
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<(String, Option<usize>)> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut from = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            return Some((path, from));
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.strip_suffix('-').and_then(|start| start.parse().ok());
        }
    }
    None
}

fn answer(mut stream: TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    let (bytes, ranged, sent, stalls) = match reply {
        Reply::Whole(bytes) => (bytes, false, usize::MAX, false),
        Reply::Ranged(bytes) => (bytes, true, usize::MAX, false),
        Reply::Cut(bytes, sent) => (bytes, true, sent, false),
        Reply::Stalled(bytes, sent) => (bytes, true, sent, true),
        Reply::Raw(bytes) => return stream.write_all(&bytes),
        Reply::Status(status) => {
            return write!(stream, "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    };
    let start = request.from.filter(|_| ranged).unwrap_or(0);
    if start > 0 && start >= bytes.len() {
        return write!(stream, "HTTP/1.1 416 Range\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let body = &bytes[start..];
    let head = match start {
        0 => "200 OK\r\n".to_owned(),
        _ => format!("206 Partial\r\nContent-Range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len()),
    };
    write!(stream, "HTTP/1.1 {head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body[..sent.min(body.len())])?;
    stream.flush()?;
    if stalls {
        // Longer than any client in the tests waits.
        thread::sleep(Duration::from_secs(20));
    }
    Ok(())
}

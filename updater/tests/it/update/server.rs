//! A web server on the loopback interface that does what it is told to do wrong.

use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::http::{self, answer_all};

/// What a request was answered with.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: Option<Range<u64>>,
    /// Bytes of the body that were sent.
    pub sent: u64,
}

/// What the server does instead of what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Ends the connection after this many bytes of the body.
    Cut(u64),
    /// Sends so many bytes and then nothing, and keeps the connection.
    Stall(u64),
    /// Sends a byte, and the next one after this time, and so on.
    Trickle(Duration),
    /// Sends the whole file for a range.
    Whole,
    /// Sends a range that begins a byte later, and says so.
    Shifted,
    /// Sends the right head and a body that is a byte off.
    Mangled,
    /// Changes this byte of the body.
    Flipped(u64),
    /// Changes the first byte of the body, and ends the connection after this many.
    Spoilt(u64),
    /// Sends a range and doesn't say which.
    Unnamed,
    /// Answers with this status.
    Status(u16),
    /// Sends elsewhere.
    Redirect(String),
}

type Rule = dyn Fn(&str, usize) -> Fault + Send + Sync;

/// Serves a folder until the test ends.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    folder: PathBuf,
    rule: Arc<Rule>,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves `folder`. `rule` says what is wrong with the answer to a request, from its path and its number, from 0.
    pub fn start(folder: &Path, rule: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, folder: folder.to_owned(), rule: Arc::new(rule), log: Arc::default() };
        let serving = server.clone();
        answer_all(listener, move |stream| serving.answer(stream));
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let request = http::Request::read(&stream)?;
        let path = request.path.trim_start_matches('/').to_owned();
        let asked = request.range().map(|range| {
            let (start, last) = range.split_once('-').unwrap();
            start.parse::<u64>().unwrap()..last.parse::<u64>().map_or(u64::MAX, |last| last + 1)
        });
        let number = {
            let mut log = self.log.lock().unwrap();
            log.push(Request { path: path.clone(), range: asked.clone(), sent: 0 });
            log.len() - 1
        };
        let fault = (self.rule)(&path, number);
        match &fault {
            Fault::Status(status) => {
                return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
            Fault::Redirect(base) => {
                return write!(
                    stream,
                    "HTTP/1.1 302 Found\r\nLocation: {base}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
            }
            _ => {}
        }
        let Ok(file) = fs::read(self.folder.join(&path)) else {
            return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        };
        let total = file.len() as u64;
        let range = asked.filter(|_| fault != Fault::Whole).map(|range| {
            let shift = u64::from(fault == Fault::Shifted);
            range.start + shift..range.end.min(total)
        });
        let place = |offset: u64| usize::try_from(offset).unwrap();
        let mut body = match &range {
            Some(range) => file[place(range.start)..place(range.end)].to_vec(),
            None => file,
        };
        if fault == Fault::Mangled {
            body.rotate_left(1);
        }
        match fault {
            Fault::Flipped(at) => {
                let at = place(at) % body.len();
                body[at] ^= 1;
            }
            Fault::Spoilt(_) => body[0] ^= 1,
            _ => {}
        }
        let len = body.len();
        match &range {
            Some(_) if fault == Fault::Unnamed => {
                write!(stream, "HTTP/1.1 206 Partial Content\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")?;
            }
            Some(range) => write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{total}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n",
                range.start,
                range.end - 1
            )?,
            None => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")?,
        }
        if let Fault::Cut(at) | Fault::Stall(at) | Fault::Spoilt(at) = fault {
            body.truncate(place(at));
        }
        self.log.lock().unwrap()[number].sent = body.len() as u64;
        if let Fault::Trickle(pause) = fault {
            for byte in body.drain(..) {
                stream.write_all(&[byte])?;
                thread::sleep(pause);
            }
        }
        stream.write_all(&body)?;
        stream.flush()?;
        if matches!(fault, Fault::Stall(_)) {
            // Longer than any client of a test waits.
            thread::sleep(Duration::from_secs(20));
        }
        Ok(())
    }
}

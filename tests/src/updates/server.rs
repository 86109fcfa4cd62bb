//! A web server in front of a repository, which can be made to fail.

use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::http::{Request, answer_all};

/// What is wrong with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, and nothing else.
    Status(u16),
    /// The connection ends after so many bytes of the body.
    CutOffAfter(usize),
    /// The whole file, where a range was asked for.
    WholeForRange,
    /// One bit of the body is another.
    FlippedBit,
}

/// Serves a folder over HTTP on the loopback interface, with ranges, until the test ends.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    folder: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// For the next answers whose path has this text in it.
    faults: Mutex<Vec<(String, Fault)>>,
    asked: Mutex<Vec<String>>,
    on_the_wire: AtomicU64,
    /// A pause before each chunk of a body.
    pause: Mutex<Duration>,
}

/// Bytes of a body that are sent at a time.
const CHUNK: usize = 64 << 10;

impl Server {
    /// Serves what is in `folder`.
    pub fn start(folder: impl Into<PathBuf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, folder: folder.into(), shared: Arc::default() };
        let serving = server.clone();
        answer_all(listener, move |stream| serving.answer(stream));
        server
    }

    /// Where a machine in QEMU's user network finds it.
    pub fn url_in_guest(&self) -> String {
        format!("http://10.0.2.2:{}/", self.address.port())
    }

    /// The next answer whose path has `path` in it goes wrong in this way. Several of these count one after the other.
    pub fn fail(&self, path: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().push((path.to_owned(), fault));
    }

    /// From now on nothing goes wrong.
    pub fn forget_faults(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// How many of the faults are still to come.
    pub fn faults_left(&self) -> usize {
        self.shared.faults.lock().unwrap().len()
    }

    /// Waits so long before each 64 KiB of a body.
    pub fn slow_down(&self, pause: Duration) {
        *self.shared.pause.lock().unwrap() = pause;
    }

    /// Bytes of requests and answers so far, heads included; those that were lost on the way too.
    pub fn bytes_on_the_wire(&self) -> u64 {
        self.shared.on_the_wire.load(Ordering::SeqCst)
    }

    /// The paths that were asked for so far, with their ranges.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let request = Request::read(&stream)?;
        let path = &request.path;
        self.count(request.head_len);
        self.shared.asked.lock().unwrap().push(format!("{path} {}", request.range().unwrap_or("whole")));
        let fault = self.next_fault(path);
        let whole = match (fault, self.read(path)) {
            (Some(Fault::Status(status)), _) => {
                return self.say(&mut stream, &format!("{status} Fault"), "", b"", None);
            }
            (_, None) => return self.say(&mut stream, "404 Not Found", "", b"", None),
            (_, Some(whole)) => whole,
        };
        let length = whole.len();
        let range = request.range().filter(|_| fault != Some(Fault::WholeForRange));
        let wanted = range.map(|range| bounds(range, length));
        let (status, header, mut body) = match wanted {
            None => ("200 OK", String::new(), whole),
            Some(None) => return self.say(&mut stream, "416 Range Not Satisfiable", "", b"", None),
            Some(Some(Range { start, end })) => {
                let header = format!("Content-Range: bytes {start}-{}/{length}\r\n", end - 1);
                ("206 Partial Content", header, whole[start..end].to_vec())
            }
        };
        if fault == Some(Fault::FlippedBit) {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        let end = match fault {
            Some(Fault::CutOffAfter(bytes)) => Some(bytes),
            _ => None,
        };
        self.say(&mut stream, status, &header, &body, end)
    }

    fn say(&self, stream: &mut TcpStream, status: &str, more: &str, body: &[u8], end: Option<usize>) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\n{more}Connection: close\r\n\r\n",
            body.len()
        );
        self.count(head.len());
        stream.write_all(head.as_bytes())?;
        let pause = *self.shared.pause.lock().unwrap();
        for chunk in body[..end.unwrap_or(body.len()).min(body.len())].chunks(CHUNK) {
            if !pause.is_zero() {
                thread::sleep(pause);
            }
            self.count(chunk.len());
            stream.write_all(chunk)?;
        }
        stream.flush()
    }

    fn count(&self, bytes: usize) {
        self.shared.on_the_wire.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    fn next_fault(&self, path: &str) -> Option<Fault> {
        let mut faults = self.shared.faults.lock().unwrap();
        let at = faults.iter().position(|(part, _)| path.contains(part.as_str()))?;
        Some(faults.remove(at).1)
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let relative = Path::new(path.strip_prefix('/')?);
        let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        fs::read(self.folder.join(relative)).ok().filter(|_| plain)
    }
}

/// `5-9`, `5-` or `-5` of so many bytes.
fn bounds(range: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = range.split_once('-')?;
    let bounds = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => first..last.checked_add(1)?.min(length),
        (Ok(first), Err(_)) => first..length,
        (Err(_), Ok(count)) => length.saturating_sub(count)..length,
        _ => return None,
    };
    (bounds.start < bounds.end).then_some(bounds)
}

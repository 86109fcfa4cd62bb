//! Answers one request for metrics on a connection of a Unix socket, and is gone: HTTP/1.1 (RFC 9112), or the bare text for
//! whoever only listens. systemd accepts the connections, and starts a process for each (`Accept=yes`, `systemd.socket(5)`).
//!
//! Everybody on the host may connect, and what is said there may be meant to harm. A head that never ends is cut off at
//! [`MAX_HEAD`] bytes, one that comes byte by byte when its time is up; who doesn't read the answer is left the same way. No
//! body is read, nothing of a request is repeated in the answer, and nothing but its method, target and version counts. How
//! many connections there are at a time is the socket unit's to limit.

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest head of a request, in bytes.
pub const MAX_HEAD: usize = 8 << 10;
/// Most that is read after the answer, so that a request which is still being sent doesn't break the connection before that is read.
const MAX_REST: usize = 64 << 10;

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until its first byte. Then it is one that only listens.
    pub silence: Duration,
    /// Until its request is whole.
    pub request: Duration,
    /// Until it has read the answer.
    pub answer: Duration,
    /// Until it has closed the connection after that.
    pub farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { silence: seconds(2), request: seconds(5), answer: seconds(10), farewell: seconds(1) }
    }
}

/// Answers one request with the metrics that `text` gives. A client that goes away, or doesn't read, is no failure.
pub fn serve<E: Display>(
    mut stream: &UnixStream,
    patience: &Patience,
    text: impl FnOnce() -> Result<String, E>,
) -> io::Result<()> {
    let head = match read_head(stream, patience) {
        Err(error) if is_the_clients(&error) => return Ok(()),
        head => head?,
    };
    let answer = match head {
        Head::Whole(head) => respond(&head, text),
        Head::Silent => text().unwrap_or_default(),
        Head::Slow => refusal("408 Request Timeout", "", "the request took too long"),
        Head::Long => refusal("431 Request Header Fields Too Large", "", "the request is too long"),
    };
    let until = Instant::now() + patience.answer;
    let mut left = answer.as_bytes();
    while !left.is_empty() {
        let wrote = stream.set_write_timeout(Some(remaining(until))).and_then(|()| stream.write(left));
        match wrote {
            Ok(written) => left = left.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_the_clients(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    // Who has closed the connection already has no use for the rest.
    let _ = stream.shutdown(Shutdown::Write);
    let until = Instant::now() + patience.farewell;
    let (mut rest, mut buffer) = (0, [0; 1024]);
    while rest < MAX_REST
        && let Ok(read @ 1..) = read_until(stream, &mut buffer, until)
    {
        rest += read;
    }
    Ok(())
}

/// What came of a request.
enum Head {
    Whole(Vec<u8>),
    /// Not a byte came.
    Silent,
    Slow,
    Long,
}

fn read_head(stream: &UnixStream, patience: &Patience) -> io::Result<Head> {
    let began = Instant::now();
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let time = if head.is_empty() { patience.silence } else { patience.request };
        match read_until(stream, &mut buffer, began + time) {
            Ok(0) if head.is_empty() => return Ok(Head::Silent),
            // It was cut off: what is there is answered as it is.
            Ok(0) => return Ok(Head::Whole(head)),
            Ok(read) => head.extend(buffer.iter().take(read)),
            Err(error) if !is_over(&error) => return Err(error),
            Err(_) if head.is_empty() => return Ok(Head::Silent),
            Err(_) => return Ok(Head::Slow),
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Head::Whole(head));
        }
        if head.len() > MAX_HEAD {
            return Ok(Head::Long);
        }
    }
}

fn read_until(mut stream: &UnixStream, buffer: &mut [u8], until: Instant) -> io::Result<usize> {
    loop {
        stream.set_read_timeout(Some(remaining(until)))?;
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// No time at all would be for ever.
fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn is_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn is_the_clients(error: &io::Error) -> bool {
    is_over(error) || matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn respond<E: Display>(head: &[u8], text: impl FnOnce() -> Result<String, E>) -> String {
    let request = match Request::parse(head) {
        Ok(request) => request,
        Err((status, words)) => return refusal(status, "", words),
    };
    if !["GET", "HEAD"].contains(&request.method) {
        return refusal("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "metrics are only read");
    }
    let mut answer = if request.path == "/metrics" {
        match text() {
            Ok(text) => message("200 OK", "", "text/plain; version=0.0.4", &text),
            Err(error) => refusal("500 Internal Server Error", "", &error.to_string()),
        }
    } else {
        refusal("404 Not Found", "", "metrics are at /metrics")
    };
    if request.method == "HEAD" {
        answer.truncate(answer.find("\r\n\r\n").map_or(0, |end| end + 4));
    }
    answer
}

fn refusal(status: &str, headers: &str, words: &str) -> String {
    message(status, headers, "text/plain", &format!("{words}\n"))
}

fn message(status: &str, headers: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// What counts of a request.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
}

impl<'a> Request<'a> {
    /// Parses a head that ends with an empty line. Else gives the status and why.
    fn parse(head: &'a [u8]) -> Result<Self, (&'static str, &'static str)> {
        let bad = |words| ("400 Bad Request", words);
        let text = std::str::from_utf8(head).map_err(|_| bad("the request is no text"))?;
        let (head, _) = text.split_once("\r\n\r\n").ok_or(bad("the request is cut off"))?;
        let mut lines = head.split("\r\n");
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let &[method, target, version] = &words[..] else { return Err(bad("this is no request")) };
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !is_name(method) {
            return Err(bad("this is no request"));
        }
        match version.strip_prefix("HTTP/1.") {
            Some("0" | "1") => {}
            None if !version.starts_with("HTTP/") => return Err(bad("this is no request")),
            _ => return Err(("505 HTTP Version Not Supported", "HTTP/1.1 is spoken here")),
        }
        let mut hosts = 0;
        for line in lines {
            match line.split_once(':') {
                Some((name, _)) if is_name(name) => hosts += usize::from(name.eq_ignore_ascii_case("host")),
                _ => return Err(bad("a header of the request is none")),
            }
        }
        if hosts > 1 || (hosts == 0 && version == "HTTP/1.1") {
            return Err(bad("a request has one Host"));
        }
        // As proxies write it: with the host.
        let path = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/"),
            None => target,
        };
        Ok(Self { method, path: path.split('?').next().unwrap_or(path) })
    }
}

#[cfg(test)]
mod tests;

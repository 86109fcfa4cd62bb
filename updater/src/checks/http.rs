//! The least of HTTP/1.1 that a health check needs: a GET over a plain connection, of which the status is read.
//!
//! The server is the one that is checked, and may do anything: answer slowly byte by byte (one deadline holds for all),
//! never end its line (at most [`LINE_LIMIT`] bytes are read), or speak something else (the line must be a status line).

use std::io::{self, Read, Write};
use std::time::Instant;

use super::probe::connect;

/// More than any status line has.
const LINE_LIMIT: usize = 1024;

/// Why an address is not healthy.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// A URL that can't be checked.
    #[error("`{0}` is no http:// address")]
    Url(String),
    /// No connection.
    #[error("can't connect: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or time was up.
    #[error("no answer: {0}")]
    Answer(#[source] io::Error),
    /// An answer of another protocol.
    #[error("answered `{0}`, which is no HTTP")]
    NoHttp(String),
    /// A status other than 2xx.
    #[error("answered {0}")]
    Status(String),
}

/// A URL in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    /// As in the `Host` field.
    host: &'a str,
    /// `HOST:PORT`.
    address: String,
    /// Path and query, never empty.
    path: String,
}

/// Asks for `url` and gives the status line when it says success.
pub(super) fn get(url: &str, deadline: Instant) -> Result<String, HttpError> {
    let target = parse(url).ok_or_else(|| HttpError::Url(url.to_owned()))?;
    let mut stream = connect(&target.address, deadline).map_err(HttpError::Connect)?;
    let time_left = || match deadline.saturating_duration_since(Instant::now()) {
        left if left.is_zero() => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(Some(left)),
    };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: slipway-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        target.path, target.host
    );
    let mut exchange = || -> io::Result<Vec<u8>> {
        stream.set_write_timeout(time_left()?)?;
        stream.write_all(request.as_bytes())?;
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") && line.len() < LINE_LIMIT {
            stream.set_read_timeout(time_left()?)?;
            stream.read_exact(&mut byte)?;
            line.extend_from_slice(&byte);
        }
        Ok(line)
    };
    judge(&exchange().map_err(|error| HttpError::Answer(plain(error)))?)
}

/// A read that times out says `would block`, which is no reason that a person understands.
fn plain(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

fn parse(url: &str) -> Option<Target<'_>> {
    let rest = url.strip_prefix("http://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !plain(host) || !plain(path) {
        return None;
    }
    // A colon inside the brackets of an IPv6 address is no port's.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(Target { host, address, path })
}

fn judge(line: &[u8]) -> Result<String, HttpError> {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.split_once(' ')).map(|(_, status)| status.trim());
    match status {
        Some(status) if status.len() >= 3 && status.as_bytes()[..3].iter().all(u8::is_ascii_digit) => {
            if status.starts_with('2') { Ok(status.to_owned()) } else { Err(HttpError::Status(status.to_owned())) }
        }
        _ => Err(HttpError::NoHttp(text.chars().take(80).collect())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// A server that reads a request and answers it with these bytes, then waits for the client to go.
    fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                request.extend_from_slice(&byte);
            }
            let text = String::from_utf8(request).unwrap();
            assert!(text.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n") && text.contains("\r\nHost: 127.0.0.1:"));
            stream.write_all(answer).unwrap();
            let _ = stream.read(&mut byte);
        });
        format!("http://{address}/healthz?deep=1")
    }

    fn get_within(url: &str, time: Duration) -> Result<String, String> {
        get(url, Instant::now() + time).map_err(|error| error.to_string())
    }

    #[test]
    fn success_is_a_status_of_2xx() {
        let long = Duration::from_secs(20);
        assert_eq!(get_within(&server(b"HTTP/1.1 200 OK\r\n\r\n"), long).unwrap(), "200 OK");
        assert_eq!(get_within(&server(b"HTTP/1.0 204\r\n\r\n"), long).unwrap(), "204");
        assert_eq!(
            get_within(&server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), long).unwrap_err(),
            "answered 503 Service Unavailable"
        );
        assert!(get_within(&server(b"SSH-2.0-OpenSSH\r\n"), long).unwrap_err().contains("which is no HTTP"));
    }

    #[test]
    fn a_server_that_hangs_is_given_up() {
        let error = get_within(&server(b"HTTP/1.1 2"), Duration::from_millis(200)).unwrap_err();
        assert_eq!(error, "no answer: timed out");
    }

    #[test]
    fn urls_are_taken_apart() {
        let target = |url| parse(url).map(|target| (target.address, target.path));
        let parts = |address: &str, path: &str| Some((address.to_owned(), path.to_owned()));
        assert_eq!(target("http://127.0.0.1"), parts("127.0.0.1:80", "/"));
        assert_eq!(target("http://[::1]:8080/a#b"), parts("[::1]:8080", "/a"));
        assert_eq!(target("http://[::1]/"), parts("[::1]:80", "/"));
        assert_eq!(target("http://localhost?x"), parts("localhost:80", "/?x"));
        for bad in ["https://127.0.0.1/", "http://", "http:///x", "http://u@h/", "http://h/a b", "http://h/\r\nX: y"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_and_no_url_upsets_it(line in proptest::collection::vec(any::<u8>(), 0..40), url in "\\PC{0,30}") {
            let _ = judge(&line);
            let _ = judge(&[b"HTTP/1.1 ", &line[..]].concat());
            let _ = parse(&format!("http://{url}"));
        }
    }
}

//! One HTTP client for all downloads, and how small files are read by it.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::FetchError;

/// How patient the client is. The defaults suit the Internet.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Longest wait for a connection, for the head of an answer, and for the next bytes of its body.
    pub stall: Duration,
    /// Wait before the second attempt; each further one waits twice as long.
    pub backoff: Duration,
    /// Attempts in a row that bring nothing.
    pub attempts: u32,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { stall: Duration::from_secs(30), backoff: Duration::from_millis(500), attempts: 5 }
    }
}

/// Fetches by `http:`, `https:` (rustls) and `file:`. Honours `http_proxy`, `https_proxy`, `no_proxy`, and
/// `SSL_CERT_FILE`, which replaces the built-in certificate authorities.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    pub(super) options: ClientOptions,
}

/// An answer with its body still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Length that the server announces for the body.
    pub(super) len: Option<u64>,
    /// First byte of the range that is sent, for status 206.
    pub(super) range_start: Option<u64>,
    pub(super) body: Box<dyn Read>,
}

impl Client {
    /// A client with this much patience.
    pub fn new(options: ClientOptions) -> Self {
        let stall = Some(options.stall);
        let roots = extra_roots().map_or(RootCerts::WebPki, RootCerts::Specific);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(stall)
            .timeout_recv_response(stall)
            .timeout_per_read(stall)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Self { agent: config.new_agent(), options }
    }

    /// Reads a small file whole, such as an index's signed head; `None` when the server says that there is none (404).
    pub fn read(&self, url: &str, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        let mut reason = String::new();
        for attempt in 0..self.options.attempts {
            self.pause(attempt);
            match self.read_once(url, limit) {
                Ok(found) => return Ok(found),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(why)) => reason = why,
            }
        }
        Err(FetchError::Transfer { url: url.to_owned(), attempts: self.options.attempts, reason })
    }

    fn read_once(&self, url: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self.request(url, 0)?;
        match answer.status {
            200 => {}
            404 => return Ok(None),
            status => return Err(Failure::of_status(url, status)),
        }
        let too_long = || Failure::Final(FetchError::TooLong { url: url.to_owned(), limit });
        if answer.len.is_some_and(|len| len > limit) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        answer.body.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| Failure::of_io(&error))?;
        let len = bytes.len() as u64;
        if len > limit {
            return Err(too_long());
        }
        match answer.len {
            Some(announced) if announced != len => Err(Failure::Passing("the connection ended early".to_owned())),
            _ => Ok(Some(bytes)),
        }
    }

    /// Asks for what is at `url`, from byte `start` on.
    pub(super) fn request(&self, url: &str, start: u64) -> Result<Answer, Failure> {
        if url.starts_with("file:") {
            return open_file(url, start);
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::Final(FetchError::Scheme { url: url.to_owned() }));
        }
        let mut request = self.agent.get(url);
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(|error| Failure::of_ureq(url, &error))?;
        let (len, range_start) = (number(&response, "content-length"), range_start(&response));
        let status = response.status().as_u16();
        // The limits are the callers', who know how much to expect.
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Answer { status, len, range_start, body: Box::new(body) })
    }

    /// Waits before attempt number `attempt`, counted from 0.
    pub(super) fn pause(&self, attempt: u32) {
        if attempt > 0 {
            std::thread::sleep(self.options.backoff * 2_u32.saturating_pow(attempt.min(6) - 1));
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(ClientOptions::default())
    }
}

/// Why one attempt failed: for good, or so that another may succeed.
pub(super) enum Failure {
    Final(FetchError),
    Passing(String),
}

impl Failure {
    pub(super) fn of_status(url: &str, status: u16) -> Self {
        match status {
            408 | 425 | 429 | 500..=599 => Self::Passing(format!("the server answers {status}")),
            _ => Self::Final(FetchError::Status { url: url.to_owned(), status }),
        }
    }

    pub(super) fn of_io(error: &io::Error) -> Self {
        Self::Passing(error.to_string())
    }

    fn of_ureq(url: &str, error: &ureq::Error) -> Self {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Self::Final(FetchError::Scheme { url: url.to_owned() }),
            error => Self::Passing(error.to_string()),
        }
    }
}

fn number(response: &Response<Body>, header: &str) -> Option<u64> {
    response.headers().get(header)?.to_str().ok()?.trim().parse().ok()
}

/// `Content-Range: bytes 100-199/200` → 100.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

fn open_file(url: &str, start: u64) -> Result<Answer, Failure> {
    use std::io::Seek as _;
    let path = file_path(url).ok_or_else(|| Failure::Final(FetchError::Scheme { url: url.to_owned() }))?;
    let opened = std::fs::File::open(&path).and_then(|mut file| {
        let len = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(start))?;
        Ok((file, len))
    });
    match opened {
        Ok((file, len)) => {
            let status = if start > 0 { 206 } else { 200 };
            Ok(Answer { status, len: Some(len.saturating_sub(start)), range_start: Some(start), body: Box::new(file) })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Answer { status: 404, len: None, range_start: None, body: Box::new(io::empty()) })
        }
        Err(error) => {
            let reason = error.to_string();
            Err(Failure::Final(FetchError::Transfer { url: url.to_owned(), attempts: 1, reason }))
        }
    }
}

/// `file:///a%20b` or `file:/a%20b` → `/a b`.
fn file_path(url: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    let rest = url.strip_prefix("file:")?;
    let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
    let mut bytes = Vec::with_capacity(path.len());
    let mut left = path.as_bytes();
    while let Some((&first, rest)) = left.split_first() {
        let escaped = (first == b'%').then(|| rest.get(..2)).flatten();
        let escaped = escaped.and_then(|digits| hex::decode(digits).ok());
        if let Some(byte) = escaped {
            bytes.extend(byte);
            left = &rest[2..];
        } else {
            bytes.push(first);
            left = rest;
        }
    }
    bytes.starts_with(b"/").then(|| std::ffi::OsString::from_vec(bytes).into())
}

/// Certificate authorities of `SSL_CERT_FILE`, for networks that have their own.
fn extra_roots() -> Option<Arc<Vec<ureq::tls::Certificate<'static>>>> {
    let pem = std::fs::read(std::env::var_os("SSL_CERT_FILE")?).ok()?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| Arc::new(certificates))
}

//! HTTP and HTTPS by `ureq`, blocking, TLS by rustls.

use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use thiserror::Error;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;

use super::resolve::HostResolver;

/// How patient the client is.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Longest wait for a connection, for the head of an answer, and for the next bytes of its body.
    pub stall: Duration,
    /// Bytes each second that a body must bring, on average since it began.
    pub least_rate: u64,
    /// The same where it can be had from somebody else.
    pub good_rate: u64,
    /// The average counts only after so long.
    pub grace: Duration,
}

impl Default for ClientOptions {
    /// 30 s; 1 KiB each second after 60 s, 32 KiB where there is somebody else.
    fn default() -> Self {
        let (stall, grace) = (Duration::from_secs(30), Duration::from_mins(1));
        Self { stall, least_rate: 1 << 10, good_rate: 32 << 10, grace }
    }
}

/// The client. Honours `http_proxy`, `https_proxy` and `no_proxy`, and `SSL_CERT_FILE`, which replaces the built-in
/// certificate authorities. Content is never compressed on the way: digests and ranges count what is stored.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    options: ClientOptions,
}

/// Bytes of a file, from `start` up to and not including `end`; to the last byte when there is no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// The byte after the last.
    pub end: Option<u64>,
}

/// A successful answer with its body still to be read.
pub struct Answer {
    /// Length in bytes that the server announces for the body.
    pub len: Option<u64>,
    /// Which bytes of the file these are, as the server says: the first, and the length of the whole file where it knows.
    /// `None` when it sends the whole file, whatever was asked for.
    pub range: Option<(u64, Option<u64>)>,
    /// The body.
    pub body: Box<dyn Read + Send>,
}

/// What a server says to something that was sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body, as far as it came, and no more than [`REPLY_MAX`] bytes of it.
    pub body: Vec<u8>,
}

/// How much of a reply is read.
pub const REPLY_MAX: u64 = 16 << 10;

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("len", &self.len).field("range", &self.range).finish_non_exhaustive()
    }
}

/// Why there is no answer that can be used.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Nothing came back.
    #[error("no answer from the server")]
    NoAnswer(#[source] Box<ureq::Error>),
    /// The server refuses or fails.
    #[error("the server answers {0}")]
    Status(u16),
    /// The server sends another range than it was asked for.
    #[error("the server sends bytes from {found} on, not from {asked}")]
    WrongRange {
        /// First byte that was asked for.
        asked: u64,
        /// First byte that it sends.
        found: u64,
    },
    /// The server sends a range, and no header `Content-Range` that can be understood.
    #[error("the server sends a part of the file and doesn't say which")]
    NoRange,
}

impl HttpError {
    /// Whether asking again later may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(error) => !matches!(**error, ureq::Error::BadUri(_) | ureq::Error::Tls(_)),
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::WrongRange { .. } | Self::NoRange => false,
        }
    }
}

impl Client {
    /// A client with this much patience.
    pub fn new(options: ClientOptions) -> Self {
        let stall = Some(options.stall);
        let roots = own_authorities().map_or(RootCerts::WebPki, RootCerts::from);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("slipway-agent/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(stall)
            .timeout_connect(stall)
            .timeout_recv_response(stall)
            .timeout_per_read(stall)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), HostResolver::default());
        Self { agent, options }
    }

    /// The same for a server that another can stand in for: it must be faster.
    #[must_use]
    pub fn impatient(&self) -> Self {
        let options = ClientOptions { least_rate: self.options.good_rate, ..self.options };
        Self { agent: self.agent.clone(), options }
    }

    /// Asks for a file, or for some bytes of it; `None` when it isn't there (404, and 403, by which object stores say so).
    pub fn get(&self, url: &str, range: Option<Range>) -> Result<Option<Answer>, HttpError> {
        let mut request = self.agent.get(url);
        if let Some(Range { start, end }) = range {
            let last = end.map(|end| end.saturating_sub(1).to_string()).unwrap_or_default();
            request = request.header("Range", format!("bytes={start}-{last}"));
        }
        let response = request.call().map_err(|error| HttpError::NoAnswer(Box::new(error)))?;
        let sent = match (response.status().as_u16(), range) {
            (200, _) => None,
            (206, Some(Range { start: asked, .. })) => match sent_range(&response) {
                Some((found, _)) if found != asked => return Err(HttpError::WrongRange { asked, found }),
                None => return Err(HttpError::NoRange),
                sent => sent,
            },
            (403 | 404 | 410, _) => return Ok(None),
            (status, _) => return Err(HttpError::Status(status)),
        };
        let len = header(&response, "content-length").and_then(|text| text.parse().ok());
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let body = Box::new(Paced { body, began: Instant::now(), count: 0, options: self.options });
        Ok(Some(Answer { len, range: sent, body }))
    }

    /// Sends a JSON text with one more header, and waits no longer than `patience` for all of the reply. A redirection is a reply
    /// like any other: what was sent here is for nobody else.
    pub fn post_json(
        &self,
        url: &str,
        (name, value): (&str, &str),
        json: &str,
        patience: Duration,
    ) -> Result<Reply, HttpError> {
        let request = self.agent.post(url).config().max_redirects(0).max_redirects_will_error(false);
        let request = request.timeout_global(Some(patience)).build();
        let sent = request.header(name, value).content_type("application/json").send(json);
        let response = sent.map_err(|error| HttpError::NoAnswer(Box::new(error)))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        // The status has said what there is to say: a body that breaks off only has fewer words.
        let _ = response.into_body().into_with_config().limit(u64::MAX).reader().take(REPLY_MAX).read_to_end(&mut body);
        Ok(Reply { status, body })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(ClientOptions::default())
    }
}

/// A body that may stall for a moment and not for ever.
struct Paced<R> {
    body: R,
    began: Instant,
    count: u64,
    options: ClientOptions,
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        self.count = self.count.saturating_add(count as u64);
        let took = self.began.elapsed();
        let least = self.options.least_rate.saturating_mul(took.as_secs());
        if count > 0 && took > self.options.grace && self.count < least {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server sends too slowly"));
        }
        Ok(count)
    }
}

/// The certificate authorities of `SSL_CERT_FILE`, when it is set and holds any.
fn own_authorities() -> Option<Vec<ureq::tls::Certificate<'static>>> {
    let pem = std::fs::read(std::env::var_os("SSL_CERT_FILE")?).ok()?;
    let found = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    (!found.is_empty()).then_some(found)
}

fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// `Content-Range: bytes 100-199/1000` gives 100 and 1000 (RFC 9110, section 14.4).
fn sent_range<B>(response: &Response<B>) -> Option<(u64, Option<u64>)> {
    let (range, whole) = header(response, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    Some((start, whole.parse().ok()))
}

//! Repositories that metadata and targets come from: two base URLs.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use slipway_trust::tuf::{RemoteFile, Transport, TransportError};
use thiserror::Error;

use super::http::Client;

/// A URL below which there are files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Checks and wraps `url`. A missing `/` at its end is added.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#'])) {
            return Err(UrlError(url.to_owned()));
        }
        Ok(Self(if url.ends_with('/') { url.to_owned() } else { format!("{url}/") }))
    }

    /// The URL of a file below it.
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = UrlError;

    fn try_from(url: String) -> Result<Self, UrlError> {
        Self::new(&url)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository on a web server.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: Client,
    metadata: BaseUrl,
    targets: BaseUrl,
}

/// A text is no base URL.
#[derive(Debug, Error)]
#[error("{0:?} is no URL that starts with http:// or https:// and has neither ? nor #")]
pub struct UrlError(String);

impl HttpTransport {
    /// Metadata below one URL, targets below another. A missing `/` at their end is added.
    pub fn new(client: Client, metadata: &str, targets: &str) -> Result<Self, UrlError> {
        Ok(Self { client, metadata: BaseUrl::new(metadata)?, targets: BaseUrl::new(targets)? })
    }
}

impl HttpTransport {
    /// The repository below a URL, in Slipway's layout: `metadata/`, `targets/`.
    pub fn of_repository(client: Client, url: &BaseUrl) -> Self {
        Self { client, metadata: BaseUrl(url.join("metadata/")), targets: BaseUrl(url.join("targets/")) }
    }
}

impl Transport for HttpTransport {
    fn open(&mut self, file: &RemoteFile) -> Result<Option<Box<dyn Read + '_>>, TransportError> {
        let base = match file {
            RemoteFile::Metadata(_) => &self.metadata,
            RemoteFile::Target(_) => &self.targets,
        };
        let answer = self.client.get(&base.join(file.url()), None)?;
        Ok(answer.map(|answer| answer.body as Box<dyn Read>))
    }
}

//! What a client asks for, and whoever brings it.

use std::fmt;
use std::io::Read;

/// A file of a repository that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteFile {
    /// Relative URL within the folder of metadata, percent-encoded.
    Metadata(String),
    /// Relative URL within the folder of targets, percent-encoded.
    Target(String),
}

impl RemoteFile {
    /// The relative URL.
    pub fn url(&self) -> &str {
        match self {
            Self::Metadata(url) | Self::Target(url) => url,
        }
    }
}

impl fmt::Display for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = match self {
            Self::Metadata(_) => "metadata",
            Self::Target(_) => "targets",
        };
        write!(f, "{folder}/{}", self.url())
    }
}

/// Why a file couldn't be brought, in the words of whoever tried.
pub type TransportError = Box<dyn std::error::Error + Send + Sync>;

/// Brings files, from a server or a folder. Nothing that it brings is believed.
pub trait Transport {
    /// Opens a file; `None` when there is no such file there. How much is read is bounded by the caller; that a server doesn't
    /// stall for ever is the transport's to see to.
    fn open(&mut self, file: &RemoteFile) -> Result<Option<Box<dyn Read + '_>>, TransportError>;
}

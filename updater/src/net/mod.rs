//! The agent's way out: one HTTP client for metadata, blocks and patches, and folders that are the same repository offline.
//!
//! Servers and whoever is on the way to them may be hostile. What is true is decided by signatures, not here; this module
//! sees to it that an answer ends: connecting, the head of an answer and each read of its body have a time limit, and a body
//! that trickles is cut off ([`ClientOptions::least_rate`]). How many bytes are read is bounded by the callers, who know how
//! many they expect.

mod http;
mod repository;
mod resolve;

pub use http::{Answer, Client, ClientOptions, HttpError, REPLY_MAX, Range, Reply};
pub use repository::{BaseUrl, HttpTransport, UrlError};
pub use slipway_trust::tuf::FolderTransport;

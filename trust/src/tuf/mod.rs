//! The Update Framework, version 1.0.x: metadata, and a client that believes only what is signed.
//!
//! The client does no I/O of its own: it is handed a [`Transport`] that opens remote files and a [`Store`] that keeps what is
//! trusted. [`Client::open`] verifies the stored metadata, [`Client::refresh`] follows the workflow of section 5 of the
//! specification and gives a [`Repository`], the only thing that answers where a target is ([`Repository::find`]) and reads
//! it ([`Repository::download`]). Each step takes the [`Verified`] value of the step before.

mod client;
mod clock;
mod error;
mod folder;
mod limits;
mod name;
mod paths;
mod repository;
pub mod schema;
#[cfg(feature = "sign")]
pub mod sign;
mod store;
mod transport;
mod verify;

pub use client::Client;
pub use clock::Clock;
pub use error::{MetadataError, TufError};
pub use folder::FolderTransport;
pub use limits::ClientLimits;
pub use name::{NameError, RoleName, TargetPath};
pub use paths::{HashPrefix, PathPattern};
pub use repository::{Repository, VerifiedTarget};
pub use store::{Change, DirStore, Store, StoreError};
pub use transport::{RemoteFile, Transport, TransportError};
pub use verify::{Signatures, Verified, VerifiedRoot, VerifiedSnapshot, VerifiedTargets, VerifiedTimestamp};

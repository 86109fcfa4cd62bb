//! Keys that sign releases, and the roots that say which ones do. `keys/README.md` is the ceremony.
//!
//! A key folder holds the chain of roots (`1.root.json`, `2.root.json`, …), at most one draft of the next
//! (`2.root.draft.json`), and the private keys of the roles that sign every release (`targets.pem`, `snapshot.pem`,
//! `timestamp.pem`). Private root keys are files of their own, which needn't ever be on the same machine: a draft travels.
//!
//! Key files are PKCS #8 in PEM (RFC 5958), encrypted by scrypt and AES-256-CBC (RFC 8018, RFC 7914), so that other tools read
//! them: `openssl pkey -in targets.pem -pubout`.

mod ceremony;
mod file;
mod folder;
mod health;

use std::io;
use std::path::PathBuf;

use slipway_trust::tuf::MetadataError;
use slipway_trust::tuf::sign::SignError;
use thiserror::Error;

pub use ceremony::{Rotation, check_threshold, first_root, next_root};
pub use file::{Passphrase, Protection, create, public_path, read, read_public};
pub use folder::{KeyFolder, Signing};
pub use health::{Expiry, WARN_DAYS};

/// Keys or roots can't be made, read or used.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A file can't be read or written.
    #[error("{} could not be {what}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was being done, as in "could not be read".
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file isn't what it should be.
    #[error("{} is no {wanted}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// A private key is protected and the passphrase is another, or the file is damaged.
    #[error("{} can't be opened with this passphrase", .0.display())]
    Passphrase(PathBuf),
    /// A passphrase that protects nothing.
    #[error("a passphrase needs at least {MIN_PASSPHRASE} characters")]
    ShortPassphrase,
    /// A passphrase couldn't be asked for.
    #[error("there is nobody to ask for the passphrase of {}; give it by --passphrase-file or SLIPWAY_PASSPHRASE", .0.display())]
    NobodyToAsk(PathBuf),
    /// There are no random bytes to be had.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// A root in the chain isn't believed.
    #[error("{} is not to be trusted", path.display())]
    Root {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: MetadataError,
    },
    /// Metadata can't be made.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// There are no roots.
    #[error("{} holds no root; `slipway keys init` makes one", .0.display())]
    NoRoot(PathBuf),
    /// There are keys already.
    #[error("{} holds keys already", .0.display())]
    Exists(PathBuf),
    /// There are keys, and neither root nor draft that names them.
    #[error(
        "these keys belong to no root, maybe because `slipway keys init` was cut off; delete them to start again: {}",
        .0.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ")
    )]
    CutOff(Vec<PathBuf>),
    /// A draft is waiting for signatures.
    #[error("{} waits for signatures; sign it, or delete it to start again", .0.display())]
    DraftWaits(PathBuf),
    /// A copy of a draft says something else.
    #[error("{} is a draft of something else", .0.display())]
    OtherDraft(PathBuf),
    /// No root key has such a name.
    #[error("no root key, or more than one, has a name that starts with {0}")]
    NoSuchKey(String),
}

/// Characters of a passphrase, at least.
pub const MIN_PASSPHRASE: usize = 8;

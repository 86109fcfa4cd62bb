//! Files of keys.
//!
//! Key files are written by their owner, or by `openssl`. A file of more than [`MAX_LEN`] bytes is not read. One that asks for
//! absurd scrypt parameters is refused by the library that reads them.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ed25519::pkcs8::{KeypairBytes, PublicKeyBytes};
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use slipway_trust::key::PublicKey;
use slipway_trust::tuf::sign::SigningKey;
use tempfile::{NamedTempFile, PersistError};

use super::{KeysError, MIN_PASSPHRASE};

/// What protects a private key. Overwritten in memory when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// For a key that is to be made: at least [`MIN_PASSPHRASE`] characters.
    pub fn new(text: String) -> Result<Self, KeysError> {
        let passphrase = Self::known(text);
        if passphrase.0.chars().count() < MIN_PASSPHRASE { Err(KeysError::ShortPassphrase) } else { Ok(passphrase) }
    }

    /// For a key that is there already.
    pub fn known(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// How a new private key is kept.
#[derive(Clone, Debug)]
pub enum Protection {
    /// Encrypted.
    Passphrase(Passphrase),
    /// Readable for whoever may read the file: for development, or where something else protects it.
    None,
}

/// Longest key file that is read, in bytes.
const MAX_LEN: u64 = 16 << 10;

/// Makes a key, and writes it to a new file `path`, readable for its owner only, and its public half beside it. Never replaces
/// a file.
pub fn create(path: &Path, protection: &Protection) -> Result<SigningKey, KeysError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|error| KeysError::Random(error.to_string()))?;
    let pair = KeypairBytes { secret_key: *secret, public_key: None };
    let pem = match protection {
        Protection::Passphrase(passphrase) => pair.to_pkcs8_encrypted_pem(passphrase.0.as_bytes(), LineEnding::LF),
        Protection::None => pair.to_pkcs8_pem(LineEnding::LF),
    };
    let pem = pem.map_err(|_| KeysError::Form { path: path.to_owned(), wanted: "place for a private key" })?;
    write_new(path, pem.as_bytes(), 0o600)?;
    let key = SigningKey::from_secret(&secret);
    let public = PublicKeyBytes(key.public_bytes()).to_public_key_pem(LineEnding::LF);
    let public = public.map_err(|_| KeysError::Form { path: path.to_owned(), wanted: "place for a private key" })?;
    write_new(&public_path(path), public.as_bytes(), 0o644)?;
    Ok(key)
}

/// Where the public half of the key in the file `path` is: `alice.pem` gives `alice.pub.pem`.
pub fn public_path(path: &Path) -> PathBuf {
    path.with_extension("pub.pem")
}

/// Reads a private key; `ask` is asked for its passphrase when it has one.
pub fn read(path: &Path, ask: &dyn Fn(&Path) -> Result<Passphrase, KeysError>) -> Result<SigningKey, KeysError> {
    let text = Zeroizing::new(read_text(path)?);
    let pair = if text.contains("ENCRYPTED PRIVATE KEY") {
        let passphrase = ask(path)?;
        KeypairBytes::from_pkcs8_encrypted_pem(&text, passphrase.0.as_bytes())
            .map_err(|_| KeysError::Passphrase(path.to_owned()))?
    } else {
        KeypairBytes::from_pkcs8_pem(&text)
            .map_err(|_| KeysError::Form { path: path.to_owned(), wanted: "private ed25519 key in PEM" })?
    };
    Ok(SigningKey::from_secret(&pair.secret_key))
}

/// Reads a public key.
pub fn read_public(path: &Path) -> Result<PublicKey, KeysError> {
    let wrong = || KeysError::Form { path: path.to_owned(), wanted: "public ed25519 key in PEM" };
    PublicKey::ed25519_from_pem(&read_text(path)?).ok_or_else(wrong)
}

/// Writes a file that must not be there yet, whole or not at all, durably.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeysError> {
    write(path, bytes, mode, |file| file.persist_noclobber(path))
}

/// Writes a file in place of another, whole or not at all, durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    write(path, bytes, 0o644, |file| file.persist(path))
}

fn write(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    persist: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> Result<(), KeysError> {
    let failed = |source| KeysError::Io { path: path.to_owned(), what: "written", source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder);
    let mut file = file.map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    persist(file).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

pub(super) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, KeysError> {
    let failed = |source| KeysError::Io { path: path.to_owned(), what: "read", source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(KeysError::Form { path: path.to_owned(), wanted: "file of a sensible length" });
    }
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, KeysError> {
    let wrong = |_| KeysError::Form { path: path.to_owned(), wanted: "key in PEM" };
    String::from_utf8(read_bytes(path, MAX_LEN)?).map_err(wrong)
}

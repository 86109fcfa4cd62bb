//! OpenPGP (RFC 9580), as far as a reader of signed archive indexes needs it: is this text signed, now, by one of these
//! certificates?
//!
//! The text comes from a mirror or from whoever answers in its place. Expected attacks, and what stops each:
//!
//! * a signature by a stranger, or a name or key id that imitates a known one: only the mathematics of a known key counts;
//! * a text changed after it was signed: the very text that was hashed is what [`VerifiedText`] holds, nothing else is
//!   handed on, and text before, after or between signed parts refuses the whole message;
//! * a key that was given up: expired or revoked certificates and subkeys sign nothing, and expiry is judged by the clock
//!   of the verifier, not by a date in the message;
//! * a subkey that its owner never made a signing key, or that an attacker attached to a certificate: the binding, its
//!   key flags and the subkey's own signature back are checked;
//! * forged digests: MD5, SHA-1 and RIPEMD-160 are refused in every signature looked at, as are RSA keys under 2048 bits,
//!   and DSA;
//! * packets made to exhaust memory or crash the parser: messages and key files have a size limit, and the number of
//!   signatures tried is bounded.

mod certificate;
mod cleartext;

use std::fmt;

use pgp::packet::{Signature, SignatureType, SignatureVersion};

pub use self::certificate::Certificates;
use self::certificate::is_strong;
use self::cleartext::SignedMessage;
use crate::time::UnixTime;

/// Longest message and longest key file that is looked at, in bytes. Debian's largest is under 1 MiB.
pub const MAX_LEN: usize = 32 << 20;

/// How far a signature's date may lie ahead of the verifier's clock, in seconds: clocks of signer and verifier differ.
const CLOCK_SKEW: u64 = 600;

/// A text that a known key signed. [`Certificates::verify`] is the only way to one.
#[derive(Clone, Debug)]
pub struct VerifiedText {
    text: String,
    signer: Fingerprint,
    signed_at: UnixTime,
}

impl VerifiedText {
    /// The text exactly as it was hashed, with lines ended by a single line feed: dashes unescaped, white space at line
    /// ends gone.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key (primary or subkey) that signed.
    pub fn signer(&self) -> &Fingerprint {
        &self.signer
    }

    /// When the signer says to have signed.
    pub fn signed_at(&self) -> UnixTime {
        self.signed_at
    }
}

/// Fingerprint of a key, in upper-case hexadecimal digits as GnuPG prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(fingerprint: &pgp::types::Fingerprint) -> Self {
        Self(format!("{fingerprint:X}"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text or a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum OpenPgpError {
    /// The message or key file is longer than [`MAX_LEN`].
    #[error("{0} bytes are more than the {MAX_LEN} that are looked at")]
    TooLong(usize),
    /// A key file without a certificate in it.
    #[error("the key file has no OpenPGP certificate in it")]
    NoCertificate,
    /// A key file with a secret key in it.
    #[error("the key file has a secret key in it; export the public one")]
    SecretKey,
    /// A key file that can't be parsed.
    #[error("the key file is damaged: {0}")]
    Certificate(String),
    /// The message is no clear-signed text.
    #[error("this is no clear-signed text: {0}")]
    Framing(&'static str),
    /// The signature block can't be parsed.
    #[error("the signature block is damaged: {0}")]
    SignatureBlock(String),
    /// No signature is good. One line for each signature says why.
    #[error("no good signature by a known key: {}", list(.0))]
    NoGoodSignature(Vec<Rejection>),
}

/// Why one signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Fingerprint or key id that the signature names, `?` if none. Not authenticated: it only helps a person.
    pub issuer: String,
    /// What is wrong with it.
    pub reason: RejectionReason,
}

/// What is wrong with a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectionReason {
    /// No known certificate has the key.
    #[error("the key is not among the known ones")]
    UnknownKey,
    /// The text isn't the one that was signed, or the signature is damaged.
    #[error("the text was changed, or the signature is damaged")]
    Mismatch,
    /// The digest isn't collision resistant.
    #[error("its digest {0} is too weak")]
    WeakDigest(String),
    /// Of a type or version that isn't used for texts.
    #[error("a signature of this type doesn't sign texts")]
    WrongType,
    /// Signed in the future of the verifier's clock.
    #[error("it is dated {0}, which this machine's clock has not reached")]
    Future(UnixTime),
    /// The signature itself has run out.
    #[error("the signature expired on {0}")]
    Expired(UnixTime),
    /// The key has run out.
    #[error("the key expired on {0}")]
    KeyExpired(UnixTime),
    /// The key was revoked.
    #[error("the key was revoked")]
    KeyRevoked,
    /// The key's owner didn't make it one that signs data.
    #[error("the key is not one that may sign")]
    NotForSigning,
    /// Too few bits or an outdated algorithm.
    #[error("the key's algorithm is too weak")]
    WeakKey,
}

fn list(rejections: &[Rejection]) -> String {
    if rejections.is_empty() {
        return "there is no signature that could be read".to_owned();
    }
    rejections.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.issuer, self.reason)
    }
}

impl Certificates {
    /// Checks a clear-signed message (RFC 9580 section 7) such as Debian's `InRelease`, at the moment `now`. It needs one
    /// good signature by a key of these certificates; further ones by strangers don't matter.
    pub fn verify(&self, message: &[u8], now: UnixTime) -> Result<VerifiedText, OpenPgpError> {
        let message = SignedMessage::parse(message)?;
        let hashed = message.hashed_text();
        let mut rejections = Vec::new();
        for signature in message.signatures() {
            match self.check(signature, hashed.as_bytes(), now) {
                Ok((signer, signed_at)) => return Ok(VerifiedText { text: message.into_text(), signer, signed_at }),
                Err(reason) => rejections.push(Rejection { issuer: issuer(signature), reason }),
            }
        }
        Err(OpenPgpError::NoGoodSignature(rejections))
    }

    fn check(
        &self,
        signature: &Signature,
        hashed: &[u8],
        now: UnixTime,
    ) -> Result<(Fingerprint, UnixTime), RejectionReason> {
        if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary))
            || !matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6)
        {
            return Err(RejectionReason::WrongType);
        }
        if !is_strong(signature) {
            let digest = signature.hash_alg().map_or_else(|| "?".to_owned(), |digest| digest.to_string());
            return Err(RejectionReason::WeakDigest(digest));
        }
        let signed_at = certificate::created(signature).ok_or(RejectionReason::Mismatch)?;
        if signed_at > now.after(CLOCK_SKEW) {
            return Err(RejectionReason::Future(signed_at));
        }
        if let Some(end) = certificate::signature_end(signature).filter(|end| *end <= now) {
            return Err(RejectionReason::Expired(end));
        }
        let mut reason = RejectionReason::UnknownKey;
        // The same key may be in two certificates, one of them out of date.
        for signer in self.signers(signature, hashed)? {
            match signer.may_sign(now, signed_at) {
                Ok(()) => return Ok((signer.fingerprint(), signed_at)),
                Err(refusal) => reason = refusal,
            }
        }
        Err(reason)
    }
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|fingerprint| format!("{fingerprint:X}"));
    let key_id = || signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    fingerprint.or_else(key_id).unwrap_or_else(|| "?".to_owned())
}

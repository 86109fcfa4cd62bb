//! Certificates, and which of their keys may sign at a given moment.

use pgp::composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, Tag};

use super::{Fingerprint, MAX_LEN, OpenPgpError, RejectionReason};
use crate::time::UnixTime;

/// OpenPGP certificates ("public keys") whose signatures are accepted.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Vec<SignedPublicKey>);

const BEGIN_KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const BEGIN_SECRET_KEY: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";
/// Archives ask for at least this much; so does apt.
const MIN_RSA_BITS: u16 = 2048;

impl Certificates {
    /// Reads a key file: armoured (any number of blocks) or binary, as apt's `Signed-By` takes it. Each certificate's own
    /// validity is judged when it has to verify something.
    pub fn parse(bytes: &[u8]) -> Result<Self, OpenPgpError> {
        if bytes.len() > MAX_LEN {
            return Err(OpenPgpError::TooLong(bytes.len()));
        }
        let damaged = |error: pgp::errors::Error| OpenPgpError::Certificate(error.to_string());
        let mut certificates = Vec::new();
        // Binary packets have the high bit of their first octet set; armour is ASCII.
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            for certificate in SignedPublicKey::from_bytes_many(bytes).map_err(damaged)? {
                certificates.push(certificate.map_err(damaged)?);
            }
        } else {
            let text = String::from_utf8_lossy(bytes);
            if text.contains(BEGIN_SECRET_KEY) {
                return Err(OpenPgpError::SecretKey);
            }
            let starts = text.match_indices(BEGIN_KEY).map(|(start, _)| start);
            let ends = text.match_indices(BEGIN_KEY).skip(1).map(|(start, _)| start).chain([text.len()]);
            for (start, end) in starts.zip(ends) {
                let (found, _) = SignedPublicKey::from_armor_many(text[start..end].as_bytes()).map_err(damaged)?;
                for certificate in found {
                    certificates.push(certificate.map_err(damaged)?);
                }
            }
        }
        if certificates.is_empty() {
            return Err(OpenPgpError::NoCertificate);
        }
        Ok(Self(certificates))
    }

    /// These certificates and those of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Fingerprints of the primary keys, in the order of the key file.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        self.0.iter().map(|certificate| Fingerprint::of(&certificate.fingerprint())).collect()
    }

    /// The keys that made `signature` over `hashed`, whatever their validity; at least one.
    pub(super) fn signers(&self, signature: &Signature, hashed: &[u8]) -> Result<Vec<Signer<'_>>, RejectionReason> {
        let mut named = false;
        let mut signers = Vec::new();
        for certificate in &self.0 {
            if is_named(signature, &certificate.primary_key) {
                named = true;
                if signature.verify(&certificate.primary_key, hashed).is_ok() {
                    signers.push(Signer { certificate, subkey: None });
                }
            }
            for subkey in &certificate.public_subkeys {
                if is_named(signature, &subkey.key) {
                    named = true;
                    if signature.verify(&subkey.key, hashed).is_ok() {
                        signers.push(Signer { certificate, subkey: Some(subkey) });
                    }
                }
            }
        }
        match (signers.is_empty(), named) {
            (false, _) => Ok(signers),
            (true, true) => Err(RejectionReason::Mismatch),
            (true, false) => Err(RejectionReason::UnknownKey),
        }
    }
}

/// A key whose signature over a text is mathematically good.
pub(super) struct Signer<'a> {
    certificate: &'a SignedPublicKey,
    subkey: Option<&'a SignedPublicSubKey>,
}

impl Signer<'_> {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.subkey.map_or_else(|| self.certificate.fingerprint(), |subkey| subkey.key.fingerprint()))
    }

    /// Whether the key may sign data at `now`, for a signature dated `signed_at`.
    pub(super) fn may_sign(&self, now: UnixTime, signed_at: UnixTime) -> Result<(), RejectionReason> {
        let primary = &self.certificate.primary_key;
        check_strength(primary.public_params())?;
        // A revocation counts whoever made it and however it was hashed: in a key file that the user chose, the
        // cautious reading is the right one.
        if !self.certificate.details.revocation_signatures.is_empty() {
            return Err(RejectionReason::KeyRevoked);
        }
        let self_signature = newest(self_signatures(self.certificate), now).ok_or(RejectionReason::NotForSigning)?;
        check_age(primary, self_signature, now, signed_at)?;
        let Some(subkey) = self.subkey else {
            // Certificates older than key flags say nothing about the primary key, which may then sign.
            return if key_flags(self_signature).is_none_or(pgp::packet::KeyFlags::sign) {
                Ok(())
            } else {
                Err(RejectionReason::NotForSigning)
            };
        };
        check_strength(subkey.key.public_params())?;
        if subkey.signatures.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
            return Err(RejectionReason::KeyRevoked);
        }
        let binding = newest(bindings(self.certificate, subkey), now).ok_or(RejectionReason::NotForSigning)?;
        check_age(&subkey.key, binding, now, signed_at)?;
        let back = binding.embedded_signature().filter(|back| is_strong(back));
        let bound_back = back.is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok());
        if bound_back && key_flags(binding).is_some_and(pgp::packet::KeyFlags::sign) {
            Ok(())
        } else {
            Err(RejectionReason::NotForSigning)
        }
    }
}

/// Whether the digest of a signature resists collisions.
pub(super) fn is_strong(signature: &Signature) -> bool {
    matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    )
}

/// When a signature says that it was made.
pub(super) fn created(signature: &Signature) -> Option<UnixTime> {
    signature.created().map(|created| UnixTime::from_secs(created.as_secs().into()))
}

/// When a signature runs out, if ever.
pub(super) fn signature_end(signature: &Signature) -> Option<UnixTime> {
    let lifetime = signature.signature_expiration_time().filter(|lifetime| lifetime.as_secs() != 0)?;
    Some(created(signature)?.after(lifetime.as_secs().into()))
}

/// Whether the signature could be the key's: it names the key, or nobody.
fn is_named(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (ids, fingerprints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
    (ids.is_empty() && fingerprints.is_empty())
        || ids.iter().any(|id| **id == key.legacy_key_id())
        || fingerprints.iter().any(|fingerprint| **fingerprint == key.fingerprint())
}

/// Valid signatures of the primary key over itself and over its user ids, but for user ids that were revoked.
fn self_signatures(certificate: &SignedPublicKey) -> impl Iterator<Item = &Signature> {
    let primary = &certificate.primary_key;
    let direct = certificate.details.direct_signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::Key) && is_strong(signature) && signature.verify_key(primary).is_ok()
    });
    let revoked = |signature: &Signature| signature.typ() == Some(SignatureType::CertRevocation);
    let users = certificate.details.users.iter();
    let users = users.filter(move |user| {
        !user.signatures.iter().any(|signature| revoked(signature) && is_named(signature, primary))
    });
    let certifications = users.flat_map(|user| user.signatures.iter().map(move |signature| (user, signature)));
    let certifications = certifications.filter(|(user, signature)| {
        is_strong(signature) && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
    });
    direct.chain(certifications.map(|(_, signature)| signature))
}

fn bindings<'a>(
    certificate: &'a SignedPublicKey,
    subkey: &'a SignedPublicSubKey,
) -> impl Iterator<Item = &'a Signature> {
    subkey.signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::SubkeyBinding)
            && is_strong(signature)
            && signature.verify_subkey_binding(&certificate.primary_key, &subkey.key).is_ok()
    })
}

/// The newest of the signatures that are in force: it replaces what the owner said before.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>, now: UnixTime) -> Option<&'a Signature> {
    let begun = signatures.filter(|signature| created(signature).is_some_and(|created| created <= now));
    let in_force = begun.filter(|signature| signature_end(signature).is_none_or(|end| end > now));
    in_force.max_by_key(|signature| created(signature))
}

/// The key's lifetime is what its newest self-signature says.
fn check_age(
    key: &impl KeyDetails,
    self_signature: &Signature,
    now: UnixTime,
    signed_at: UnixTime,
) -> Result<(), RejectionReason> {
    let born = UnixTime::from_secs(key.created_at().as_secs().into());
    if signed_at < born {
        return Err(RejectionReason::NotForSigning);
    }
    let lifetime = self_signature.key_expiration_time().filter(|lifetime| lifetime.as_secs() != 0);
    match lifetime.map(|lifetime| born.after(lifetime.as_secs().into())) {
        Some(end) if end <= now => Err(RejectionReason::KeyExpired(end)),
        _ => Ok(()),
    }
}

fn key_flags(signature: &Signature) -> Option<&KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|subpacket| match &subpacket.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

fn check_strength(params: &PublicParams) -> Result<(), RejectionReason> {
    match params {
        PublicParams::RSA(_) => {
            // The first number of an RSA key is its modulus, and begins with its length in bits (RFC 9580, 3.2).
            let mut bytes = Vec::new();
            params.to_writer(&mut bytes).map_err(|_| RejectionReason::WeakKey)?;
            let bits = bytes.first_chunk().map_or(0, |bits| u16::from_be_bytes(*bits));
            if bits < MIN_RSA_BITS { Err(RejectionReason::WeakKey) } else { Ok(()) }
        }
        PublicParams::DSA(_) | PublicParams::Elgamal(_) | PublicParams::Unknown { .. } => Err(RejectionReason::WeakKey),
        _ => Ok(()),
    }
}

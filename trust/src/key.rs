//! Public keys as TUF metadata lists them (section 4.2.2 of the specification), and what they say of a signature.
//!
//! Keys come from metadata that may not be trusted yet. A key that can't be read, or of a kind that isn't known, is kept as
//! it is and verifies nothing: others may still reach the threshold. Points and moduli go to `ed25519-dalek` and `ring`
//! alone, which refuse weak ones (small order, RSA below 2048 bits).

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest as _, Sha256};
use spki::der::pem;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::json::{Fields, Json, Object, ShapeError};

/// The name of a key within metadata. By convention the SHA-256 of the key's canonical JSON in hexadecimal, but nothing
/// depends on that: keys are compared by what they are, never by their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// A name of 1 to 128 printable ASCII characters.
    pub fn new(text: &str) -> Option<Self> {
        let valid = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        valid.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key, with all that its metadata says of it.
#[derive(Clone, Debug)]
pub struct PublicKey {
    json: Object,
    material: Material,
}

/// What verifies.
#[derive(Clone, Debug)]
enum Material {
    Ed25519(Box<VerifyingKey>),
    /// The bytes that `ring` takes: an uncompressed point, or a PKCS #1 public key.
    Ring(Algorithm, Vec<u8>),
    /// Of no known kind, or broken.
    Unusable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    P256,
    P384,
    RsaPss256,
    RsaPss384,
    RsaPss512,
}

/// What makes two keys the same key, whatever they are called and whichever scheme they are listed with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyIdentity(Vec<u8>);

impl PublicKey {
    /// The ed25519 key with these 32 bytes (RFC 8032); `None` when they are no point of the curve.
    pub fn ed25519(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(Self::of_ed25519)
    }

    /// Reads an ed25519 key in PEM (RFC 8410), as `openssl pkey -pubout` writes it.
    #[cfg(feature = "sign")]
    pub fn ed25519_from_pem(text: &str) -> Option<Self> {
        let der = der_of(text)?;
        let info = SubjectPublicKeyInfoRef::try_from(der.as_slice()).ok()?;
        let bytes = info.subject_public_key.as_bytes().filter(|_| info.algorithm.oid == ED25519)?;
        Self::ed25519(bytes.try_into().ok()?)
    }

    #[cfg(feature = "sign")]
    pub(crate) fn of_signing_key(key: &ed25519_dalek::SigningKey) -> Self {
        Self::of_ed25519(key.verifying_key())
    }

    fn of_ed25519(key: VerifyingKey) -> Self {
        let keyval = Object::from([("public".to_owned(), hex::encode(key.to_bytes()).into())]);
        let json = Object::from([
            ("keytype".to_owned(), "ed25519".into()),
            ("keyval".to_owned(), keyval.into()),
            ("scheme".to_owned(), "ed25519".into()),
        ]);
        Self { json, material: Material::Ed25519(Box::new(key)) }
    }

    /// Reads a key's object. One of an unknown kind, or whose value can't be read, is a key too, one that verifies nothing.
    pub fn from_json(value: Json, place: &str) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(value, place)?;
        let json = fields.object().clone();
        let (kind, scheme) = (fields.string("keytype")?, fields.string("scheme")?);
        let public = fields.fields("keyval")?.string("public")?;
        let material = Material::read(&kind, &scheme, &public).unwrap_or(Material::Unusable);
        Ok(Self { json, material })
    }

    /// The key's object, as it came.
    pub fn to_json(&self) -> Json {
        self.json.clone().into()
    }

    /// The conventional name: the SHA-256 of the key's canonical JSON.
    pub fn id(&self) -> KeyId {
        KeyId(hex::encode(Sha256::digest(self.to_json().to_canonical())))
    }

    /// Whether this build can verify with the key.
    pub fn is_usable(&self) -> bool {
        !matches!(self.material, Material::Unusable)
    }

    /// Whether `signature` (raw bytes: 64 for ed25519, DER for ECDSA, as long as the modulus for RSA) is one of this key over
    /// `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(key) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
            }
            Material::Ring(algorithm, bytes) => {
                UnparsedPublicKey::new(algorithm.ring(), bytes).verify(message, signature).is_ok()
            }
            Material::Unusable => false,
        }
    }

    /// Two keys with the same identity count once. `None` for a key that verifies nothing.
    pub(crate) fn identity(&self) -> Option<KeyIdentity> {
        match &self.material {
            Material::Ed25519(key) => Some(KeyIdentity(key.to_bytes().to_vec())),
            Material::Ring(_, bytes) => Some(KeyIdentity(bytes.clone())),
            Material::Unusable => None,
        }
    }
}

/// By what the metadata says, for what verifies follows from that.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Eq for PublicKey {}

impl Material {
    fn read(kind: &str, scheme: &str, public: &str) -> Option<Self> {
        match (kind, scheme) {
            ("ed25519", "ed25519") => {
                let bytes = <[u8; 32]>::try_from(hex::decode(public).ok()?).ok()?;
                Some(Self::Ed25519(Box::new(VerifyingKey::from_bytes(&bytes).ok()?)))
            }
            // Keys were of the kind "ecdsa-sha2-nistp256" up to version 1.0.24 of the specification.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => Self::of_point(Algorithm::P256, &P256, public),
            ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => Self::of_point(Algorithm::P384, &P384, public),
            ("rsa", "rsassa-pss-sha256") => Self::of_rsa(Algorithm::RsaPss256, public),
            ("rsa", "rsassa-pss-sha384") => Self::of_rsa(Algorithm::RsaPss384, public),
            ("rsa", "rsassa-pss-sha512") => Self::of_rsa(Algorithm::RsaPss512, public),
            _ => None,
        }
    }

    fn of_point(algorithm: Algorithm, curve: &ObjectIdentifier, public: &str) -> Option<Self> {
        let der = der_of(public)?;
        let info = SubjectPublicKeyInfoRef::try_from(der.as_slice()).ok()?;
        let named = info.algorithm.parameters_oid().ok()?;
        let right = info.algorithm.oid == EC_PUBLIC_KEY && named == *curve;
        // Compressed points are not taken: one key would have two forms, and count twice.
        let point = info.subject_public_key.as_bytes().filter(|point| point.first() == Some(&4))?;
        right.then(|| Self::Ring(algorithm, point.to_vec()))
    }

    fn of_rsa(algorithm: Algorithm, public: &str) -> Option<Self> {
        let der = der_of(public)?;
        let info = SubjectPublicKeyInfoRef::try_from(der.as_slice()).ok()?;
        let key = info.subject_public_key.as_bytes()?;
        (info.algorithm.oid == RSA_ENCRYPTION).then(|| Self::Ring(algorithm, key.to_vec()))
    }
}

impl Algorithm {
    fn ring(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::P384 => &ECDSA_P384_SHA384_ASN1,
            Self::RsaPss256 => &RSA_PSS_2048_8192_SHA256,
            Self::RsaPss384 => &RSA_PSS_2048_8192_SHA384,
            Self::RsaPss512 => &RSA_PSS_2048_8192_SHA512,
        }
    }
}

/// RFC 5480: id-ecPublicKey, secp256r1, secp384r1. RFC 8017: rsaEncryption.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// RFC 8410: id-Ed25519.
#[cfg(feature = "sign")]
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

fn der_of(public: &str) -> Option<Vec<u8>> {
    match pem::decode_vec(public.trim().as_bytes()).ok()? {
        ("PUBLIC KEY", der) => Some(der),
        _ => None,
    }
}

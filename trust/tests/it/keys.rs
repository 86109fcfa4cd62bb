//! Keys and signatures that other tools made.

use serde_json::Value;
use slipway_trust::json::{Json, Limits};
use slipway_trust::key::{KeyId, PublicKey};
use slipway_trust::tuf::sign::SigningKey;

fn key_of(value: &Value) -> PublicKey {
    let json = Json::parse(value.to_string().as_bytes(), Limits::METADATA).unwrap();
    PublicKey::from_json(json, "key").unwrap()
}

/// `fixtures/foreign_keys.py` made the file.
#[test]
fn signatures_of_other_tools_verify() {
    let entries: Vec<Value> = serde_json::from_str(include_str!("fixtures/foreign_keys.json")).unwrap();
    assert_eq!(entries.len(), 9);
    for entry in entries {
        let key = key_of(&entry["key"]);
        let signature = hex::decode(entry["signature"].as_str().unwrap()).unwrap();
        let usable = entry["usable"].as_bool().unwrap();
        assert_eq!(key.verifies(b"slipway", &signature), usable, "{}", entry["name"]);
        assert!(!key.verifies(b"slipway.", &signature), "{}", entry["name"]);
        assert!(!key.verifies(b"slipway", b""), "{}", entry["name"]);
        let mut changed = signature;
        *changed.last_mut().unwrap() ^= 1;
        assert!(!key.verifies(b"slipway", &changed), "{}", entry["name"]);
    }
}

/// RFC 8032, section 7.1, test 1.
#[test]
fn ed25519_is_that_of_the_rfc() {
    let secret: [u8; 32] =
        hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap().try_into().unwrap();
    let public: [u8; 32] =
        hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap().try_into().unwrap();
    let signature = hex::decode(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    );
    let key = PublicKey::ed25519(&public).unwrap();
    assert!(key.verifies(b"", &signature.unwrap()));
    assert_eq!(SigningKey::from_secret(&secret).public(), key);
}

/// A point of small order would verify almost anything.
#[test]
fn weak_ed25519_keys_verify_nothing() {
    let key = key_of(&serde_json::json!({
        "keytype": "ed25519", "scheme": "ed25519",
        "keyval": {"public": "0100000000000000000000000000000000000000000000000000000000000000"},
    }));
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(!key.verifies(b"anything", &signature));
}

/// As python-tuf 7.0 computes it for this key.
#[test]
fn the_name_of_a_key_is_the_conventional_one() {
    let key = SigningKey::from_secret(&[1; 32]).public();
    assert_eq!(key.id().as_str(), EXPECTED);
}

const EXPECTED: &str = "7ab6b86cb2c9684b0ddc10896153aa2595decf4d4327a5ff1a8ab7422c828b12";

#[test]
fn names_of_keys_are_printable() {
    assert!(KeyId::new("").is_none());
    assert!(KeyId::new("a b").is_none());
    assert!(KeyId::new("a\u{e9}").is_none());
    assert!(KeyId::new(&"a".repeat(129)).is_none());
    assert!(KeyId::new("a.b-c").is_some());
}

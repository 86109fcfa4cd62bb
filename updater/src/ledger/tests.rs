#![allow(clippy::unwrap_used)]

use slipway_images::verity::RootHash;

use super::*;

#[test]
fn waits_double_up_to_six_hours() {
    let mut contents = LedgerContents::default();
    let (hash, label) = (RootHash::from_bytes([1; 32]), "web_2".parse().unwrap());
    let mut waits = Vec::new();
    for _ in 0..70 {
        contents.record_trouble(hash, &label, "no route", UnixSeconds(1000));
        waits.push(contents.trouble(hash).unwrap().not_before.0 - 1000);
    }
    assert_eq!(&waits[..4], [60, 120, 240, 480]);
    // Attempt 63 would shift all bits out.
    assert!(waits[9..].iter().all(|wait| *wait == 21_600), "{waits:?}");
    assert!(contents.allow("web_2", UnixSeconds(1)) && contents.trouble(hash).is_none());
    assert!(!contents.allow("web_2", UnixSeconds(1)));
}

#[test]
fn a_reason_of_a_later_version_lasts() {
    let text =
        r#"{"failures":[{"root_hash":"HASH","label":"web_2","reason":{"kind":"eaten","detail":[1]},"at":1,"log":[]}]}"#;
    let text = text.replace("HASH", &"ab".repeat(32));
    let contents: LedgerContents = serde_json::from_str(&text).unwrap();
    let failure = &contents.failures[0];
    assert!(failure.reason.to_string().contains("eaten"), "{}", failure.reason);
    let written = serde_json::to_value(&contents).unwrap();
    assert_eq!(written["failures"][0]["reason"], serde_json::json!({ "kind": "eaten", "detail": [1] }));
}

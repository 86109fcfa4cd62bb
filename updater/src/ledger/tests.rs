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
fn a_clock_that_is_put_back_makes_no_wait_longer() {
    let mut contents = LedgerContents::default();
    let (hash, label) = (RootHash::from_bytes([1; 32]), "web_2".parse().unwrap());
    contents.record_trouble(hash, &label, "no route", UnixSeconds(1_000_000));
    let holds = |now| contents.trouble(hash).unwrap().holds(UnixSeconds(now));
    assert_eq!([1_000_059, 1_000_060, 999_000, 900_000].map(holds), [true, false, true, false]);
}

#[test]
fn the_longest_ledger_is_one_that_is_read_again() {
    let mut contents = LedgerContents::default();
    // Two bytes each, as JSON has it.
    let text = "\"".repeat(600);
    for number in 0..200 {
        let (root_hash, label) = (RootHash::from_bytes([number; 32]), "w".repeat(30) + "_" + &number.to_string());
        contents.record_trouble(root_hash, &label.parse().unwrap(), &text, UnixSeconds(u64::MAX >> 1));
        let (reason, at) = (FailureReason::Health(text.clone()), UnixSeconds(u64::MAX >> 1));
        contents.record_failure(Failure { root_hash, label, reason, at, log: vec![text.clone(); 100] });
    }
    assert_eq!(contents.failures.len(), 32);
    let logs: Vec<usize> = contents.failures.iter().map(|failure| failure.log.len()).collect();
    assert_eq!((&logs[..28], &logs[28..]), ([0; 28].as_slice(), [60; 4].as_slice()));
    let len = serde_json::to_string_pretty(&contents).unwrap().len();
    assert!(len < crate::two_copies::MAX_BYTES / 2, "{len}");
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

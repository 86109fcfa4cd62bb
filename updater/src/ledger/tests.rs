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

//! Clear-signed indexes and key files: a damaged message or a damaged key never makes another text count as signed.
//!
//! The first byte says what is damaged; `fixtures/openpgp.sh` made the good ones.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_fuzz::{damaged, first};
use slipway_trust::openpgp::Certificates;
use slipway_trust::time::UnixTime;

const KEY: &[u8] = include_bytes!("../fixtures/openpgp-key.asc");
const BINARY_KEY: &[u8] = include_bytes!("../fixtures/openpgp-key.gpg");
const MESSAGE: &[u8] = include_bytes!("../fixtures/openpgp-message.asc");
const TEXT: &str = "Suite: stable\nDate: Sun, 01 Jun 2025 00:00:00 UTC\n- dash\nSHA256:\n 00 1 main/Packages";

fuzz_target!(|input: &[u8]| {
    let Some((kind, changes)) = input.split_first() else { return };
    first(|| assert!([2, 3, 4].iter().all(|kind| counts_as_signed(*kind, &[]))));
    counts_as_signed(*kind, changes);
});

fn counts_as_signed(kind: u8, changes: &[u8]) -> bool {
    let now = UnixTime::from_civil((2025, 7, 1), (0, 0, 0)).expect("there was such a day");
    let (key, message) = match kind % 5 {
        0 => (changes.to_vec(), MESSAGE.to_vec()),
        1 => (KEY.to_vec(), changes.to_vec()),
        2 => (damaged(KEY, changes), MESSAGE.to_vec()),
        3 => (damaged(BINARY_KEY, changes), MESSAGE.to_vec()),
        _ => (KEY.to_vec(), damaged(MESSAGE, changes)),
    };
    let Ok(known) = Certificates::parse(&key) else { return false };
    assert!(!known.fingerprints().is_empty());
    let Ok(verified) = known.verify(&message, now) else { return false };
    assert_eq!(verified.text(), TEXT);
    true
}

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::ledger::{Happening, LedgerContents, UnixSeconds};

type Ledger = TwoCopies<CopyFiles, LedgerContents>;

fn files() -> (tempfile::TempDir, CopyFiles) {
    let folder = tempfile::tempdir().unwrap();
    let files = CopyFiles::new(&folder.path().join("slipway"), "ledger");
    (folder, files)
}

fn floor(version: &str) -> impl FnOnce(&mut LedgerContents) {
    let version = version.parse().ok();
    move |contents| contents.floor = version
}

fn loaded_floor(files: &CopyFiles) -> Option<String> {
    Ledger::load(files.clone()).unwrap().contents().floor.as_ref().map(ToString::to_string)
}

#[test]
fn a_fresh_host_has_an_empty_ledger_and_changes_alternate_between_the_copies() {
    let (_folder, files) = files();
    let mut ledger = Ledger::load(files.clone()).unwrap();
    assert_eq!(ledger.contents(), &LedgerContents::default());
    for version in ["1", "2", "3"] {
        ledger.change(floor(version)).unwrap();
        assert_eq!(loaded_floor(&files).as_deref(), Some(version));
    }
    let text = |copy| String::from_utf8(files.read(copy).unwrap().unwrap()).unwrap();
    assert!(
        text(CopyName::A).starts_with("slipway-ledger-1 3 ") && text(CopyName::B).starts_with("slipway-ledger-1 2 ")
    );
    ledger.change(|_| {}).unwrap();
    assert!(text(CopyName::B).starts_with("slipway-ledger-1 2 "), "nothing to write");
}

#[test]
fn one_damaged_copy_costs_at_most_the_last_change() {
    let (_folder, mut files) = files();
    let mut ledger = Ledger::load(files.clone()).unwrap();
    ledger.change(floor("1")).unwrap();
    ledger.change(floor("2")).unwrap();
    let newest = files.read(CopyName::B).unwrap().unwrap();
    for end in [0, 1, 20, newest.len() - 1] {
        files.replace(CopyName::B, &newest[..end]).unwrap();
        assert_eq!(loaded_floor(&files).as_deref(), Some("1"));
    }
    let mut ledger = Ledger::load(files.clone()).unwrap();
    ledger.change(floor("3")).unwrap();
    assert_eq!(loaded_floor(&files).as_deref(), Some("3"), "the damaged copy is the one that is written over");
}

#[test]
fn two_damaged_copies_are_an_error() {
    let (_folder, mut files) = files();
    let mut ledger = Ledger::load(files.clone()).unwrap();
    ledger.change(floor("1")).unwrap();
    files.replace(CopyName::A, b"").unwrap();
    let (_, error) = Ledger::load(files.clone()).unwrap_err();
    assert_eq!(error.to_string(), "the ledger is lost: copy a has no first line, copy b is missing");
}

#[test]
fn what_a_later_program_wrote_is_kept() {
    let (_folder, mut files) = files();
    let contents: LedgerContents = serde_json::from_str(r#"{"floor":"2","wave":{"place":7}}"#).unwrap();
    files.replace(CopyName::A, &encode(5, &contents).unwrap()).unwrap();
    let mut ledger = Ledger::load(files.clone()).unwrap();
    ledger.change(floor("3")).unwrap();
    let text = String::from_utf8(files.read(CopyName::B).unwrap().unwrap()).unwrap();
    assert!(text.contains("\"place\": 7") && text.starts_with("slipway-ledger-1 6 "), "{text}");
}

#[test]
fn the_last_generation_is_no_valid_one() {
    let (_folder, mut files) = files();
    files.replace(CopyName::A, &encode(u64::MAX, &LedgerContents::default()).unwrap()).unwrap();
    assert!(matches!(Ledger::load(files.clone()), Err((_, CopiesError::Lost { a: "has no generation", .. }))));
    files.replace(CopyName::B, &encode(u64::MAX - 1, &LedgerContents::default()).unwrap()).unwrap();
    Ledger::load(files).unwrap().change(floor("1")).unwrap();
}

proptest! {
    #[test]
    fn no_change_of_a_copy_is_taken_for_valid(place in 0..200_usize, flip in 1..=255_u8, cut in 0..200_usize) {
        let mut contents = LedgerContents::default();
        contents.note(UnixSeconds(5), Happening::Armed, "web_2", "some detail");
        let bytes = encode(7, &contents).unwrap();
        let mut flipped = bytes.clone();
        flipped[place % bytes.len()] ^= flip;
        prop_assert!(decode::<LedgerContents>(&flipped).is_err());
        prop_assert!(decode::<LedgerContents>(&bytes[..cut % bytes.len()]).is_err());
        prop_assert_eq!(decode::<LedgerContents>(&bytes).unwrap(), (7, contents));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode::<LedgerContents>(&bytes).is_err());
    }
}

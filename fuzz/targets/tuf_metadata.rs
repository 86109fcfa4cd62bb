//! Metadata from a server: reading it never panics, what is read is written and read back as the same, and nothing that isn't
//! signed is a root.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::json::{Fields, Json, Limits};
use slipway_trust::tuf::VerifiedRoot;
use slipway_trust::tuf::schema::{Role, Root, Snapshot, Targets, Timestamp};

fuzz_target!(|bytes: &[u8]| {
    let _ = VerifiedRoot::anchor(bytes);
    let Ok(json) = Json::parse(bytes, Limits::METADATA) else { return };
    assert_eq!(Json::parse(&json.to_pretty(), Limits::METADATA).expect("what was written reads back"), json);
    same::<Root>(&json);
    same::<Timestamp>(&json);
    same::<Snapshot>(&json);
    same::<Targets>(&json);
});

fn same<R: Role + PartialEq + std::fmt::Debug>(json: &Json) {
    let read = |json| Fields::of(json, "signed").and_then(R::from_fields);
    let Ok(role) = read(json.clone()) else { return };
    assert_eq!(read(role.to_json()).expect("what was written reads back"), role);
}

//! JSON of metadata.

use proptest::prelude::*;
use slipway_trust::json::{Json, Limits};

fn parse(text: &str) -> Result<Json, String> {
    Json::parse(text.as_bytes(), Limits::METADATA).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_two_readers_could_take_for_two_things_is_refused() {
    refused(r#"{"a": 1, "b": 2, "a": 1}"#, "\"a\" is there twice");
    refused(r#"{"a": 1, "\u0061": 2}"#, "\"a\" is there twice");
    refused("{\"x\": {\"a\": 1, \"a\": 2}}", "\"a\" is there twice");
    refused("1.0", "no whole number");
    refused("1e3", "no whole number");
    refused("-0", "no whole number");
    refused("18446744073709551616", "no whole number");
    refused("-9223372036854775809", "no whole number");
    refused("1 2", "trailing");
    refused("[1,]", "trailing comma");
    refused("01", "invalid number");
    refused("NaN", "expected");
    refused(r#""\ud800""#, "escape");
    assert!(Json::parse(b"\"\xff\"", Limits::METADATA).is_err());
    assert_eq!(parse("18446744073709551615").unwrap(), Json::Natural(u64::MAX));
    assert_eq!(parse("-9223372036854775808").unwrap(), Json::Negative(i64::MIN));
}

#[test]
fn depth_and_bulk_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    parse(&nested(32)).unwrap();
    refused(&nested(33), "nested too deeply");
    refused(&"[".repeat(5_000_000), "nested too deeply");
    refused(&"{\"a\":".repeat(1_000_000), "nested too deeply");
    let many = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
    parse(&many(262_143)).unwrap();
    refused(&many(262_144), "too many values");
}

/// As `securesystemslib.formats.encode_canonical` 1.4 writes it.
#[test]
fn the_canonical_form_is_that_of_others() {
    let text = r#" {"b": [true, false, null, {}, []], "a\u00e9\ud83d\ude00": "q\"b\\s/n\n\u0001", "a": -12, "Z": 0} "#;
    let expected = "{\"Z\":0,\"a\":-12,\"a\u{e9}\u{1f600}\":\"q\\\"b\\\\s/n\n\u{1}\",\"b\":[true,false,null,{},[]]}";
    assert_eq!(String::from_utf8(parse(text).unwrap().to_canonical()).unwrap(), expected);
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<u64>().prop_map(Json::Natural),
        (i64::MIN..0).prop_map(Json::Negative),
        any::<String>().prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Json::Object),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_published_reads_back(json in any_json()) {
        prop_assert_eq!(&Json::parse(&json.to_pretty(), Limits::METADATA).unwrap(), &json);
    }

    #[test]
    fn different_values_have_different_canonical_forms(one in any_json(), other in any_json()) {
        prop_assert_eq!(one == other, one.to_canonical() == other.to_canonical());
    }

    #[test]
    fn any_text_is_json_or_not(text in "[\\[\\]{}\",:0-9a-z\\\\ .-]{0,60}") {
        if let Ok(json) = parse(&text) {
            let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&json.to_pretty()).unwrap(), theirs);
        }
    }
}

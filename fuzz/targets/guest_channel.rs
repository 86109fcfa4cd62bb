//! Requests to the guest's end of the test channel: each line gets one answer of one line, whatever it is.
//!
//! The peer may have commands run, so what could name one is left out here.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slipway_updater::channel::Server;

fuzz_target!(|input: &[u8]| {
    if input.contains(&b'\\') || input.windows(3).any(|word| word == b"run") {
        return;
    }
    let mut answers = Vec::new();
    Server::new("/nonexistent").serve(input, &mut answers).expect("memory takes it");
    let answers: Vec<&[u8]> = answers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let asked = input.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    assert_eq!(answers.len(), asked + 1, "one hello, and one answer to each");
    for answer in answers {
        let answer: Value = serde_json::from_slice(answer).expect("it is JSON");
        assert!(answer.get("hello").is_some() || answer.get("pong").is_some() || answer.get("error").is_some());
    }
});

//! Where a host stands, as numbers, and in the text format of Prometheus (exposition format 0.0.4).

pub mod serve;

use std::fmt::Write as _;

use serde::{Serialize, Serializer};

use crate::host::Host;
use crate::ledger::UnixSeconds;
use crate::machine::State;
use crate::restart::{Outlook, Wait};
use crate::update::LastCheck;
use crate::view::View;

/// What was measured, once: a gauge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The metric's name.
    pub name: &'static str,
    /// What tells it from the metric's other samples.
    #[serde(serialize_with = "as_map")]
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: u64,
    /// What the metric says.
    pub help: &'static str,
}

/// The metrics of a host, those of one name one after the other. What isn't known is left out.
pub fn samples(
    host: &Host,
    view: Option<&View>,
    last_check: Option<&LastCheck>,
    outlook: Option<&Outlook>,
    now: UnixSeconds,
) -> Vec<Sample> {
    let mut out = Samples::default();
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    let root_hash = host.root_hash.map(|hash| hash.to_hex()).unwrap_or_default();
    let slot = host.slot.map(|slot| slot.to_string()).unwrap_or_default();
    let labels = [
        ("image", word(&host.image.id)),
        ("version", word(&host.image.version)),
        ("slot", slot),
        ("root_hash", root_hash),
    ];
    out.labelled("slipway_info", "What runs.", labels.into(), 1);
    out.one("slipway_problems", "Things that are not as they should be.", host.problems.len() as u64);
    if let Some(state) = &host.state {
        out.one("slipway_state_free_bytes", "Bytes that are free on the state partition.", state.free);
        out.one("slipway_state_size_bytes", "Bytes of the state partition.", state.size);
    }
    if let Some(view) = view {
        let help = "How the host stands with updates: 1 for what holds.";
        for (name, holds) in [
            ("committed", matches!(view.state, State::Idle { .. } | State::Armed)),
            ("trial", matches!(view.state, State::Trial { .. })),
            ("armed", view.state == State::Armed),
            ("stuck", matches!(view.state, State::Stuck { .. })),
            ("fallback", matches!(view.state, State::Idle { fallback: true } | State::Trial { fallback: true })),
        ] {
            out.labelled("slipway_standing", help, vec![("state", name.to_owned())], u64::from(holds));
        }
        if let Some(ledger) = &view.ledger {
            out.one("slipway_failed_versions", "Versions that failed here.", ledger.failures.len() as u64);
            let attempts = ledger.troubles.iter().map(|trouble| u64::from(trouble.attempts)).sum();
            out.one(
                "slipway_failed_installations",
                "Installations that went wrong, of versions still offered.",
                attempts,
            );
        }
    }
    if let Some(outlook) = outlook {
        out.outlook(outlook, now);
    }
    if let Some(last) = last_check {
        out.one("slipway_last_check_seconds", "When the repository was asked the last time, since 1970.", last.at.0);
        out.one("slipway_last_check_ok", "Whether it answered.", u64::from(last.place.is_some()));
    }
    out.0
}

/// The same in the text format.
pub fn text(samples: &[Sample]) -> String {
    let mut out = String::new();
    let mut before = "";
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    for Sample { name, labels, value, help } in samples {
        // Writing to a string does not fail, here and below.
        if *name != before {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
            before = name;
        }
        let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(out, "{name}{labels} {value}");
    }
    out
}

fn as_map<S: Serializer>(labels: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(key, text)| (key, text)))
}

#[derive(Default)]
struct Samples(Vec<Sample>);

impl Samples {
    fn labelled(&mut self, name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: u64) {
        self.0.push(Sample { name, labels, value, help });
    }

    fn one(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.labelled(name, help, Vec::new(), value);
    }

    fn outlook(&mut self, outlook: &Outlook, now: UnixSeconds) {
        let help = "What the restart into the version that is installed waits for: 1 for that.";
        for word in Wait::WORDS {
            let waits = outlook.waits.as_ref().is_some_and(|wait| wait.word() == word);
            self.labelled("slipway_restart_waits", help, vec![("for", word.to_owned())], u64::from(waits));
        }
        if let Some(open) = outlook.window_open {
            self.one("slipway_window_open", "Whether a maintenance window is open.", u64::from(open));
        }
        if let Some(at) = outlook.window_changes {
            let help = "When the window that is open closes, or the next one opens, since 1970.";
            self.one("slipway_window_change_seconds", help, at.seconds());
        }
        let claims = outlook.lock.iter().flat_map(|lock| &lock.claims);
        if let Some(since) = claims.map(|claim| claim.since.0).min() {
            let help = "For how long the fleet's lock has been held.";
            self.one("slipway_fleet_lock_held_seconds", help, now.0.saturating_sub(since));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use slipway_images::calendar::Moment;
    use slipway_images::verity::RootHash;

    use super::*;
    use crate::host::{Image, State as StatePartition};

    #[test]
    fn what_is_known_is_told_and_labels_are_escaped() {
        let state =
            StatePartition { source: "/dev/vda6".into(), file_system: "ext4".into(), size: 9, free: 4, writable: true };
        let host = Host {
            image: Image { id: Some("we\"b\n".into()), version: Some("1".into()) },
            root_hash: Some(RootHash::from_bytes([0xab; 32])),
            slot: None,
            boot: None,
            state: Some(state),
            problems: vec!["p".into()],
        };
        let last = LastCheck::failed(UnixSeconds(77), String::new());
        let hash = "ab".repeat(32);
        let expected = format!(
            "# HELP slipway_info What runs.\n# TYPE slipway_info gauge\n\
             slipway_info{{image=\"we\\\"b\\n\",version=\"1\",slot=\"\",root_hash=\"{hash}\"}} 1\n\
             # HELP slipway_problems Things that are not as they should be.\n# TYPE slipway_problems gauge\n\
             slipway_problems 1\n\
             # HELP slipway_state_free_bytes Bytes that are free on the state partition.\n\
             # TYPE slipway_state_free_bytes gauge\nslipway_state_free_bytes 4\n\
             # HELP slipway_state_size_bytes Bytes of the state partition.\n\
             # TYPE slipway_state_size_bytes gauge\nslipway_state_size_bytes 9\n\
             # HELP slipway_last_check_seconds When the repository was asked the last time, since 1970.\n\
             # TYPE slipway_last_check_seconds gauge\nslipway_last_check_seconds 77\n\
             # HELP slipway_last_check_ok Whether it answered.\n# TYPE slipway_last_check_ok gauge\n\
             slipway_last_check_ok 0\n"
        );
        let found = samples(&host, None, Some(&last), None, UnixSeconds(80));
        assert_eq!(text(&found), expected);
        let json = serde_json::to_value(&found[..2]).unwrap();
        let labels = serde_json::json!({"image": "we\"b\n", "version": "1", "slot": "", "root_hash": hash});
        let help = "Things that are not as they should be.";
        let problems = serde_json::json!({"name": "slipway_problems", "labels": {}, "value": 1, "help": help});
        let info = serde_json::json!({"name": "slipway_info", "labels": labels, "value": 1, "help": "What runs."});
        assert_eq!(json, serde_json::json!([info, problems]));
        let outlook = Outlook {
            waits: Some(Wait::Window { from: Some(Moment::from_seconds(90)) }),
            window_open: Some(false),
            window_changes: Some(Moment::from_seconds(90)),
            ..Outlook::default()
        };
        let more = text(&samples(&host, None, None, Some(&outlook), UnixSeconds(80)));
        for line in [
            "slipway_restart_waits{for=\"window\"} 1\n",
            "slipway_restart_waits{for=\"lock\"} 0\n",
            "slipway_window_open 0\n",
            "slipway_window_change_seconds 90\n",
        ] {
            assert!(more.contains(line), "{line}{more}");
        }
        assert!(!more.contains("fleet_lock"), "{more}");
    }
}

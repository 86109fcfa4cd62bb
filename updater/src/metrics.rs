//! Where a host stands, in the text format of Prometheus (exposition format 0.0.4).

pub mod serve;

use std::fmt::Write as _;

use crate::host::Host;
use crate::ledger::UnixSeconds;
use crate::machine::State;
use crate::restart::{Outlook, Wait};
use crate::update::LastCheck;
use crate::view::View;

/// The metrics of a host. What isn't known is left out.
pub fn text(
    host: &Host,
    view: Option<&View>,
    last_check: Option<&LastCheck>,
    outlook: Option<&Outlook>,
    now: UnixSeconds,
) -> String {
    let mut out = Exposition::default();
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    out.family("slipway_info", "What runs.");
    let root_hash = host.root_hash.map(|hash| hash.to_hex()).unwrap_or_default();
    let slot = host.slot.map(|slot| slot.to_string()).unwrap_or_default();
    let labels = [
        ("image", word(&host.image.id)),
        ("version", word(&host.image.version)),
        ("slot", slot),
        ("root_hash", root_hash),
    ];
    out.sample("slipway_info", &labels, 1);
    out.one("slipway_problems", "Things that are not as they should be.", host.problems.len() as u64);
    if let Some(state) = &host.state {
        out.one("slipway_state_free_bytes", "Bytes that are free on the state partition.", state.free);
        out.one("slipway_state_size_bytes", "Bytes of the state partition.", state.size);
    }
    if let Some(view) = view {
        out.family("slipway_standing", "How the host stands with updates: 1 for what holds.");
        for (name, holds) in [
            ("committed", matches!(view.state, State::Idle { .. } | State::Armed)),
            ("trial", matches!(view.state, State::Trial { .. })),
            ("armed", view.state == State::Armed),
            ("stuck", matches!(view.state, State::Stuck { .. })),
            ("fallback", matches!(view.state, State::Idle { fallback: true } | State::Trial { fallback: true })),
        ] {
            out.sample("slipway_standing", &[("state", name.to_owned())], u64::from(holds));
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

#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, help: &str) {
        // Writing to a string does not fail, here and below.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, String)], value: u64) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    fn one(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn outlook(&mut self, outlook: &Outlook, now: UnixSeconds) {
        self.family(
            "slipway_restart_waits",
            "What the restart into the version that is installed waits for: 1 for that.",
        );
        for word in Wait::WORDS {
            let waits = outlook.waits.as_ref().is_some_and(|wait| wait.word() == word);
            self.sample("slipway_restart_waits", &[("for", word.to_owned())], u64::from(waits));
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
        assert_eq!(text(&host, None, Some(&last), None, UnixSeconds(80)), expected);
        let outlook = Outlook {
            waits: Some(Wait::Window { from: Some(Moment::from_seconds(90)) }),
            window_open: Some(false),
            window_changes: Some(Moment::from_seconds(90)),
            ..Outlook::default()
        };
        let more = text(&host, None, None, Some(&outlook), UnixSeconds(80));
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

//! The checks an image carries, as `/usr/lib/slipway/checks.json`: written by the builder from the recipe, run by the
//! agent on the host and by the smoke tests. Durations are whole milliseconds.
//!
//! ```json
//! {"health": {"soak_ms": 30000, "checks": [
//!     {"name": "web", "what": {"http": "http://127.0.0.1/healthz"}, "within_ms": 60000}]},
//!  "smoke": {"soak_ms": 0, "checks": []}}
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the image holds its checks.
pub const CHECKS_PATH: &str = "/usr/lib/slipway/checks.json";

/// All checks of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageChecks {
    /// What must hold for a version to be committed.
    pub health: CheckSet,
    /// What a test boot looks at.
    pub smoke: CheckSet,
}

/// A set of checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSet {
    /// `soak`: how long all must hold after they held first.
    #[serde(rename = "soak_ms", with = "crate::milliseconds")]
    pub soak: Duration,
    /// `[[….check]]` in order.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// A name for reports.
    pub name: String,
    /// What is checked.
    pub what: CheckKind,
    /// `within`: the deadline, counted from the start of the run.
    #[serde(rename = "within_ms", with = "crate::milliseconds")]
    pub within: Duration,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CheckKind {
    /// `unit = "docker.service"`: active.
    Unit(String),
    /// `no-failed-units = true`: `systemctl --failed` is empty and the system is running.
    NoFailedUnits,
    /// `command = ["…"]`: exits 0; `prints` is contained in its output.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Text its output must contain.
        prints: Option<String>,
    },
    /// `tcp = "127.0.0.1:22"`: accepts a connection.
    Tcp(String),
    /// `http = "http://127.0.0.1/healthz"`: answers 2xx.
    Http(String),
    /// `container = "web"`: running under Docker.
    Container(String),
    /// `disk = { path = "/var", free = "1G" }`
    Disk {
        /// A path on the file system.
        path: String,
        /// Bytes that must be free.
        free: u64,
    },
    /// `clock = true`: the clock is synchronised.
    Clock,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_file_in_the_image_has_this_shape() {
        let kinds = [
            CheckKind::Unit("docker.service".into()),
            CheckKind::NoFailedUnits,
            CheckKind::Command { argv: vec!["true".into()], prints: Some("x".into()) },
            CheckKind::Tcp("127.0.0.1:22".into()),
            CheckKind::Http("http://127.0.0.1/".into()),
            CheckKind::Container("web".into()),
            CheckKind::Disk { path: "/var".into(), free: 1 << 30 },
            CheckKind::Clock,
        ];
        let checks: Vec<_> = kinds
            .into_iter()
            .map(|what| Check { name: "n".into(), what, within: Duration::from_millis(1500) })
            .collect();
        let health = CheckSet { soak: Duration::from_secs(30), checks };
        let text = serde_json::to_string(&ImageChecks { health, smoke: CheckSet::default() }).unwrap();
        let check = |what: &str| format!(r#"{{"name":"n","what":{what},"within_ms":1500}}"#);
        let expected = [
            r#"{"unit":"docker.service"}"#,
            r#""no-failed-units""#,
            r#"{"command":{"argv":["true"],"prints":"x"}}"#,
            r#"{"tcp":"127.0.0.1:22"}"#,
            r#"{"http":"http://127.0.0.1/"}"#,
            r#"{"container":"web"}"#,
            r#"{"disk":{"path":"/var","free":1073741824}}"#,
            r#""clock""#,
        ]
        .map(check)
        .join(",");
        assert_eq!(
            text,
            format!(r#"{{"health":{{"soak_ms":30000,"checks":[{expected}]}},"smoke":{{"soak_ms":0,"checks":[]}}}}"#)
        );
        let back: ImageChecks = serde_json::from_str(&text).unwrap();
        assert_eq!(back.health.checks.len(), 8);
        assert_eq!(back.health.checks[0].within, Duration::from_millis(1500));
    }

    #[test]
    fn a_key_of_no_check_is_refused() {
        assert!(serde_json::from_str::<CheckKind>(r#"{"ping":"host"}"#).is_err());
        assert!(serde_json::from_str::<Check>(r#"{"name":"n","what":"clock","within_ms":1,"x":2}"#).is_err());
    }
}

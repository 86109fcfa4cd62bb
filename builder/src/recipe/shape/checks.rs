//! `[health]` and `[smoke]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, Text, Texts};

/// `[health]`, `[smoke]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "CheckSet")]
pub struct CheckSetShape {
    /// How long all checks must go on holding once all of them have held: `500ms`, `30s`, `5m`, `1h`. By default 30s for
    /// health, 0s for smoke.
    #[schemars(extend("examples" = ["2m"]))]
    pub soak: Text,
    /// One check. It looks at exactly one thing: `unit`, `no-failed-units`, `command`, `tcp`, `http`, `container`, `disk`
    /// or `clock`.
    pub check: Vec<At<CheckShape>>,
}

/// `[[health.check]]`, `[[smoke.check]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Check")]
pub struct CheckShape {
    /// Its name in reports. By default made from what it looks at.
    #[schemars(extend("examples" = ["web answers"]))]
    pub name: Text,
    /// A systemd unit that must be active.
    #[schemars(extend("examples" = ["docker.service"]))]
    pub unit: Text,
    /// `true`: no unit has failed, and the system has started up.
    #[schemars(extend("examples" = [true]))]
    pub no_failed_units: Option<At<bool>>,
    /// Program and arguments that must end with status 0.
    #[schemars(extend("examples" = [["docker", "info"]]))]
    pub command: Option<At<Texts>>,
    /// Text that the output of `command` must contain.
    #[schemars(extend("examples" = ["Server Version"]))]
    pub prints: Text,
    /// `HOST:PORT` that must accept a connection.
    #[schemars(extend("examples" = ["127.0.0.1:22"]))]
    pub tcp: Text,
    /// Address that must answer with a status of 200 to 299.
    #[schemars(extend("examples" = ["http://127.0.0.1/healthz"]))]
    pub http: Text,
    /// A `[[container]]` that must be running.
    #[schemars(extend("examples" = ["web"]))]
    pub container: Text,
    /// Room that a file system must have.
    #[schemars(extend("examples" = [{ "path": "/var", "free": "1G" }]))]
    pub disk: Option<At<DiskSpaceShape>>,
    /// `true`: the clock has been set from the network.
    #[schemars(extend("examples" = [true]))]
    pub clock: Option<At<bool>>,
    /// By when it must hold, from the start of the run.
    #[schemars(extend("default" = "60s", "examples" = ["30s"]))]
    pub within: Text,
    /// Takes the inherited check with the same name away.
    #[schemars(extend("default" = false))]
    pub remove: bool,
}

/// `disk = { path = "/var", free = "1G" }`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "DiskSpace", extend("required" = ["path", "free"]))]
pub struct DiskSpaceShape {
    /// A path on the file system.
    #[schemars(extend("examples" = ["/var"]))]
    pub path: Text,
    /// Bytes that must be free.
    #[schemars(extend("examples" = ["1G"]))]
    pub free: Text,
}

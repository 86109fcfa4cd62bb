//! `[update]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{At, Text, Texts};

/// `[update]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Update", extend("required" = ["urls", "root"]))]
pub struct UpdateShape {
    /// Addresses of the repository, the best one first. All have the same files.
    #[schemars(extend("examples" = [["https://updates.example.com/web/"]]))]
    pub urls: Texts,
    /// The channel.
    #[schemars(extend("default" = "stable", "examples" = ["testing"]))]
    pub channel: Text,
    /// The repository's root metadata, `root.json`, which the host trusts from the start.
    #[schemars(extend("examples" = ["keys/root.json"]))]
    pub root: Text,
    /// How often a host looks for a new version. Hosts spread over a quarter of it.
    #[schemars(extend("default" = "1h", "examples" = ["15m"]))]
    pub every: Text,
    /// Whether a host restarts by itself into a version that it has installed.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub restart: Option<At<bool>>,
    /// When a host may restart into a version that it has installed: days, times, and a time zone of the image; without days
    /// every day, without a zone UTC. What counts is the clock on the wall there, also where it is put forward or back. No
    /// window: at any time.
    #[schemars(extend("examples" = [["Mon..Fri 02:00-04:00 Europe/Berlin"]]))]
    pub windows: Texts,
    /// When a host installs a version: as soon as there is one, so that only the restart waits for a window, or in a window too.
    #[schemars(extend("default" = "any-time", "examples" = ["in-windows"], "enum" = ["any-time", "in-windows"]))]
    pub stage: Text,
    /// A lock manager that is asked before a restart, so that not too many hosts restart at once.
    #[schemars(extend("examples" = [{ "url": "https://locks.example.com/", "group": "web" }]))]
    pub fleet_lock: Option<At<FleetLockShape>>,
}

/// `[update.fleet-lock]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "FleetLock", extend("required" = ["url"]))]
pub struct FleetLockShape {
    /// Base address of the manager. It speaks the FleetLock protocol: `v1/pre-reboot` and `v1/steady-state` follow.
    #[schemars(extend("examples" = ["https://locks.example.com/"]))]
    pub url: Text,
    /// The hosts that are counted together.
    #[schemars(extend("default" = "default", "examples" = ["web"]))]
    pub group: Text,
    /// Restart without the lock after the manager has not been reached for so long, in whole hours. Without it a host waits
    /// for as long as it takes. A manager that says no is never passed over.
    #[schemars(extend("examples" = ["72h"]))]
    pub without_server_after: Text,
}

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
}

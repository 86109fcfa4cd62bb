//! How a host of an image updates itself, as `/usr/lib/slipway/update.json`: written by the builder from the recipe, read by
//! the agent on the host. Durations are whole seconds.
//!
//! ```json
//! {"urls": ["https://updates.example.com/web/"], "channel": "stable", "every_s": 3600, "restart": true}
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::release::ChannelName;

/// Where the image holds its settings. An image without the file updates itself from nowhere.
pub const UPDATE_PATH: &str = "/usr/lib/slipway/update.json";

/// Where the image holds the TUF root that it trusts from the start.
pub const TRUSTED_ROOT_PATH: &str = "/usr/lib/slipway/root.json";

/// Where an image's updates come from, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSettings {
    /// Base URLs of the repository, the best one first. All have the same files.
    pub urls: Vec<String>,
    /// The channel.
    pub channel: ChannelName,
    /// How often the host looks.
    #[serde(rename = "every_s", with = "seconds")]
    pub every: Duration,
    /// Whether the host restarts by itself into a version that it has installed.
    pub restart: bool,
}

/// A [`Duration`] as whole seconds; what is finer than that is cut off.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_secs())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_are_read_as_the_documentation_has_them() {
        let text = r#"{"urls":["https://updates.example.com/web/"],"channel":"stable","every_s":3600,"restart":true}"#;
        let settings: UpdateSettings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.every, Duration::from_hours(1));
        assert_eq!(serde_json::to_string(&settings).unwrap(), text);
    }
}

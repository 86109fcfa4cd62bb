//! How a host of an image updates itself, as `/usr/lib/slipway/update.json`: written by the builder from the recipe, read by
//! the agent on the host. Durations are whole seconds.
//!
//! ```json
//! {"urls": ["https://updates.example.com/web/"], "channel": "stable", "every_s": 3600, "restart": true,
//!  "windows": ["Mon..Fri 02:00-04:00 Europe/Berlin"], "stage": "in-windows",
//!  "fleet_lock": {"url": "https://locks.example.com/", "group": "web", "without_server_after": "72h"}}
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::release::ChannelName;
use crate::window::Window;

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
    /// When it may do so; at any time if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// When a version is installed.
    #[serde(default, skip_serializing_if = "StageWhen::is_default")]
    pub stage: StageWhen,
    /// Who else must agree to a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_lock: Option<FleetLockSettings>,
}

/// When a version is installed into the slot that doesn't run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageWhen {
    /// As soon as it is there: only the restart waits for a window.
    #[default]
    AnyTime,
    /// In a window, like the restart.
    InWindows,
}

impl StageWhen {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A lock manager that keeps too many hosts from restarting at once; `FleetLock` protocol, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetLockSettings {
    /// Base URL: `v1/pre-reboot` and `v1/steady-state` follow.
    pub url: String,
    /// Which hosts it is counted with.
    #[serde(default)]
    pub group: LockGroup,
    /// Restart without the lock after the manager has not been reached for so long; never if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_server_after: Option<Hours>,
}

/// A group of the `FleetLock` protocol: `[a-zA-Z0-9.-]+`, here at most 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LockGroup(String);

/// A text that is no group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no group: it takes 1 to {max} of a-z, A-Z, 0-9, . and -", max = LockGroup::MAX_LEN)]
pub struct LockGroupError(String);

impl LockGroup {
    const MAX_LEN: usize = 64;

    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, LockGroupError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let good = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(plain);
        if good { Ok(Self(text.to_owned())) } else { Err(LockGroupError(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LockGroup {
    /// `default`, as other clients of the protocol have it.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl TryFrom<String> for LockGroup {
    type Error = LockGroupError;

    fn try_from(text: String) -> Result<Self, LockGroupError> {
        Self::new(&text)
    }
}

impl From<LockGroup> for String {
    fn from(group: LockGroup) -> Self {
        group.0
    }
}

/// Whole hours, from one to a year: `72h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours(u16);

/// A text that is no count of hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` are no hours of the form `72h`, from 1h to {max}h", max = Hours::MAX)]
pub struct HoursError(String);

impl Hours {
    const MAX: u16 = 366 * 24;

    /// As a duration.
    pub const fn duration(self) -> Duration {
        // `Duration::from_hours` takes no `u16`, and `u64::from` isn't const.
        Duration::from_secs(self.0 as u64 * 3600)
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}h", self.0)
    }
}

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let digits = text.strip_suffix('h').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let hours = digits.and_then(|digits| digits.parse().ok()).filter(|hours| (1..=Self::MAX).contains(hours));
        hours.map(Self).ok_or_else(|| HoursError(text.to_owned()))
    }
}

impl TryFrom<String> for Hours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
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
        let more = r#"{"urls":["https://a.example/"],"channel":"stable","every_s":3600,"restart":true,"windows":["Mon..Fri 02:00-04:00 Europe/Berlin"],"stage":"in-windows","fleet_lock":{"url":"https://locks.example/","group":"web.eu","without_server_after":"72h"}}"#;
        let settings: UpdateSettings = serde_json::from_str(more).unwrap();
        assert_eq!(settings.windows[0].zone().as_str(), "Europe/Berlin");
        assert_eq!(
            settings.fleet_lock.as_ref().and_then(|lock| lock.without_server_after).map(Hours::duration),
            Some(Duration::from_hours(72))
        );
        assert_eq!(serde_json::to_string(&settings).unwrap(), more);
    }

    #[test]
    fn what_a_lock_manager_would_not_take_is_refused() {
        for bad in ["", "a b", "ü", "a/b", &"x".repeat(65)] {
            assert_eq!(LockGroup::new(bad), Err(LockGroupError(bad.to_owned())));
        }
        for bad in ["", "h", "0h", "3", "3d", "+3h", "8785h"] {
            assert_eq!(bad.parse::<Hours>(), Err(HoursError(bad.to_owned())));
        }
    }
}

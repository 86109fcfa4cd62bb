//! Names of channels, and where things are in a repository.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::names::{ImageId, PartitionLabel};

/// A channel's name: `[a-z0-9][a-z0-9-]*`, at most 32 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(ImageId);

/// A text that is no channel's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no channel: it takes 1 to {max} of a-z, 0-9 and -, a letter or digit first",
    max = ImageId::MAX_LEN
)]
pub struct ChannelNameError(String);

impl ChannelName {
    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, ChannelNameError> {
        ImageId::new(text).map(Self).map_err(|_| ChannelNameError(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelName({self})")
    }
}

impl FromStr for ChannelName {
    type Err = ChannelNameError;

    fn from_str(text: &str) -> Result<Self, ChannelNameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for ChannelName {
    type Error = ChannelNameError;

    fn try_from(text: String) -> Result<Self, ChannelNameError> {
        Self::new(&text)
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> Self {
        name.to_string()
    }
}

/// The path of a document among the targets of a repository. No channel's is a release's: an id has neither `.` nor `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(String);

impl TargetName {
    /// Of a channel's document: `web.stable.json`.
    pub fn of_channel(id: &ImageId, channel: &ChannelName) -> Self {
        Self(format!("{id}.{channel}.json"))
    }

    /// Of a release's document: `web_2026.11.22.release.json`.
    pub fn of_release(label: &PartitionLabel) -> Self {
        Self(format!("{label}.release.json"))
    }

    /// The channel whose document has this name.
    pub fn channel(&self) -> Option<(ImageId, ChannelName)> {
        let (id, channel) = self.0.strip_suffix(".json")?.split_once('.')?;
        Some((id.parse().ok()?, channel.parse().ok()?))
    }

    /// The release whose document has this name.
    pub fn release(&self) -> Option<PartitionLabel> {
        self.0.strip_suffix(".release.json")?.parse().ok()
    }

    /// The path of a target that is one of either, or none.
    pub fn of_path(path: &str) -> Option<Self> {
        let name = Self(path.to_owned());
        (name.channel().is_some() || name.release().is_some()).then_some(name)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a part is, relative to the repository: `parts/9f/9f86d08…`.
pub fn part_path(sha256: &Digest) -> String {
    let name = sha256.to_hex();
    format!("parts/{}/{name}", &name[..2])
}

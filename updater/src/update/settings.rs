//! Where updates come from and when: the image's settings, and the machine's on top of them.
//!
//! The machine's are `/var/lib/slipway/config/update.toml`, written by its owner:
//!
//! ```toml
//! enabled = true
//! urls = ["http://mirror.local/web/"]
//! channel = "testing"
//! restart = false
//! ```
//!
//! Every key is optional; a key that isn't known is an error, since it is a mistake in spelling and not a wish that can wait.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use slipway_images::release::ChannelName;
use slipway_images::update::{UPDATE_PATH, UpdateSettings};
use thiserror::Error;

use crate::net::{BaseUrl, UrlError};

/// Where the machine's own settings are.
pub const MACHINE_SETTINGS_PATH: &str = "/var/lib/slipway/config/update.toml";

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// Neither image nor machine says where updates come from.
    #[error(
        "no repository is known: the image's recipe has no [update], and {MACHINE_SETTINGS_PATH} has no urls and channel"
    )]
    NoRepository,
    /// A file can't be read.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image's settings make no sense.
    #[error("the image's settings {path} make no sense")]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The machine's settings make no sense.
    #[error("the machine's settings {path} make no sense")]
    Machine {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A text that is no URL.
    #[error("a repository can't be used")]
    Url(#[from] UrlError),
}

/// Where updates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether the host updates itself at all.
    pub enabled: bool,
    /// Base URLs of the repository, the best one first.
    pub urls: Vec<BaseUrl>,
    /// The channel.
    pub channel: ChannelName,
    /// Whether the host restarts by itself into a version that it has installed.
    pub restart: bool,
}

/// What the machine's owner wants otherwise.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Machine {
    enabled: Option<bool>,
    urls: Option<Vec<String>>,
    channel: Option<ChannelName>,
    restart: Option<bool>,
}

impl Settings {
    /// The settings of the host whose root is at `root`.
    pub fn load(root: &Path) -> Result<Self, SettingsError> {
        let image_path = below(root, UPDATE_PATH);
        let image: Option<UpdateSettings> = match read(&image_path)? {
            Some(text) => {
                Some(serde_json::from_str(&text).map_err(|source| SettingsError::Image { path: image_path, source })?)
            }
            None => None,
        };
        let path = below(root, MACHINE_SETTINGS_PATH);
        let machine: Machine = match read(&path)? {
            Some(text) => {
                toml::from_str(&text).map_err(|source| SettingsError::Machine { path, source: Box::new(source) })?
            }
            None => Machine::default(),
        };
        let (urls, channel, restart) = match image {
            Some(image) => (Some(image.urls), Some(image.channel), image.restart),
            None => (None, None, true),
        };
        let urls = machine.urls.or(urls).filter(|urls| !urls.is_empty()).ok_or(SettingsError::NoRepository)?;
        let channel = machine.channel.or(channel).ok_or(SettingsError::NoRepository)?;
        Ok(Self {
            enabled: machine.enabled.unwrap_or(true),
            urls: urls.iter().map(|url| BaseUrl::new(url)).collect::<Result<_, _>>()?,
            channel,
            restart: machine.restart.unwrap_or(restart),
        })
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn read(path: &Path) -> Result<Option<String>, SettingsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SettingsError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    const IMAGE: &str = r#"{"urls":["https://a.example/web"],"channel":"stable","every_s":60,"restart":true}"#;

    fn load(image: Option<&str>, machine: Option<&str>) -> Result<Settings, SettingsError> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [(UPDATE_PATH, image), (MACHINE_SETTINGS_PATH, machine)] {
            let path = below(root.path(), path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        Settings::load(root.path())
    }

    #[test]
    fn the_machine_overrides_key_by_key() {
        let settings = load(Some(IMAGE), Some("channel = \"testing\"\nrestart = false\n")).unwrap();
        assert_eq!(settings.urls, [BaseUrl::new("https://a.example/web/").unwrap()]);
        assert_eq!((settings.channel.as_str(), settings.restart, settings.enabled), ("testing", false, true));
        let alone = load(None, Some("urls = [\"http://b\"]\nchannel = \"x\"\nenabled = false")).unwrap();
        assert!(!alone.enabled && alone.restart);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(matches!(load(None, None), Err(SettingsError::NoRepository)));
        assert!(matches!(load(Some(IMAGE), Some("urls = []")), Err(SettingsError::NoRepository)));
        assert!(matches!(load(Some(IMAGE), Some("chanel = \"x\"")), Err(SettingsError::Machine { .. })));
        assert!(matches!(load(Some(IMAGE), Some("urls = [\"ftp://b\"]")), Err(SettingsError::Url(_))));
        assert!(matches!(load(Some("{}"), None), Err(SettingsError::Image { .. })));
    }
}

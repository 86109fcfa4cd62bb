//! Where updates come from and when: the image's settings, and the machine's on top of them.
//!
//! The machine's are `/var/lib/slipway/config/update.toml`, written by its owner:
//!
//! ```toml
//! enabled = true
//! urls = ["http://mirror.local/web/"]
//! channel = "testing"
//! restart = false
//! windows = ["Sat,Sun 22:00-06:00 Europe/Berlin"]
//! stage = "in-windows"
//!
//! [fleet-lock]
//! enabled = true
//! url = "https://locks.local/"
//! group = "web"
//! without-server-after = "72h"
//! ```
//!
//! Every key is optional, and `windows = []` is none of the image's; a key that isn't known is an error, since it is a mistake in spelling and not a wish that can wait.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slipway_images::release::ChannelName;
use slipway_images::update::{FleetLockSettings, Hours, LockGroup, StageWhen, UPDATE_PATH, UpdateSettings};
use slipway_images::window::{WINDOWS_MAX, Window};
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
    /// More windows than anybody can mean.
    #[error("there are {0} windows, and at most {WINDOWS_MAX} count")]
    Windows(usize),
    /// The lock manager has no address.
    #[error("fleet-lock has no url")]
    NoLockUrl,
    /// The lock manager's address is none.
    #[error("the lock manager can't be used")]
    LockUrl(#[source] UrlError),
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
    /// When it may do so; at any time if there is none.
    pub windows: Vec<Window>,
    /// When a version is installed.
    pub stage: StageWhen,
    /// Who else must agree to a restart.
    pub fleet_lock: Option<FleetLock>,
}

/// A lock manager, and what to tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetLock {
    /// Where it is.
    pub url: BaseUrl,
    /// Which hosts this one is counted with.
    pub group: LockGroup,
    /// Restart without the lock after it has not been reached for so long.
    pub without_server_after: Option<Hours>,
}

/// What the machine's owner wants otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineSettings {
    /// Whether the host updates itself at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Base URLs of the repository, the best one first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    /// The channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// Whether the host restarts by itself into a version that it has installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<bool>,
    /// When it may do so; an empty list is at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<Window>>,
    /// When a version is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageWhen>,
    /// The lock manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet_lock: Option<MachineFleetLock>,
}

/// What the machine's owner wants otherwise of the lock manager. Keys that are missing are the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineFleetLock {
    /// Whether it is asked at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its base URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Which hosts this one is counted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<LockGroup>,
    /// Restart without the lock after it has not been reached for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_server_after: Option<Hours>,
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
        let machine: MachineSettings = match read(&path)? {
            Some(text) => {
                toml::from_str(&text).map_err(|source| SettingsError::Machine { path, source: Box::new(source) })?
            }
            None => MachineSettings::default(),
        };
        Self::of(image, machine)
    }

    /// The image's settings, and the machine's on top of them.
    pub fn of(image: Option<UpdateSettings>, machine: MachineSettings) -> Result<Self, SettingsError> {
        let (urls, channel, restart, windows, stage, lock) = match image {
            Some(image) => {
                let UpdateSettings { urls, channel, restart, windows, stage, fleet_lock, every: _ } = image;
                (Some(urls), Some(channel), restart, windows, stage, fleet_lock)
            }
            None => (None, None, true, Vec::new(), StageWhen::default(), None),
        };
        let urls = machine.urls.or(urls).filter(|urls| !urls.is_empty()).ok_or(SettingsError::NoRepository)?;
        let channel = machine.channel.or(channel).ok_or(SettingsError::NoRepository)?;
        let windows = machine.windows.unwrap_or(windows);
        if windows.len() > WINDOWS_MAX {
            return Err(SettingsError::Windows(windows.len()));
        }
        Ok(Self {
            enabled: machine.enabled.unwrap_or(true),
            urls: urls.iter().map(|url| BaseUrl::new(url)).collect::<Result<_, _>>()?,
            channel,
            restart: machine.restart.unwrap_or(restart),
            windows,
            stage: machine.stage.unwrap_or(stage),
            fleet_lock: fleet_lock(lock, machine.fleet_lock)?,
        })
    }
}

fn fleet_lock(
    image: Option<FleetLockSettings>,
    machine: Option<MachineFleetLock>,
) -> Result<Option<FleetLock>, SettingsError> {
    if image.is_none() && machine.is_none() {
        return Ok(None);
    }
    let machine = machine.unwrap_or_default();
    if machine.enabled == Some(false) {
        return Ok(None);
    }
    let (url, group, patience) = match image {
        Some(image) => (Some(image.url), image.group, image.without_server_after),
        None => (None, LockGroup::default(), None),
    };
    let url = machine.url.or(url).ok_or(SettingsError::NoLockUrl)?;
    Ok(Some(FleetLock {
        url: BaseUrl::new(&url).map_err(SettingsError::LockUrl)?,
        group: machine.group.unwrap_or(group),
        without_server_after: machine.without_server_after.or(patience),
    }))
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
    fn windows_and_the_lock_manager_are_the_machine_s_where_it_names_them() {
        let image = IMAGE.replace(
            "true}",
            r#"true,"windows":["02:00-04:00"],"stage":"in-windows","fleet_lock":{"url":"http://l/base","group":"web"}}"#,
        );
        let settings = load(Some(&image), None).unwrap();
        assert_eq!(settings.windows, ["02:00-04:00 UTC".parse().unwrap()]);
        assert_eq!(settings.stage, StageWhen::InWindows);
        let lock = settings.fleet_lock.unwrap();
        assert_eq!((lock.url.to_string().as_str(), lock.group.as_str()), ("http://l/base/", "web"));
        let machine =
            "windows = []\nstage = \"any-time\"\n[fleet-lock]\ngroup = \"db\"\nwithout-server-after = \"5h\"\n";
        let settings = load(Some(&image), Some(machine)).unwrap();
        assert_eq!((settings.windows.len(), settings.stage), (0, StageWhen::AnyTime));
        let lock = settings.fleet_lock.unwrap();
        assert_eq!((lock.url.to_string().as_str(), lock.group.as_str()), ("http://l/base/", "db"));
        assert_eq!(lock.without_server_after.map(|hours| hours.to_string()).as_deref(), Some("5h"));
        assert_eq!(load(Some(&image), Some("fleet-lock.enabled = false")).unwrap().fleet_lock, None);
        assert_eq!(load(Some(IMAGE), None).unwrap().fleet_lock, None);
        let error = |machine: &str| load(Some(IMAGE), Some(machine)).unwrap_err();
        assert!(matches!(error("fleet-lock.group = \"x\""), SettingsError::NoLockUrl));
        assert!(matches!(error("fleet-lock.url = \"x\""), SettingsError::LockUrl(_)));
        assert!(matches!(error("windows = [\"2-4\"]"), SettingsError::Machine { .. }));
        assert!(matches!(error(&format!("windows = {:?}", ["02:00-04:00"; 33])), SettingsError::Windows(33)));
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

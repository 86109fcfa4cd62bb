//! Where updates come from and when: the image's settings, and on top of them what the machine's configuration says in `[update]`:
//!
//! ```toml
//! [update]
//! enabled = true
//! urls = ["http://mirror.local/web/"]
//! channel = "testing"
//! restart = false
//! windows = ["Sat,Sun 22:00-06:00 Europe/Berlin"]
//! stage = "in-windows"
//!
//! [update.fleet-lock]
//! enabled = true
//! url = "https://locks.local/"
//! group = "web"
//! without-server-after = "72h"
//! ```
//!
//! Every key is optional, and `windows = []` is none of the image's.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use slipway_images::release::ChannelName;
use slipway_images::update::{FleetLockSettings, Hours, LockGroup, StageWhen, UPDATE_PATH, UpdateSettings};
use slipway_images::window::{WINDOWS_MAX, Window};
use thiserror::Error;

use crate::config::{self, CONFIG_PATH, StoreError};
use crate::host::below;
use crate::net::{BaseUrl, UrlError};

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// Neither image nor machine says where updates come from.
    #[error("no repository is known: neither the image's recipe nor {CONFIG_PATH} has [update] with urls and channel")]
    NoRepository,
    /// Neither image nor machine names a channel.
    #[error("no channel is known: neither the image's recipe nor {CONFIG_PATH} has [update] with channel")]
    NoChannel,
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
    /// The machine's configuration can't be read.
    #[error(transparent)]
    Machine(#[from] StoreError),
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
    /// Base URLs of the repository, the best one first. None on a host that is updated from folders only.
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

/// What the machine's owner wants otherwise: `[update]` of the machine's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineSettings {
    /// Whether the host updates itself at all.
    pub enabled: Option<bool>,
    /// Base URLs of the repository, the best one first.
    pub urls: Option<Vec<BaseUrl>>,
    /// The channel.
    pub channel: Option<ChannelName>,
    /// Whether the host restarts by itself into a version that it has installed.
    pub restart: Option<bool>,
    /// When it may do so; an empty list is at any time.
    pub windows: Option<Vec<Window>>,
    /// When a version is installed.
    pub stage: Option<StageWhen>,
    /// The lock manager.
    pub fleet_lock: Option<MachineFleetLock>,
}

/// What the machine's owner wants otherwise of the lock manager. Keys that are missing are the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineFleetLock {
    /// Whether it is asked at all.
    pub enabled: Option<bool>,
    /// Its base URL.
    pub url: Option<BaseUrl>,
    /// Which hosts this one is counted with.
    pub group: Option<LockGroup>,
    /// Restart without the lock after it has not been reached for so long.
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
        Self::of(image, config::in_effect(root)?.reading.config.update)
    }

    /// The image's settings, and the machine's on top of them.
    pub fn of(image: Option<UpdateSettings>, machine: MachineSettings) -> Result<Self, SettingsError> {
        let (urls, channel, restart, windows, stage, lock) = match image {
            Some(image) => {
                let UpdateSettings { urls, channel, restart, windows, stage, fleet_lock, every: _ } = image;
                let urls = urls.iter().map(|url| BaseUrl::new(url)).collect::<Result<_, _>>()?;
                (urls, Some(channel), restart, windows, stage, fleet_lock)
            }
            None => (Vec::new(), None, true, Vec::new(), StageWhen::default(), None),
        };
        let channel = machine.channel.or(channel).ok_or(SettingsError::NoChannel)?;
        let windows = machine.windows.unwrap_or(windows);
        if windows.len() > WINDOWS_MAX {
            return Err(SettingsError::Windows(windows.len()));
        }
        Ok(Self {
            enabled: machine.enabled.unwrap_or(true),
            urls: machine.urls.unwrap_or(urls),
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
        Some(image) => {
            let url = BaseUrl::new(&image.url).map_err(SettingsError::LockUrl)?;
            (Some(url), image.group, image.without_server_after)
        }
        None => (None, LockGroup::default(), None),
    };
    Ok(Some(FleetLock {
        url: machine.url.or(url).ok_or(SettingsError::NoLockUrl)?,
        group: machine.group.unwrap_or(group),
        without_server_after: machine.without_server_after.or(patience),
    }))
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
        for (path, text) in [(UPDATE_PATH, image), (CONFIG_PATH, machine)] {
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
        let settings = load(Some(IMAGE), Some("[update]\nchannel = \"testing\"\nrestart = false\n")).unwrap();
        assert_eq!(settings.urls, [BaseUrl::new("https://a.example/web/").unwrap()]);
        assert_eq!((settings.channel.as_str(), settings.restart, settings.enabled), ("testing", false, true));
        let alone = load(None, Some("[update]\nurls = [\"http://b\"]\nchannel = \"x\"\nenabled = false")).unwrap();
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
        let machine = "[update]\nwindows = []\nstage = \"any-time\"\n[update.fleet-lock]\ngroup = \"db\"\nwithout-server-after = \"5h\"\n";
        let settings = load(Some(&image), Some(machine)).unwrap();
        assert_eq!((settings.windows.len(), settings.stage), (0, StageWhen::AnyTime));
        let lock = settings.fleet_lock.unwrap();
        assert_eq!((lock.url.to_string().as_str(), lock.group.as_str()), ("http://l/base/", "db"));
        assert_eq!(lock.without_server_after.map(|hours| hours.to_string()).as_deref(), Some("5h"));
        assert_eq!(load(Some(&image), Some("update.fleet-lock.enabled = false")).unwrap().fleet_lock, None);
        assert_eq!(load(Some(IMAGE), None).unwrap().fleet_lock, None);
        let error = |machine: &str| load(Some(IMAGE), Some(machine)).unwrap_err();
        assert!(matches!(error("update.fleet-lock.group = \"x\""), SettingsError::NoLockUrl));
        let image = image.replace("http://l", "ftp://l");
        assert!(matches!(load(Some(&image), None), Err(SettingsError::LockUrl(_))));
        let image = IMAGE.replace("true}", &format!(r#"true,"windows":{:?}}}"#, ["02:00-04:00"; 33]));
        assert!(matches!(load(Some(&image), None), Err(SettingsError::Windows(33))));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(matches!(load(None, None), Err(SettingsError::NoChannel)));
        assert!(matches!(load(None, Some("update.urls = [\"http://b\"]")), Err(SettingsError::NoChannel)));
        assert_eq!(load(Some(IMAGE), Some("[update]\nurls = []")).unwrap().urls, []);
        // What the machine's configuration says wrong is told where it is written, and the image's settings stand.
        assert_eq!(
            load(Some(IMAGE), Some("[update]\nurls = [\"ftp://b\"]")).unwrap(),
            load(Some(IMAGE), None).unwrap()
        );
        assert!(matches!(load(Some(&IMAGE.replace("https", "ftp")), None), Err(SettingsError::Url(_))));
        assert!(matches!(load(Some("{}"), None), Err(SettingsError::Image { .. })));
    }
}

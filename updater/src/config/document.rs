//! The document: everything about one machine that is to last, and nothing that belongs to the image.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_spanned::Spanned;
use slipway_images::host::{AuthorizedKey, FromText, HostName, SysctlName, WrongText, text};
use slipway_images::window::WINDOWS_MAX;

use super::network::{Network, NetworkShape, doubled};
use super::problem::{Problem, nearest};
use super::reader;
use crate::update::MachineSettings;

/// The document as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Shape {
    hostname: Option<HostName>,
    timezone: Option<Spanned<TimeZone>>,
    ntp: Vec<NtpServer>,
    network: Vec<Spanned<NetworkShape>>,
    user: Vec<UserShape>,
    sysctl: BTreeMap<String, Spanned<SysctlShape>>,
    update: MachineSettings,
}

/// `[[user]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UserShape {
    name: Spanned<UserName>,
    authorized_keys: Vec<AuthorizedKey>,
}

/// TOML makes tables of dotted keys.
#[derive(Debug)]
enum SysctlShape {
    Value(String),
    Names(BTreeMap<String, Spanned<SysctlShape>>),
}

/// What a document says. All of it is good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineConfig {
    /// `hostname`
    pub hostname: Option<HostName>,
    /// `timezone`
    pub timezone: Option<TimeZone>,
    /// `ntp`
    pub ntp: Vec<NtpServer>,
    /// `[[network]]`
    pub networks: Vec<Network>,
    /// `[[user]]`
    pub users: Vec<User>,
    /// `[sysctl]`
    pub sysctl: BTreeMap<SysctlName, String>,
    /// `[update]`
    pub update: MachineSettings,
}

/// A user of the image, and who may log in as that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: UserName,
    /// Public keys.
    pub authorized_keys: Vec<AuthorizedKey>,
}

/// A time zone by its name in the IANA database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone(String);

/// A time server, by name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtpServer(String);

/// A user's name, which is a file's name too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserName(String);

/// What a document can refer to: it configures an image, and makes neither users nor time zones.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The image's users; `None` if that isn't known.
    users: Option<BTreeSet<String>>,
    /// Where the time zones are.
    zones: PathBuf,
}

/// What a document comes to.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What is good in it.
    pub config: MachineConfig,
    /// What is not.
    pub problems: Vec<Problem>,
}

impl Known {
    /// What there is on the host whose root is at `root`.
    pub fn of_host(root: &Path) -> Self {
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let users = fs::read_to_string(root.join("etc/passwd")).ok().map(|text| text.lines().map(name).collect());
        Self { users, zones: root.join("usr/share/zoneinfo") }
    }

    fn user(&self, name: &UserName) -> Result<(), String> {
        let Some(users) = self.users.as_ref().filter(|users| !users.contains(&name.0)) else { return Ok(()) };
        let meant = nearest(&name.0, users.iter().map(String::as_str));
        let help = meant.map_or_else(|| "users are added in the recipe".to_owned(), |meant| format!("write `{meant}`"));
        Err(format!("`user`: the image has no user `{}`: {help}", name.0))
    }

    fn zone(&self, zone: &TimeZone) -> Result<(), String> {
        if self.zones.join(&zone.0).is_file() {
            return Ok(());
        }
        Err(format!("`timezone`: the image has no time zone `{}`: write `Europe/Berlin`, say", zone.0))
    }
}

impl MachineConfig {
    /// Reads what there is to be read, and says what is wrong. Fails if nothing of it can be believed.
    pub fn read(text: &str, known: &Known) -> Result<Reading, Vec<Problem>> {
        let (shape, problems) = reader::read::<Shape>(text)?;
        let mut reading = Reading { config: Self::default(), problems };
        let Reading { config, problems } = &mut reading;
        let mut wrong = |span: &Range<usize>, message: String| problems.push(Problem::at(text, span, message));
        config.hostname = shape.hostname;
        config.ntp = shape.ntp;
        config.update = shape.update;
        if let Some(zone) = shape.timezone {
            match known.zone(zone.get_ref()) {
                Ok(()) => config.timezone = Some(zone.into_inner()),
                Err(message) => wrong(&zone.span(), message),
            }
        }
        for UserShape { name, authorized_keys } in shape.user {
            let doubled = config.users.iter().any(|user| user.name == *name.get_ref());
            match known.user(name.get_ref()) {
                Err(message) => wrong(&name.span(), message),
                Ok(()) if doubled => {
                    wrong(
                        &name.span(),
                        format!("`user` has `{}` a second time: put both lists into one", name.get_ref()),
                    );
                }
                Ok(()) => config.users.push(User { name: name.into_inner(), authorized_keys }),
            }
        }
        flatten(shape.sysctl, "", &mut |name, span, value| match sysctl(&name, &value) {
            Ok(name) => drop(config.sysctl.insert(name, value)),
            Err(message) => wrong(&span, message),
        });
        let mut networks = Vec::new();
        for entry in shape.network {
            let span = entry.span();
            match Network::from_shape(entry.into_inner()) {
                Ok(network) => networks.push((span, network)),
                Err(message) => wrong(&span, message.to_owned()),
            }
        }
        problems.extend(doubled(&networks, text));
        if config.update.windows.as_ref().is_some_and(|windows| windows.len() > WINDOWS_MAX) {
            problems.push(Problem::of_all(format!("`update.windows` has more than {WINDOWS_MAX} windows")));
            config.update.windows = None;
        }
        config.networks = networks.into_iter().map(|(_, network)| network).collect();
        problems.sort_by_key(|problem| problem.place.as_ref().map_or(0, |place| place.line));
        Ok(reading)
    }

    /// The same, if nothing is wrong.
    pub fn check(text: &str, known: &Known) -> Result<Self, Vec<Problem>> {
        let Reading { config, problems } = Self::read(text, known)?;
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

/// The parameter, if it is one, and has a value that it can have.
fn sysctl(name: &str, value: &str) -> Result<SysctlName, String> {
    let parameter = SysctlName::from_text(name).map_err(|error| format!("`sysctl` {error}"))?;
    if name.contains('*') {
        return Err(format!("`sysctl`: `{name}` must name one parameter, without `*`"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("`sysctl.{name}` must be one line"));
    }
    Ok(parameter)
}

/// Names with dots again.
fn flatten(
    names: BTreeMap<String, Spanned<SysctlShape>>,
    prefix: &str,
    found: &mut impl FnMut(String, Range<usize>, String),
) {
    for (name, shape) in names {
        let (name, span) = (format!("{prefix}{name}"), shape.span());
        match shape.into_inner() {
            SysctlShape::Value(value) => found(name, span, value),
            SysctlShape::Names(inner) => flatten(inner, &format!("{name}."), found),
        }
    }
}

impl<'de> Deserialize<'de> for SysctlShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shapes;

        impl<'de> Visitor<'de> for Shapes {
            type Value = SysctlShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }

            fn visit_i64<E>(self, value: i64) -> Result<SysctlShape, E> {
                Ok(SysctlShape::Value(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<SysctlShape, E> {
                Ok(SysctlShape::Value(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<SysctlShape, E> {
                Ok(SysctlShape::Value(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SysctlShape, A::Error> {
                BTreeMap::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(SysctlShape::Names)
            }
        }

        deserializer.deserialize_any(Shapes)
    }
}

impl FromText for TimeZone {
    const WANTED: &'static str = "the name of a time zone";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
        };
        if text.split('/').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(format!("cannot be `{text}`"), "write a name such as `Europe/Berlin` or `Etc/UTC`"))
        }
    }
}

impl FromText for NtpServer {
    const WANTED: &'static str = "a time server";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        if HostName::from_text(text).is_ok() || text.parse::<std::net::IpAddr>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(format!("cannot be `{text}`"), "write a name or an address: `ntp.example.com`, say"))
        }
    }
}

impl FromText for UserName {
    const WANTED: &'static str = "the name of a user";

    fn from_text(text: &str) -> Result<Self, WrongText> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let good = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if good && text.len() <= 32 && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongText::new(format!("cannot be `{text}`"), "write the name of a user of the image: `core`, say"))
        }
    }
}

macro_rules! read_as_text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text(deserializer)
            }
        }
    )*};
}

read_as_text!(TimeZone, NtpServer, UserName);

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;

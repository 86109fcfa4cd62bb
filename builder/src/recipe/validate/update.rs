//! `[update]`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use slipway_images::release::ChannelName;
use slipway_images::update::{FleetLockSettings, Hours, LockGroup, StageWhen, UpdateSettings};
use slipway_images::window::{WINDOWS_MAX, Window, WindowError};
use slipway_trust::tuf::VerifiedRoot;

use super::Checker;
use crate::recipe::model::UpdateSection;
use crate::recipe::shape::{At, FleetLockShape, UpdateShape};
use crate::recipe::values::{self, Wrong};

/// More often than this, hosts would do little else.
const SHORTEST: Duration = Duration::from_mins(1);

pub(super) fn section(checker: &mut Checker<'_>, at: &At<UpdateShape>) -> Option<UpdateSection> {
    let (shape, entry) = (at.get(), at.span());
    let every = |text: &str| match values::duration(text)? {
        every if every >= SHORTEST && every.subsec_millis() == 0 => Ok(every),
        _ => Err(Wrong {
            why: format!("cannot be `{text}`"),
            help: "write whole seconds, and at least a minute: `15m`, say".into(),
        }),
    };
    let channel = |text: &str| match ChannelName::new(text) {
        Ok(name) => Ok(Some(name)),
        Err(error) => {
            let rule = error.to_string();
            let rule = rule.split_once(": ").map_or(rule.as_str(), |(_, rule)| rule).to_owned();
            Err(Wrong { why: format!("cannot be `{text}`"), help: rule })
        }
    };
    let urls = checker.list("update.urls", &shape.urls, base_url);
    if shape.urls.is_empty() {
        let help = "write `urls = [\"https://updates.example.com/web/\"]`, say";
        checker.problem(&entry, "`update` has no `urls`", "in this table", help);
    }
    let channel = checker.or_default("update.channel", &shape.channel, "stable", channel);
    let every = checker.or_default("update.every", &shape.every, "1h", every);
    let restart = shape.restart.as_ref().is_none_or(|at| *at.get());
    let windows = windows(checker, shape);
    // What else there may be, the schema has refused.
    let stage = match shape.stage.as_ref().map(|at| at.get().as_str()) {
        Some("in-windows") => StageWhen::InWindows,
        _ => StageWhen::AnyTime,
    };
    let fleet_lock = shape.fleet_lock.as_ref().and_then(|at| fleet_lock(checker, at));
    let Some(root) = &shape.root else {
        let help = "write `root = \"keys/root.json\"`: the repository's root metadata";
        checker.problem(&entry, "`update` has no `root`", "in this table", help);
        return None;
    };
    let root = trusted_root(checker, root)?;
    let channel = channel?;
    Some(UpdateSection { settings: UpdateSettings { urls, channel, every, restart, windows, stage, fleet_lock }, root })
}

/// The root metadata that hosts of the image trust. It may have expired: what counts is its successors.
fn trusted_root(checker: &mut Checker<'_>, at: &At<String>) -> Option<PathBuf> {
    let path = checker.local("update.root", at, false)?;
    let anchored = match fs::read(&path) {
        Ok(bytes) => VerifiedRoot::anchor(&bytes).map(drop).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let Err(why) = anchored else { return Some(path) };
    let message = format!("`update.root` names `{}`, which no host could trust: {why}", at.get());
    checker.problem(&at.span(), message, "", "name a root of your key folder: `keys/private/1.root.json`, say");
    None
}

/// An address that paths are put behind.
fn base_url(text: &str) -> Result<String, Wrong> {
    match values::url(text, &["http", "https"])? {
        url if url.contains(['?', '#']) => {
            Err(Wrong { why: format!("cannot be `{url}`"), help: "leave `?` and `#` out: file names follow".into() })
        }
        url => Ok(url),
    }
}

fn windows(checker: &mut Checker<'_>, shape: &UpdateShape) -> Vec<Window> {
    if let Some(one_more) = shape.windows.get(WINDOWS_MAX) {
        let message = format!("`update.windows` has more than {WINDOWS_MAX} windows");
        checker.problem(&one_more.span(), message, "one more", "name several days in one: `Mon..Fri 02:00-04:00`");
    }
    checker.list("update.windows", &shape.windows, |text| {
        text.parse::<Window>().map_err(|error| {
            let help = match &error {
                WindowError::Form(_) => "write days, times and a zone: `Mon..Fri 02:00-04:00 Europe/Berlin`, say",
                WindowError::Days(_) => "write `Mon..Fri`, `Sat,Sun`, or no days for every day",
                WindowError::Times(_) => {
                    "write `02:00-04:00`, say: two digits each, the end on the next day if it is earlier"
                }
                WindowError::Short(_) => "make it longer: a host that wakes up for it must find it open",
                WindowError::Zone(_) => "write a zone of the IANA database: `Europe/Berlin`, say, or none for UTC",
            };
            Wrong { why: format!("is wrong: {error}"), help: help.into() }
        })
    })
}

fn fleet_lock(checker: &mut Checker<'_>, at: &At<FleetLockShape>) -> Option<FleetLockSettings> {
    let (shape, entry) = (at.get(), at.span());
    let example = "\"https://locks.example.com/\"";
    let url = checker.required("update.fleet-lock.url", &shape.url, &entry, example, base_url);
    let group = checker.or_default("update.fleet-lock.group", &shape.group, "default", |text| {
        LockGroup::new(text).map_err(|_| Wrong {
            why: format!("cannot be `{text}`"),
            help: "write at most 64 of a-z, A-Z, 0-9, `.` and `-`: `web`, say".into(),
        })
    });
    let key = "update.fleet-lock.without-server-after";
    let without_server_after = checker.optional(key, &shape.without_server_after, |text| {
        text.parse::<Hours>().map_err(|_| Wrong {
            why: format!("cannot be `{text}`"),
            help: "write whole hours, from `1h` to a year: `72h`, say".into(),
        })
    });
    Some(FleetLockSettings { url: url?, group, without_server_after })
}

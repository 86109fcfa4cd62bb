//! `[update]`.

use std::time::Duration;

use slipway_images::release::ChannelName;
use slipway_images::update::UpdateSettings;

use super::Checker;
use crate::recipe::model::UpdateSection;
use crate::recipe::shape::{At, UpdateShape};
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
    let urls = checker.list("update.urls", &shape.urls, |text| match values::url(text, &["http", "https"])? {
        url if url.contains(['?', '#']) => {
            Err(Wrong { why: format!("cannot be `{url}`"), help: "leave `?` and `#` out: file names follow".into() })
        }
        url => Ok(url),
    });
    if shape.urls.is_empty() {
        let help = "write `urls = [\"https://updates.example.com/web/\"]`, say";
        checker.problem(&entry, "`update` has no `urls`", "in this table", help);
    }
    let channel = checker.or_default("update.channel", &shape.channel, "stable", channel);
    let every = checker.or_default("update.every", &shape.every, "1h", every);
    let restart = shape.restart.as_ref().is_none_or(|at| *at.get());
    let Some(root) = &shape.root else {
        let help = "write `root = \"keys/root.json\"`: the repository's root metadata";
        checker.problem(&entry, "`update` has no `root`", "in this table", help);
        return None;
    };
    let root = checker.local("update.root", root, false)?;
    Some(UpdateSection { settings: UpdateSettings { urls, channel: channel?, every, restart }, root })
}

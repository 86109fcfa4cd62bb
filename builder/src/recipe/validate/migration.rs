//! `[[migration]]`.

use std::ops::Range;
use std::time::Duration;

use slipway_images::migration::{Migration, MigrationName, Reverse};
use slipway_images::version::Version;

use super::Checker;
use crate::recipe::shape::{At, MigrationShape, Shape};
use crate::recipe::values::{self, Wrong};

/// What a migration may take that doesn't say.
const WITHIN: &str = "5m";
/// What the agent keeps for itself.
const AGENT_STATE: &str = "/var/lib/slipway";

/// The migrations, the oldest first: a host runs them in this order.
pub(super) fn all(checker: &mut Checker<'_>, shape: &Shape) -> Vec<Migration> {
    let image = shape.image.version.as_ref().and_then(|at| Version::new(at.get()).ok());
    let shapes = shape.migration.iter();
    let mut migrations: Vec<Migration> =
        shapes.filter_map(|at| one(checker, at.get(), &at.span(), image.as_ref())).collect();
    migrations.sort_by(|one, other| one.since.cmp(&other.since));
    migrations
}

fn one(
    checker: &mut Checker<'_>,
    shape: &MigrationShape,
    entry: &Range<usize>,
    image: Option<&Version>,
) -> Option<Migration> {
    let name = checker.required("migration.name", &shape.name, entry, "\"app-2\"", name);
    let since = checker.required("migration.since", &shape.since, entry, "\"2026.12.1\"", |text| {
        let since = Version::new(text)
            .map_err(|_| Wrong { why: format!("cannot be `{text}`"), help: "write a version of this image".into() })?;
        match image {
            Some(image) if since > *image => Err(Wrong {
                why: format!("is {since}, and this image is version {image}"),
                help: format!("write the first version whose state is so: `{image}`, say"),
            }),
            _ => Ok(since),
        }
    });
    let up = checker.optional("migration.up", &shape.up, values::tree_path);
    let down = checker.optional("migration.down", &shape.down, values::tree_path);
    let copied = checker.list("migration.copy-aside", &shape.copy_aside, state_path);
    apart(checker, &shape.copy_aside);
    let both = [("down", shape.down.is_some()), ("copy-aside", !shape.copy_aside.is_empty())];
    let has_one = checker.one_of("migration", entry, both[0], both[1]);
    if let (Some(at), None) = (&shape.down, &shape.up) {
        checker.problem(&at.span(), "`migration.down` needs `up`", "", "without a change there is nothing to undo");
    }
    let before = checker.list("migration.before", &shape.before, values::unit);
    let within = checker.or_default("migration.within", &shape.within, WITHIN, |text| match values::duration(text)? {
        Duration::ZERO => {
            Err(Wrong { why: "cannot be nothing".into(), help: "write how long it may take: `5m`, say".into() })
        }
        within => Ok(within),
    });
    let reverse = match (has_one, down) {
        (true, Some(down)) => Reverse::Down(down.to_string()),
        (true, None) => Reverse::CopyAside(copied),
        (false, _) => return None,
    };
    Some(Migration { name: name?, since: since?, up: up.map(|path| path.to_string()), reverse, before, within })
}

fn name(text: &str) -> Result<MigrationName, Wrong> {
    MigrationName::new(text).map_err(|_| Wrong {
        why: format!("cannot be `{text}`"),
        help: "it takes 1 to 64 of a-z, 0-9, `.` and `-`, with a letter or digit first".into(),
    })
}

/// A path of the state partition that is not the agent's.
fn state_path(text: &str) -> Result<String, Wrong> {
    let path = values::tree_path(text)?.to_string();
    if !path.starts_with("/var/") {
        let help = "only state below `/var` lasts: `/var/lib/app`, say".into();
        return Err(Wrong { why: format!("cannot be `{text}`"), help });
    }
    if is_within(&path, AGENT_STATE) || is_within(AGENT_STATE, &path) {
        let why = format!("cannot be `{text}`: the agent's own state is in `{AGENT_STATE}`");
        return Err(Wrong { why, help: "name the folder of one service: `/var/lib/app`, say".into() });
    }
    Ok(path)
}

/// No path of a list is within another one.
fn apart(checker: &mut Checker<'_>, paths: &[At<String>]) {
    for (index, at) in paths.iter().enumerate() {
        let others = paths.iter().enumerate().filter(|(other, _)| *other != index);
        let outer = others.map(|(_, other)| other.get()).find(|other| is_within(at.get(), other));
        if let Some(outer) = outer {
            let message = format!("`migration.copy-aside` has `{}`, which is within `{outer}`", at.get());
            checker.problem(&at.span(), message, "", "leave it out: it is copied with the other one");
            return;
        }
    }
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

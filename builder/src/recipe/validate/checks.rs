//! `[health]` and `[smoke]`.

use std::ops::Range;

use super::Checker;
use crate::recipe::merge::{CHECK_KINDS, check_name};
use crate::recipe::model::{Check, CheckKind, CheckSet};
use crate::recipe::nearest::listed;
use crate::recipe::shape::{At, CheckSetShape, CheckShape, DiskSpaceShape};
use crate::recipe::values;

/// The deadline of a check that gives none.
const WITHIN: &str = "60s";

pub(super) fn set(checker: &mut Checker<'_>, section: &str, shape: &CheckSetShape, soak: &str) -> CheckSet {
    let checks = shape.check.iter().filter_map(|check| one(checker, section, check.get(), &check.span())).collect();
    CheckSet { checks, soak: checker.or_default(&format!("{section}.soak"), &shape.soak, soak, values::duration) }
}

fn one(checker: &mut Checker<'_>, section: &str, shape: &CheckShape, entry: &Range<usize>) -> Option<Check> {
    let key = |name: &str| format!("{section}.check.{name}");
    let within = checker.or_default(&key("within"), &shape.within, WITHIN, values::duration);
    let name = checker.optional(&key("name"), &shape.name, values::line);
    let present = [
        shape.unit.is_some(),
        shape.no_failed_units.is_some(),
        shape.command.is_some(),
        shape.tcp.is_some(),
        shape.http.is_some(),
        shape.container.is_some(),
        shape.disk.is_some(),
        shape.clock.is_some(),
    ];
    let named: Vec<&str> =
        CHECK_KINDS.into_iter().zip(present).filter_map(|(kind, there)| there.then_some(kind)).collect();
    let [kind] = named.as_slice() else {
        let (message, help) = if named.is_empty() {
            (format!("`{section}.check` looks at nothing"), format!("add one of {}", listed(CHECK_KINDS)))
        } else {
            let named = named.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" and ");
            (format!("`{section}.check` has {named}"), "a check looks at one thing; write a check for each".to_owned())
        };
        checker.problem(entry, message, "in this check", help);
        return None;
    };
    if let (Some(at), None) = (&shape.prints, &shape.command) {
        let message = format!("`{}` needs `command`", key("prints"));
        checker.problem(&at.span(), message, "", "only the output of a command can be looked at");
    }
    let (what, shown) = if let Some(at) = &shape.unit {
        let unit = checker.value(&key("unit"), at, values::unit)?;
        (CheckKind::Unit(unit.clone()), unit)
    } else if let Some(at) = &shape.command {
        let argv: Vec<String> = at.get().iter().map(|word| word.get().clone()).collect();
        if argv.first().is_none_or(String::is_empty) {
            checker.problem(
                &at.span(),
                format!("`{}` is empty", key("command")),
                "",
                "write program and arguments: `[\"docker\", \"info\"]`, say",
            );
            return None;
        }
        let shown = argv.join(" ");
        (CheckKind::Command { argv, prints: shape.prints.as_ref().map(|at| at.get().clone()) }, shown)
    } else if let Some(at) = &shape.tcp {
        let address = checker.value(&key("tcp"), at, values::host_and_port)?;
        (CheckKind::Tcp(address.clone()), address)
    } else if let Some(at) = &shape.http {
        let url = checker.value(&key("http"), at, |text| values::url(text, &["http", "https"]))?;
        (CheckKind::Http(url.clone()), url)
    } else if let Some(at) = &shape.container {
        let container = checker.value(&key("container"), at, values::container)?;
        (CheckKind::Container(container.clone()), container)
    } else if let Some(at) = &shape.disk {
        disk(checker, &key("disk"), at)?
    } else if let Some(at) = &shape.no_failed_units {
        true_only(checker, &key("no-failed-units"), at)?;
        (CheckKind::NoFailedUnits, String::new())
    } else {
        true_only(checker, &key("clock"), shape.clock.as_ref()?)?;
        (CheckKind::Clock, String::new())
    };
    Some(Check { name: name.unwrap_or_else(|| check_name(kind, &shown)), what, within })
}

fn disk(checker: &mut Checker<'_>, key: &str, at: &At<DiskSpaceShape>) -> Option<(CheckKind, String)> {
    let (shape, entry) = (at.get(), at.span());
    let path = checker.required(&format!("{key}.path"), &shape.path, &entry, "\"/var\"", |text| match text {
        "/" => Ok("/".to_owned()),
        _ => values::tree_path(text).map(|path| path.to_string()),
    });
    let free = checker.required(&format!("{key}.free"), &shape.free, &entry, "\"1G\"", values::size);
    let path = path?;
    Some((CheckKind::Disk { path: path.clone(), free: free? }, path))
}

fn true_only(checker: &mut Checker<'_>, key: &str, at: &At<bool>) -> Option<()> {
    if *at.get() {
        return Some(());
    }
    checker.problem(&at.span(), format!("`{key}` can only be `true`"), "", "leave the check out if it need not hold");
    None
}

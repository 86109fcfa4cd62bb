//! Laying a recipe over the one that it extends.
//!
//! Tables merge key by key. Scalars, and lists that are no additions, are replaced. The lists of [`ADDED`] are added
//! to. Entries (`[[…]]`) are added too, but one that names the same thing ([`IDENTITY`]) replaces the inherited entry in
//! its place, and with `remove = true` takes it away. What is nearer wins: a package that is added here is no longer
//! dropped by the ancestor, a unit that is masked here is no longer enabled by it ([`EXCLUSIVE`]).

use std::borrow::Cow;
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::Problem;
use super::nearest::nearest;
use super::source::Sources;

/// Lists that are added to what is inherited.
const ADDED: [&str; 13] = [
    "packages.add",
    "packages.drop",
    "packages.debs",
    "prune.drop",
    "prune.keep",
    "kernel.modules",
    "kernel.initrd-modules",
    "kernel.load-ahead",
    "kernel.command-line",
    "boot.read-ahead",
    "units.enable",
    "units.disable",
    "units.mask",
];

/// Lists of which an item can stand in one only.
const EXCLUSIVE: [(&str, &[&str]); 2] = [("packages", &["add", "drop"]), ("units", &["enable", "disable", "mask"])];

/// The keys by which an entry is told from its like.
const IDENTITY: [(&str, &[&str]); 11] = [
    ("repository", &["name"]),
    ("file", &["path"]),
    ("download", &["url"]),
    ("directory", &["path"]),
    ("link", &["path"]),
    ("user", &["name"]),
    ("group", &["name"]),
    ("drop-in", &["unit", "name"]),
    ("container", &["name"]),
    ("accept-script", &["package", "script", "sha256"]),
    ("migration", &["name"]),
];

/// The file name of a drop-in that gives none.
pub const DROP_IN_NAME: &str = "50-recipe.conf";

type Value<'i> = Spanned<DeValue<'i>>;

/// Merges recipes, and gathers what is wrong with that.
pub struct Merger<'a> {
    sources: &'a Sources,
    problems: Vec<Problem>,
}

impl<'a> Merger<'a> {
    /// Nothing merged yet.
    pub fn new(sources: &'a Sources) -> Self {
        Self { sources, problems: Vec::new() }
    }

    /// `child` laid over `base`.
    pub fn merge<'i>(&mut self, mut base: DeTable<'i>, mut child: DeTable<'i>) -> DeTable<'i> {
        child.remove("extends");
        if let Some(sysctl) = child.get_mut("sysctl") {
            self.flatten_sysctl(sysctl);
        }
        if let Some(packages) = child.get_mut("packages").and_then(as_table)
            && let Some(names) = packages.remove("remove")
        {
            self.remove_packages(&mut base, &names);
        }
        nearer_wins(&mut base, &child);
        self.tables(&mut base, child, "");
        base
    }

    /// What was wrong.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn tables<'i>(&mut self, base: &mut DeTable<'i>, child: DeTable<'i>, path: &str) {
        for (key, value) in child {
            let name = key.get_ref().to_string();
            let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let span = value.span();
            let merged = match (base.remove(name.as_str()).map(Spanned::into_inner), value.into_inner()) {
                (Some(DeValue::Table(mut old)), DeValue::Table(new)) => {
                    self.tables(&mut old, new, &inner);
                    DeValue::Table(old)
                }
                (None, DeValue::Table(new)) => {
                    let mut fresh = DeTable::new();
                    self.tables(&mut fresh, new, &inner);
                    DeValue::Table(fresh)
                }
                (old, DeValue::Array(new)) if ADDED.contains(&inner.as_str()) => added(old, new, &inner),
                (old, DeValue::Array(new)) if is_entries(&inner) => self.entries(old, new, &inner),
                (_, new) => new,
            };
            base.insert(key, Spanned::new(span, merged));
        }
    }

    fn entries<'i>(&mut self, old: Option<DeValue<'i>>, new: DeArray<'i>, path: &str) -> DeValue<'i> {
        let mut entries: Vec<(String, Value<'i>)> = match old {
            Some(DeValue::Array(old)) => old.into_iter().map(|entry| (identity(path, &entry), entry)).collect(),
            _ => Vec::new(),
        };
        let inherited = entries.len();
        let mut mine: Vec<String> = Vec::new();
        for entry in new {
            let name = identity(path, &entry);
            let span = entry.span();
            if mine.contains(&name) {
                let message = format!("`{path}` has two entries for `{name}`");
                self.problem(&span, message, "the second one", "leave one of them out, or put them into one".into());
                continue;
            }
            mine.push(name.clone());
            let remove = entry.get_ref().get("remove").and_then(|value| value.get_ref().as_bool()) == Some(true);
            match (entries.iter().position(|(other, _)| *other == name), remove) {
                (Some(index), true) => drop(entries.remove(index)),
                (Some(index), false) => entries[index].1 = entry,
                (None, false) => entries.push((name, entry)),
                (None, true) => {
                    let help = match nearest(&name, entries.iter().take(inherited).map(|(name, _)| name.as_str())) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => {
                            "only an entry of a recipe that this one extends can be removed; leave this one out".into()
                        }
                    };
                    self.problem(&span, format!("no `{path}` called `{name}` is inherited"), "nothing to remove", help);
                }
            }
        }
        let mut merged = DeArray::new();
        for (_, entry) in entries {
            merged.push(entry);
        }
        DeValue::Array(merged)
    }

    fn remove_packages(&mut self, base: &mut DeTable<'_>, names: &Value<'_>) {
        for name in names.get_ref().as_array().into_iter().flat_map(|names| names.iter()) {
            let Some(text) = name.get_ref().as_str() else { continue };
            let mut known: Vec<String> = Vec::new();
            let mut found = false;
            for list in ["add", "drop"] {
                let Some(DeValue::Array(items)) = base
                    .get_mut("packages")
                    .and_then(as_table)
                    .and_then(|packages| packages.get_mut(list))
                    .map(Spanned::get_mut)
                else {
                    continue;
                };
                let before = items.len();
                known.extend(items.iter().filter_map(|item| item.get_ref().as_str()).map(|item| bare(item).to_owned()));
                retain(items, |item| bare(item) != bare(text));
                found |= items.len() < before;
            }
            if !found {
                let help = match nearest(text, known.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "`remove` takes names out of the `add` and `drop` of the recipes that this one extends; to keep a \
                             package out that comes as a dependency, name it in `drop`"
                        .into(),
                };
                let message = format!("package `{text}` is neither added nor dropped by an inherited recipe");
                self.problem(&name.span(), message, "nothing to remove", help);
            }
        }
    }

    /// `net.core.somaxconn = 4096` is three tables to TOML; here it is one key again, and a text.
    fn flatten_sysctl(&mut self, sysctl: &mut Value<'_>) {
        let Some(table) = as_table(sysctl) else { return };
        let mut flat = Vec::new();
        flatten(std::mem::take(table), "", &mut flat);
        for (span, name, value) in flat {
            let key = Spanned::new(span.clone(), Cow::Owned(name.clone()));
            if table.contains_key(name.as_str()) {
                let message = format!("`sysctl` has `{name}` twice");
                self.problem(&span, message, "the second one", "leave one of them out".into());
            }
            table.insert(key, value);
        }
    }

    fn problem(&mut self, span: &Range<usize>, message: String, label: &str, help: String) {
        self.problems.push(self.sources.problem(span, message, label, Some(help)));
    }
}

/// Takes out of the inherited lists what the child puts into another list of the same group.
fn nearer_wins(base: &mut DeTable<'_>, child: &DeTable<'_>) {
    for (section, lists) in EXCLUSIVE {
        for list in lists {
            let Some(items) = child.get(section).and_then(|section| section.get_ref().get(list)) else { continue };
            let items: Vec<&str> = texts(items.get_ref()).map(bare).collect();
            for other in lists.iter().filter(|other| *other != list) {
                let inherited = base.get_mut(section).and_then(as_table).and_then(|section| section.get_mut(*other));
                if let Some(DeValue::Array(inherited)) = inherited.map(Spanned::get_mut) {
                    retain(inherited, |item| !items.contains(&bare(item)));
                }
            }
        }
    }
}

fn added<'i>(old: Option<DeValue<'i>>, new: DeArray<'i>, path: &str) -> DeValue<'i> {
    let mut merged = match old {
        Some(DeValue::Array(old)) => old,
        _ => DeArray::new(),
    };
    for item in new {
        let text = item.get_ref().as_str().unwrap_or_default().to_owned();
        match path {
            // The last word wins on a command line, so one that is said again belongs at the end.
            "kernel.command-line" => {}
            // A version or suite that the child asks for replaces what the ancestor asks for.
            "packages.add" => retain(&mut merged, |inherited| bare(inherited) != bare(&text)),
            _ if texts(&DeValue::Array(merged.clone())).any(|inherited| inherited == text) => continue,
            _ => {}
        }
        merged.push(item);
    }
    DeValue::Array(merged)
}

/// Whether the key holds entries that have an identity.
fn is_entries(path: &str) -> bool {
    matches!(path, "health.check" | "smoke.check") || IDENTITY.iter().any(|(name, _)| *name == path)
}

/// What tells an entry from its like.
fn identity(path: &str, entry: &Value<'_>) -> String {
    let text = |key: &str| entry.get_ref().get(key).map(|value| shown(value.get_ref()));
    match IDENTITY.iter().find(|(name, _)| *name == path) {
        Some((_, ["unit", "name"])) => {
            format!("{}/{}", text("unit").unwrap_or_default(), text("name").unwrap_or_else(|| DROP_IN_NAME.into()))
        }
        Some((_, keys)) => keys.iter().filter_map(|key| text(key)).collect::<Vec<_>>().join(" "),
        None => text("name").unwrap_or_else(|| {
            CHECK_KINDS.iter().find_map(|kind| Some(check_name(kind, &text(kind)?))).unwrap_or_default()
        }),
    }
}

/// What a check can look at; each check has exactly one of these keys.
pub const CHECK_KINDS: [&str; 8] = ["unit", "no-failed-units", "command", "tcp", "http", "container", "disk", "clock"];

/// The name of a check that gives none.
pub fn check_name(kind: &str, what: &str) -> String {
    match kind {
        "no-failed-units" => "no failed units".to_owned(),
        "clock" => "clock is set".to_owned(),
        "command" => what.to_owned(),
        _ => format!("{kind} {what}"),
    }
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Array(_) => texts(value).collect::<Vec<_>>().join(" "),
        DeValue::Table(table) => table.get("path").map(|path| shown(path.get_ref())).unwrap_or_default(),
        _ => String::new(),
    }
}

fn flatten<'i>(table: DeTable<'i>, prefix: &str, flat: &mut Vec<(Range<usize>, String, Value<'i>)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(inner) => flatten(inner, &name, flat),
            DeValue::Integer(number) => {
                let text = DeValue::String(Cow::Owned(number.to_string()));
                flat.push((key.span(), name, Spanned::new(span, text)));
            }
            other => flat.push((key.span(), name, Spanned::new(span, other))),
        }
    }
}

/// A package without the version or suite that is asked for.
fn bare(package: &str) -> &str {
    package.split(['=', '/']).next().unwrap_or(package)
}

fn texts<'v>(list: &'v DeValue<'_>) -> impl Iterator<Item = &'v str> {
    list.as_array().into_iter().flat_map(|items| items.iter()).filter_map(|item| item.get_ref().as_str())
}

fn as_table<'v, 'i>(value: &'v mut Value<'i>) -> Option<&'v mut DeTable<'i>> {
    match value.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn retain(items: &mut DeArray<'_>, keep: impl Fn(&str) -> bool) {
    let mut kept = DeArray::new();
    for item in std::mem::replace(items, DeArray::new()) {
        if item.get_ref().as_str().is_none_or(&keep) {
            kept.push(item);
        }
    }
    *items = kept;
}

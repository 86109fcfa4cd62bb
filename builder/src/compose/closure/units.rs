//! systemd units: programs that they run, and units that they require.
//!
//! Only what will be started is an error: units that something enabled pulls in, over any number of steps. A unit that
//! waits for somebody to start it by hand is a warning.

use std::collections::{BTreeMap, BTreeSet};

use slipway_images::tree::{Kind, Origin, RootTree, TreePath};

use super::follow::{Follow, follow, is_there, program_is_there};
use super::programs::text_of;
use super::{ClosureError, Finding, Severity};

/// Where the system manager looks, the strongest first (systemd.unit(5)).
const FOLDERS: [&str; 2] = ["/etc/systemd/system", "/usr/lib/systemd/system"];
/// What every boot starts.
const ROOTS: [&str; 4] = ["default.target", "sysinit.target", "basic.target", "multi-user.target"];
const RUNS: [&str; 8] = [
    "ExecCondition",
    "ExecStart",
    "ExecStartPre",
    "ExecStartPost",
    "ExecReload",
    "ExecStop",
    "ExecStopPre",
    "ExecStopPost",
];
const REQUIRES: [&str; 3] = ["Requires", "BindsTo", "Requisite"];
/// Kinds that come to be without a file.
const MADE_AT_RUN_TIME: [&str; 6] = [".device", ".mount", ".swap", ".slice", ".scope", ".automount"];

/// A unit file with its drop-ins.
struct Unit {
    path: TreePath,
    origin: Origin,
    /// Values by key, in order, an empty one having cleared those before it.
    values: BTreeMap<String, Vec<String>>,
    masked: bool,
}

impl Unit {
    fn words<'a>(&'a self, keys: &'a [&str]) -> impl Iterator<Item = &'a str> {
        keys.iter().filter_map(|key| self.values.get(*key)).flatten().flat_map(|value| value.split_whitespace())
    }
}

/// What the system's units refer to and `tree` doesn't have.
pub fn check(tree: &RootTree) -> Result<Vec<Finding>, ClosureError> {
    let units = read_units(tree)?;
    let started = started(tree, &units);
    let mut findings = Vec::new();
    for (name, unit) in units.iter().filter(|(_, unit)| !unit.masked) {
        let is_started = started.contains(name);
        let finding = |severity, what| Finding { severity, path: unit.path.clone(), what, origin: unit.origin.clone() };
        if !condition_never_holds(tree, unit) {
            for program in RUNS.iter().filter_map(|key| unit.values.get(*key)).flatten() {
                if let Some((program, optional)) = program_of(program)
                    && !program_is_there(tree, &program)
                {
                    let severity = match (is_started, optional) {
                        (true, false) => Severity::Error,
                        (false, false) => Severity::Warning,
                        _ => Severity::Note,
                    };
                    findings.push(finding(severity, format!("runs `{program}`, which isn't in the image")));
                }
            }
        }
        let required = unit.words(&REQUIRES).filter(|other| is_started && !exists(&units, other));
        findings.extend(
            required.map(|other| finding(Severity::Error, format!("requires {other}, which isn't in the image"))),
        );
    }
    Ok(findings)
}

fn read_units(tree: &RootTree) -> Result<BTreeMap<String, Unit>, ClosureError> {
    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    let folders = FOLDERS.iter().filter_map(|folder| TreePath::new(folder).ok());
    let mut drop_ins = Vec::new();
    for folder in folders {
        for (path, node) in tree.children(&folder) {
            if let (Some(unit), Kind::Folder) = (path.name().strip_suffix(".d"), &node.kind) {
                drop_ins.extend(tree.children(path).map(|(path, node)| (unit.to_owned(), path, node)));
                continue;
            }
            let (file, masked) = match follow(tree, path) {
                Follow::Found(file) => (file, false),
                Follow::Outside => (path.clone(), true),
                Follow::Missing(_) | Follow::Circle => continue,
            };
            let text = tree.get(&file).map(|node| text_of(&file, node)).transpose()?.flatten();
            if !units.contains_key(path.name()) && (text.is_some() || masked) {
                let unit = Unit {
                    path: path.clone(),
                    origin: node.origin.clone(),
                    values: BTreeMap::new(),
                    masked: masked || text.as_ref().is_some_and(String::is_empty),
                };
                let unit = units.entry(path.name().to_owned()).or_insert(unit);
                read_values(&text.unwrap_or_default(), &mut unit.values);
            }
        }
    }
    drop_ins.sort_by(|a, b| (&a.0, a.1.name()).cmp(&(&b.0, b.1.name())));
    for (name, path, node) in drop_ins {
        if let (Some(unit), Some(text)) = (units.get_mut(&name), text_of(path, node)?) {
            read_values(&text, &mut unit.values);
        }
    }
    Ok(units)
}

/// Adds the assignments of `text` (systemd.syntax(7)): a backslash joins lines, an empty value clears.
fn read_values(text: &str, values: &mut BTreeMap<String, Vec<String>>) {
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '['])) {
        if let Some((key, value)) = line.split_once('=') {
            let list = values.entry(key.trim().to_owned()).or_default();
            match value.trim() {
                "" => list.clear(),
                value => list.push(value.to_owned()),
            }
        }
    }
}

/// The program of a command line, and whether its failure counts (systemd.service(5), "Command lines"). `None` when it is
/// only known at run time.
fn program_of(command: &str) -> Option<(String, bool)> {
    let program = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let optional = command[..command.len() - program.len()].contains('-');
    let program = match program.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'']).next()?,
        None => program.split_whitespace().next()?,
    };
    (!program.contains(['%', '$'])).then(|| (program.to_owned(), optional))
}

/// Whether a condition names a path that the image hasn't and won't have, so that the unit is skipped.
fn condition_never_holds(tree: &RootTree, unit: &Unit) -> bool {
    let keys =
        ["ConditionPathExists", "ConditionFileIsExecutable", "ConditionPathIsDirectory", "ConditionFileNotEmpty"];
    unit.words(&keys)
        .filter(|value| value.starts_with('/') && !value.contains('%'))
        .any(|value| TreePath::new(value.trim_end_matches('/')).is_ok_and(|path| !is_there(tree, &path)))
}

fn exists(units: &BTreeMap<String, Unit>, name: &str) -> bool {
    let made = name.contains('%') || MADE_AT_RUN_TIME.iter().any(|kind| name.ends_with(kind));
    made || find(units, name).is_some()
}

/// The unit `name`, or the template that it is an instance of.
fn find<'a>(units: &'a BTreeMap<String, Unit>, name: &str) -> Option<(&'a str, &'a Unit)> {
    let template = || {
        let (stem, rest) = name.split_once('@')?;
        Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1))
    };
    let own = units.get_key_value(name);
    own.or_else(|| units.get_key_value(&template()?)).map(|(name, unit)| (name.as_str(), unit))
}

/// Every unit that a boot starts, with what that pulls in, and what sockets, timers and paths start later.
fn started(tree: &RootTree, units: &BTreeMap<String, Unit>) -> BTreeSet<String> {
    let mut pulled: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in FOLDERS.iter().filter_map(|folder| TreePath::new(folder).ok()) {
        for (path, _) in tree.children(&folder) {
            let target = path.name().strip_suffix(".wants").or_else(|| path.name().strip_suffix(".requires"));
            if let Some(target) = target {
                let names = tree.children(path).map(|(path, _)| path.name().to_owned());
                pulled.entry(target.to_owned()).or_default().extend(names);
            }
        }
    }
    let mut started = BTreeSet::new();
    let mut pending: Vec<String> = ROOTS.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = pending.pop() {
        let Some((known, unit)) = find(units, &name).filter(|(_, unit)| !unit.masked) else { continue };
        if !started.insert(known.to_owned()) {
            continue;
        }
        // `default.target` is a link: what its real name pulls in counts as well.
        let real = match follow(tree, &unit.path) {
            Follow::Found(path) => path.name().to_owned(),
            _ => known.to_owned(),
        };
        for alias in [known, name.as_str(), &real] {
            pending.extend(pulled.get(alias).into_iter().flatten().cloned());
        }
        pending.extend(unit.words(&["Wants", "Requires", "BindsTo", "Upholds", "Requisite"]).map(str::to_owned));
        if let Some(stem) = [".socket", ".timer", ".path"].iter().find_map(|kind| name.strip_suffix(kind)) {
            let mut services = unit.words(&["Service", "Unit"]).peekable();
            let default = services.peek().is_none().then(|| format!("{stem}.service"));
            pending.extend(services.map(str::to_owned));
            pending.extend(default);
        }
    }
    started
}

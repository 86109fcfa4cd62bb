//! Which units are enabled: the links in `/etc/systemd/system` that `systemctl enable` would make.

mod preset;
mod unit_file;

use std::collections::BTreeSet;

use slipway_images::tree::{Kind, Origin, RootTree, TreeError, TreePath};

pub use preset::Presets;
pub use unit_file::Install;

/// Whose units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// PID 1.
    System,
    /// The manager of each user.
    User,
}

/// Why units could not be enabled.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// The recipe names a unit that no package and no file brings.
    #[error("there is no unit `{unit}`{}", .similar.as_deref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    Unknown {
        /// As named.
        unit: String,
        /// One that is there.
        similar: Option<String>,
    },
    /// A unit that nothing starts by itself.
    #[error("`{0}` has no [Install] section: nothing says what it is started with")]
    NotInstallable(String),
    /// A template without an instance.
    #[error("`{0}` is a template and needs an instance: `{1}`")]
    Template(String, String),
    /// A unit file could not be read.
    #[error("`{path}` can't be read")]
    Read {
        /// Where it is.
        path: TreePath,
        /// Why.
        source: std::io::Error,
    },
    /// The tree refused a link.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Manager {
    fn config(self) -> &'static str {
        match self {
            Self::System => "/etc/systemd/system",
            Self::User => "/etc/systemd/user",
        }
    }

    fn vendor(self) -> &'static str {
        match self {
            Self::System => "/usr/lib/systemd/system",
            Self::User => "/usr/lib/systemd/user",
        }
    }
}

/// The file of `unit` (for an instance: of its own, else of its template), links not followed.
pub fn find(tree: &RootTree, manager: Manager, unit: &str) -> Option<TreePath> {
    let names = std::iter::once(unit.to_owned()).chain(template_of(unit));
    for name in names {
        for folder in [manager.config(), "/usr/local/lib/systemd/system", manager.vendor()] {
            let path = TreePath::new(&format!("{folder}/{name}")).ok()?;
            if tree.resolve(&path).is_some() {
                return Some(path);
            }
        }
    }
    None
}

/// Makes the links that the [Install] section of `unit` asks for, and those of the units in its `Also=`.
pub fn enable(tree: &mut RootTree, manager: Manager, unit: &str, origin: &Origin) -> Result<(), UnitError> {
    let mut done = BTreeSet::new();
    let mut pending = vec![(unit.to_owned(), true)];
    while let Some((unit, asked_for)) = pending.pop() {
        if !done.insert(unit.clone()) {
            continue;
        }
        let Some((file, install)) = read(tree, manager, &unit)? else {
            if asked_for {
                return Err(unknown(tree, manager, &unit));
            }
            continue;
        };
        if asked_for && install.is_empty() {
            return Err(UnitError::NotInstallable(unit));
        }
        link(tree, manager, &unit, &file, &install, origin)?;
        pending.extend(install.also.into_iter().map(|unit| (unit, false)));
    }
    Ok(())
}

/// Takes away every link that enables `unit`.
pub fn disable(tree: &mut RootTree, manager: Manager, unit: &str) -> Result<(), UnitError> {
    let folder = TreePath::new(manager.config())?;
    let target = find(tree, manager, unit);
    let links: Vec<TreePath> = tree
        .below(&folder)
        .filter(|(path, node)| match &node.kind {
            Kind::Symlink(text) => path.name() == unit || Some(path.resolve_link(text)) == target,
            _ => false,
        })
        .map(|(path, _)| path.clone())
        .collect();
    for path in links {
        tree.remove(&path);
    }
    Ok(())
}

/// Makes `unit` impossible to start.
pub fn mask(tree: &mut RootTree, unit: &str, origin: &Origin) -> Result<(), UnitError> {
    disable(tree, Manager::System, unit)?;
    let path = TreePath::new(Manager::System.config())?.join(unit)?;
    Ok(tree.insert_symlink(path, "/dev/null", origin.clone())?)
}

/// Takes a unit of a package out of the image with every link to it; returns what went.
pub fn remove(tree: &mut RootTree, unit: &str) -> Result<Vec<TreePath>, UnitError> {
    let mut gone = Vec::new();
    for folder in [Manager::System.config(), Manager::System.vendor()] {
        let folder = TreePath::new(folder)?;
        let links: Vec<TreePath> = tree
            .below(&folder)
            .filter(|(path, node)| match &node.kind {
                Kind::Symlink(text) => path.name() == unit || path.resolve_link(text).name() == unit,
                Kind::File(_) => path.name() == unit && path.parent().as_ref() == Some(&folder),
                _ => false,
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in links {
            tree.remove(&path);
            gone.push(path);
        }
    }
    Ok(gone)
}

fn read(tree: &RootTree, manager: Manager, unit: &str) -> Result<Option<(TreePath, Install)>, UnitError> {
    let Some(path) = find(tree, manager, unit) else { return Ok(None) };
    let Some(content) = tree.file(&path) else { return Ok(None) };
    let text = content.to_text().map_err(|source| UnitError::Read { path: path.clone(), source })?;
    Ok(Some((path, Install::parse(&text))))
}

fn link(
    tree: &mut RootTree,
    manager: Manager,
    unit: &str,
    file: &TreePath,
    install: &Install,
    origin: &Origin,
) -> Result<(), UnitError> {
    let name = match (is_template(unit), &install.default_instance) {
        (true, Some(instance)) => unit.replacen("@.", &format!("@{instance}."), 1),
        (true, None) if install.wants_instance() => {
            return Err(UnitError::Template(unit.to_owned(), unit.replacen("@.", "@NAME.", 1)));
        }
        _ => unit.to_owned(),
    };
    let config = TreePath::new(manager.config())?;
    let dependencies =
        [("wants", &install.wanted_by), ("requires", &install.required_by), ("upholds", &install.upheld_by)];
    for (kind, targets) in dependencies {
        for target in targets {
            let target = expand(target, &name);
            put_link(tree, config.join(&format!("{target}.{kind}/{name}"))?, file, origin)?;
        }
    }
    for alias in &install.alias {
        put_link(tree, config.join(&expand(alias, &name))?, file, origin)?;
    }
    Ok(())
}

fn put_link(tree: &mut RootTree, path: TreePath, target: &TreePath, origin: &Origin) -> Result<(), UnitError> {
    // A link of a package or of the recipe at this very place says the same or says better.
    if tree.get(&path).is_some() {
        return Ok(());
    }
    Ok(tree.insert_symlink(path, target.as_str(), origin.clone())?)
}

/// `%i`, `%p` and `%n` in names of the [Install] section.
fn expand(text: &str, unit: &str) -> String {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    text.replace("%i", instance).replace("%p", prefix).replace("%n", unit)
}

fn is_template(unit: &str) -> bool {
    unit.contains("@.")
}

fn template_of(unit: &str) -> Option<String> {
    let (prefix, rest) = unit.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{suffix}"))
}

fn unknown(tree: &RootTree, manager: Manager, unit: &str) -> UnitError {
    let similar = TreePath::new(manager.vendor()).ok().and_then(|folder| {
        tree.children(&folder)
            .filter(|(_, node)| !matches!(node.kind, Kind::Folder))
            .map(|(path, _)| (strsim::jaro_winkler(path.name(), unit), path.name().to_owned()))
            .filter(|(score, _)| *score > 0.85)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, name)| name)
    });
    UnitError::Unknown { unit: unit.to_owned(), similar }
}

#[cfg(test)]
mod tests;

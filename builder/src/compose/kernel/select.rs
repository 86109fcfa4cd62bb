//! Which modules stay: what the recipe names, and all that those need.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use slipway_images::content::Content;
use slipway_images::tree::{Kind, Origin, RootTree, TreePath};

use super::module::{name_of, normalise, plain_path};
use super::{InitrdModule, KernelError, Module};

/// The modules of a kernel package, not yet read.
pub struct ModuleSet {
    release: String,
    /// By normalised name.
    available: BTreeMap<String, Available>,
    builtin: BTreeMap<String, String>,
    origin: Origin,
}

struct Available {
    file: TreePath,
    /// Path below the modules' folder, with the compression suffix.
    relative: String,
    content: Content,
}

impl ModuleSet {
    /// Finds the module files below `folder` and the names in `modules.builtin`.
    pub fn scan(tree: &RootTree, folder: &TreePath, release: &str) -> Result<Self, KernelError> {
        let mut set = Self {
            release: release.to_owned(),
            available: BTreeMap::new(),
            builtin: BTreeMap::new(),
            origin: Origin::Effect("kernel".into()),
        };
        for (path, node) in tree.below(folder) {
            let relative = path.as_str().strip_prefix(folder.as_str()).unwrap_or_default().trim_start_matches('/');
            let (Some(plain), Kind::File(content)) = (plain_path(relative), &node.kind) else { continue };
            let entry = Available { file: path.clone(), relative: relative.to_owned(), content: content.clone() };
            set.available.insert(name_of(plain), entry);
            set.origin = node.origin.clone();
        }
        let builtin = folder.join("modules.builtin")?;
        if let Some(content) = tree.file(&builtin) {
            let text = content.to_text().map_err(|source| KernelError::Read { path: builtin, source })?;
            set.builtin = text.lines().map(|line| (name_of(line), line.to_owned())).collect();
        }
        Ok(set)
    }

    /// Whoever brought the modules.
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// The module files as they lie in the package.
    pub fn files(&self) -> impl Iterator<Item = &TreePath> {
        self.available.values().map(|module| &module.file)
    }

    /// Normalised names of the modules that `wanted` means: names, or globs over paths below `kernel/` (with or without
    /// the `.ko`). What is built in needs no file.
    pub fn choose<'a>(&self, wanted: impl Iterator<Item = &'a str>) -> Result<BTreeSet<String>, KernelError> {
        let mut chosen = BTreeSet::new();
        for text in wanted {
            if text.contains(['*', '?', '[', '/']) {
                chosen.extend(self.matching(text)?);
                continue;
            }
            let name = normalise(text.strip_suffix(".ko").unwrap_or(text));
            if self.available.contains_key(&name) {
                chosen.insert(name);
            } else if !self.builtin.contains_key(&name) {
                return Err(self.unknown(text));
            }
        }
        Ok(chosen)
    }

    fn matching(&self, text: &str) -> Result<Vec<String>, KernelError> {
        let pattern = glob::Pattern::new(text.strip_suffix(".ko").unwrap_or(text))
            .map_err(|source| KernelError::Pattern { pattern: text.to_owned(), source })?;
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let fits = |path: &str| {
            let below = path.strip_prefix("kernel/").unwrap_or(path);
            pattern.matches_with(below.strip_suffix(".ko").unwrap_or(below), options)
        };
        let names: Vec<String> = self
            .available
            .iter()
            .filter(|(_, module)| plain_path(&module.relative).is_some_and(fits))
            .map(|(name, _)| name.clone())
            .collect();
        if names.is_empty() && !self.builtin.values().any(|path| fits(path)) {
            return Err(self.unknown(text));
        }
        Ok(names)
    }

    fn unknown(&self, wanted: &str) -> KernelError {
        let name = normalise(wanted);
        let similar = self
            .available
            .keys()
            .chain(self.builtin.keys())
            .map(|known| (strsim::jaro_winkler(known, &name), known))
            .filter(|(score, _)| *score > 0.85)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, known)| known.clone());
        KernelError::UnknownModule { wanted: wanted.to_owned(), release: self.release.clone(), similar }
    }

    /// Reads the modules called `names` and all that they depend on. Soft dependencies come along where they are there.
    pub fn load_closure(&self, names: BTreeSet<String>) -> Result<BTreeMap<String, Module>, KernelError> {
        let mut loaded: BTreeMap<String, Module> = BTreeMap::new();
        let mut wave: BTreeSet<String> = names;
        while !wave.is_empty() {
            let batch: Vec<&Available> = wave.iter().filter_map(|name| self.available.get(name)).collect();
            let modules: Vec<Module> = batch
                .into_par_iter()
                .map(|entry| Module::load(&entry.file, &entry.relative, &entry.content))
                .collect::<Result<_, _>>()?;
            let mut next = BTreeSet::new();
            for module in &modules {
                for dependency in &module.info.depends {
                    if self.available.contains_key(dependency) {
                        next.insert(dependency.clone());
                    } else if !self.builtin.contains_key(dependency) {
                        return Err(KernelError::MissingDependency {
                            module: module.name.clone(),
                            dependency: dependency.clone(),
                        });
                    }
                }
                let soft = module.info.soft_before().into_iter().chain(module.info.soft_after());
                next.extend(soft.filter(|name| self.available.contains_key(name)));
            }
            loaded.extend(modules.into_iter().map(|module| (module.name.clone(), module)));
            wave = next.into_iter().filter(|name| !loaded.contains_key(name)).collect();
        }
        Ok(loaded)
    }
}

/// Modules that refuse to load on some machines, which boot all the same: processors without the instructions, firmware
/// without variables.
const MAY_FAIL: [&str; 2] = ["kernel/arch/", "kernel/fs/efivarfs/"];

/// `wanted` and what it needs, each once, dependencies first.
pub(super) fn load_order<'a>(
    set: &ModuleSet,
    modules: &'a BTreeMap<String, Module>,
    wanted: &[String],
) -> Result<Vec<&'a Module>, KernelError> {
    let mut order = Order { modules, done: Vec::new(), open: Vec::new() };
    for text in wanted {
        for name in set.choose(std::iter::once(text.as_str()))? {
            order.visit(&name)?;
        }
    }
    Ok(order.done.iter().filter_map(|name| modules.get(name)).collect())
}

/// The modules of the initrd, in the order of [`load_order`].
pub(super) fn initrd_order(
    set: &ModuleSet,
    modules: &BTreeMap<String, Module>,
    wanted: &[String],
) -> Result<Vec<InitrdModule>, KernelError> {
    let loads = load_order(set, modules, wanted)?;
    let mut hard: BTreeSet<String> = BTreeSet::new();
    for name in set.choose(wanted.iter().map(String::as_str))? {
        mark_hard(modules, &name, &mut hard);
    }
    Ok(loads
        .into_iter()
        .map(|module| InitrdModule {
            file_name: module.file_name().to_owned(),
            content: module.content.clone(),
            optional: !hard.contains(&module.name) || MAY_FAIL.iter().any(|folder| module.path.starts_with(folder)),
            info: module.info.clone(),
        })
        .collect())
}

fn mark_hard(modules: &BTreeMap<String, Module>, name: &str, hard: &mut BTreeSet<String>) {
    if let Some(module) = modules.get(name)
        && hard.insert(name.to_owned())
    {
        for dependency in &module.info.depends {
            mark_hard(modules, dependency, hard);
        }
    }
}

struct Order<'a> {
    modules: &'a BTreeMap<String, Module>,
    done: Vec<String>,
    open: Vec<String>,
}

impl Order<'_> {
    fn visit(&mut self, name: &str) -> Result<(), KernelError> {
        let Some(module) = self.modules.get(name) else { return Ok(()) };
        if self.done.iter().any(|done| done == name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) {
            return Err(KernelError::Cycle(name.to_owned()));
        }
        self.open.push(name.to_owned());
        for before in module.info.soft_before() {
            // Soft dependencies may form rings (a module and its accelerator); only hard ones can't be broken up.
            if !self.open.contains(&before) {
                self.visit(&before)?;
            }
        }
        for dependency in &module.info.depends {
            self.visit(dependency)?;
        }
        self.open.pop();
        self.done.push(name.to_owned());
        for after in module.info.soft_after() {
            if !self.open.contains(&after) {
                self.visit(&after)?;
            }
        }
        Ok(())
    }
}

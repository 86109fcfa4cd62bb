//! The order of modules and of their dependencies, as depmod has it.

use std::collections::BTreeMap;

use crate::compose::kernel::{KernelError, Module};

/// Modules in the order of `modules.order`, with a topological rank each.
pub(super) struct Ordered<'a> {
    modules: Vec<&'a Module>,
    /// Direct dependencies of each, as places in `modules`.
    dependencies: Vec<Vec<usize>>,
    /// Users come before what they use: the higher, the earlier it must be loaded.
    rank: Vec<usize>,
    place: BTreeMap<&'a str, usize>,
}

impl<'a> Ordered<'a> {
    /// Sorts `modules`: those that `order` lists, in its order, then the others by path.
    pub(super) fn new(by_name: &'a BTreeMap<String, Module>, order: &str) -> Result<Self, KernelError> {
        let listed: BTreeMap<&str, usize> = order.lines().enumerate().map(|(line, path)| (path, line)).collect();
        let mut modules: Vec<&Module> = by_name.values().collect();
        modules.sort_by_key(|module| (listed.get(module.path.as_str()).copied().unwrap_or(usize::MAX), &module.path));
        let place: BTreeMap<&str, usize> =
            modules.iter().enumerate().map(|(index, module)| (module.name.as_str(), index)).collect();
        let dependencies: Vec<Vec<usize>> = modules
            .iter()
            .map(|module| module.info.depends.iter().filter_map(|name| place.get(name.as_str()).copied()).collect())
            .collect();
        let rank = ranks(&modules, &dependencies)?;
        Ok(Self { modules, dependencies, rank, place })
    }

    /// Each module with its priority in the indexes.
    pub(super) fn modules(&self) -> impl Iterator<Item = (u32, &'a Module)> + '_ {
        (0..).zip(self.modules.iter().copied())
    }

    /// Everything that must be loaded before `module`, the last one first.
    pub(super) fn all_dependencies(&self, module: &Module) -> Vec<&'a Module> {
        let Some(start) = self.place.get(module.name.as_str()) else { return Vec::new() };
        let mut found: Vec<usize> = Vec::new();
        let mut pending = self.dependencies[*start].clone();
        while let Some(next) = pending.pop() {
            if !found.contains(&next) {
                found.push(next);
                pending.extend(&self.dependencies[next]);
            }
        }
        found.sort_by_key(|index| self.rank[*index]);
        found.into_iter().map(|index| self.modules[index]).collect()
    }
}

/// A topological order by repeatedly taking a module that nobody left uses.
fn ranks(modules: &[&Module], dependencies: &[Vec<usize>]) -> Result<Vec<usize>, KernelError> {
    let mut users = vec![0_usize; modules.len()];
    for dependency in dependencies.iter().flatten() {
        users[*dependency] += 1;
    }
    let mut roots: Vec<usize> = (0..modules.len()).filter(|index| users[*index] == 0).collect();
    let mut rank = vec![usize::MAX; modules.len()];
    let mut next = 0;
    while let Some(index) = roots.pop() {
        rank[index] = next;
        next += 1;
        for dependency in &dependencies[index] {
            users[*dependency] -= 1;
            if users[*dependency] == 0 {
                roots.push(*dependency);
            }
        }
    }
    match rank.iter().position(|rank| *rank == usize::MAX) {
        None => Ok(rank),
        Some(index) => Err(KernelError::Cycle(modules[index].name.clone())),
    }
}

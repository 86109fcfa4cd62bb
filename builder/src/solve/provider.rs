//! Debian's relations, translated to what the solver understands.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Requirement, SolvableId, SolverCache, StringId,
    VersionSetId, VersionSetUnionId,
};

use super::{ByName, Request, SolveError, Wish, explain};
use crate::apt::{LOCAL, PackageRecord};
use crate::deb::relation::{Comparison, Relation, parse_dependencies, parse_relations};
use crate::deb::version::DebVersion;

/// Part of a dependency: packages of one name that satisfy it, and the relation as a person reads it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    name: String,
    pub(super) members: Vec<SolvableId>,
    /// What a person reads behind the name: `(>= 1.0)`.
    shown: String,
}

/// All packages that may be installed, as the solver asks for them.
pub(super) struct Universe<'a> {
    records: &'a [PackageRecord],
    by_name: ByName<'a>,
    /// Who provides a name: record, and the version provided if any. Sorted by package name.
    providers: HashMap<&'a str, Vec<(u32, Option<DebVersion>)>>,
    /// Names that are dropped, and what they provide.
    satisfied: HashSet<&'a str>,
    dropped: HashSet<&'a str>,
    kept: &'a BTreeMap<String, String>,
    recommends: bool,
    interned: RefCell<Interned>,
}

#[derive(Default)]
struct Interned {
    names: Vec<String>,
    name_ids: HashMap<String, u32>,
    sets: Vec<Set>,
    unions: Vec<Vec<VersionSetId>>,
    strings: Vec<String>,
}

#[derive(Clone)]
struct Set {
    name: NameId,
    members: HashSet<SolvableId>,
    shown: String,
}

impl<'a> Universe<'a> {
    pub(super) fn new(records: &'a [PackageRecord], request: &'a Request, kept: &'a BTreeMap<String, String>) -> Self {
        let dropped: HashSet<&str> = request.drop.iter().map(String::as_str).collect();
        let mut satisfied = dropped.clone();
        let (mut by_name, mut providers) = (ByName::new(), HashMap::<_, Vec<_>>::new());
        for (record, id) in records.iter().zip(0_u32..) {
            let is_dropped = dropped.contains(&*record.name);
            // A field that can't be read provides nothing; asking for it later says so.
            for relation in parse_relations(&record.provides).unwrap_or_default() {
                if is_dropped {
                    satisfied.insert(relation.name);
                    continue;
                }
                let version = match relation.version {
                    Some((Comparison::Equal, version)) => Some(version),
                    _ => None,
                };
                providers.entry(relation.name).or_default().push((id, version));
            }
            if is_dropped {
                continue;
            }
            let same: &mut Vec<u32> = by_name.entry(&*record.name).or_default();
            let known = same.iter().any(|other| {
                let other = &records[*other as usize];
                other.version == record.version && other.suite == record.suite
            });
            if !known {
                same.push(id);
            }
        }
        for list in providers.values_mut() {
            list.sort_by(|(a, _), (b, _)| records[*a as usize].name.cmp(&records[*b as usize].name).then(a.cmp(b)));
        }
        Self {
            records,
            by_name,
            providers,
            satisfied,
            dropped,
            kept,
            recommends: request.recommends,
            interned: RefCell::default(),
        }
    }

    pub(super) fn record(&self, index: usize) -> &'a PackageRecord {
        &self.records[index]
    }

    /// The packages that fulfil a wish.
    pub(super) fn root(&self, wish: &Wish) -> Result<Vec<Part>, SolveError> {
        if self.dropped.contains(wish.name.as_str()) {
            return Err(SolveError::Dropped(wish.name.clone()));
        }
        let shown = match (&wish.version, &wish.suite) {
            (Some(version), _) => format!("(= {version}, asked for)"),
            (None, Some(suite)) => format!("(from {suite}, asked for)"),
            (None, None) => "(asked for)".to_owned(),
        };
        let real = self.by_name.get(wish.name.as_str()).map_or(&[][..], Vec::as_slice);
        if real.is_empty() {
            let mut providers: Vec<_> =
                self.providers_of(&wish.name).map(|(id, _)| self.record(*id as usize).name.to_string()).collect();
            providers.dedup();
            return match providers.len() {
                0 => Err(self.unknown(&wish.name)),
                1 if wish.version.is_none() && wish.suite.is_none() => {
                    Ok(self.parts(&Relation { name: &wish.name, architecture: None, version: None }))
                }
                _ => Err(SolveError::Virtual { name: wish.name.clone(), providers }),
            };
        }
        let fits = |id: &&u32| {
            let record = self.record(**id as usize);
            wish.version.as_ref().is_none_or(|version| *version == record.version)
                && wish.suite.as_ref().is_none_or(|suite| **suite == *record.suite)
        };
        let members: Vec<_> = real.iter().filter(fits).map(|id| SolvableId::from_raw(*id)).collect();
        if members.is_empty() {
            let there = real.iter().map(|id| self.record(*id as usize));
            let there = there.map(|record| format!("{} in {}", record.version, record.suite)).collect();
            return Err(SolveError::NoSuchVersion { wish: wish.to_string(), there });
        }
        Ok(vec![Part { name: wish.name.clone(), members, shown }])
    }

    pub(super) fn unknown(&self, name: &str) -> SolveError {
        let near = explain::near(name, self.by_name.keys().copied());
        SolveError::Unknown { name: name.to_owned(), near }
    }

    fn providers_of(&self, name: &str) -> impl Iterator<Item = &(u32, Option<DebVersion>)> {
        self.providers.get(name).into_iter().flatten()
    }

    /// What satisfies a relation: real packages first, then those that provide it, by name.
    fn parts(&self, relation: &Relation<'_>) -> Vec<Part> {
        let holds = |version: &DebVersion| {
            relation.version.as_ref().is_none_or(|(comparison, to)| comparison.holds(version, to))
        };
        let real = self.by_name.get(relation.name).into_iter().flatten();
        let members = real.filter(|id| holds(&self.record(**id as usize).version));
        let members = members.map(|id| SolvableId::from_raw(*id)).collect();
        let mut parts = vec![Part { name: relation.name.to_owned(), members, shown: constraint(relation) }];
        for (id, version) in self.providers_of(relation.name) {
            // Policy 7.5: a versioned relation is satisfied by a versioned provision only.
            let fits = relation.version.is_none() || version.as_ref().is_some_and(holds);
            let provider = &*self.record(*id as usize).name;
            if !fits || provider == relation.name || !self.is_candidate(*id) {
                continue;
            }
            let member = SolvableId::from_raw(*id);
            match parts.last_mut().filter(|part| part.name == provider) {
                Some(part) => part.members.push(member),
                None => parts.push(Part {
                    name: provider.to_owned(),
                    members: vec![member],
                    shown: format!("(for {relation})"),
                }),
            }
        }
        if parts.len() > 1 && parts[0].members.is_empty() {
            parts.remove(0);
        }
        parts
    }

    /// Whether a record stands for itself, and not for an equal one before it.
    fn is_candidate(&self, id: u32) -> bool {
        self.by_name.get(&*self.record(id as usize).name).is_some_and(|ids| ids.contains(&id))
    }

    /// The dependencies of a package: one list of parts for each thing that must be there. The error is a field that
    /// can't be read.
    fn dependencies(&self, record: &PackageRecord) -> Result<Vec<Vec<Part>>, String> {
        let mut groups = Vec::new();
        let fields = [(&record.pre_depends, true), (&record.depends, true), (&record.recommends, false)];
        for (field, must) in fields {
            if !must && !self.recommends {
                continue;
            }
            for alternatives in parse_dependencies(field).map_err(|error| error.to_string())? {
                if alternatives.iter().any(|relation| self.satisfied.contains(relation.name)) {
                    continue;
                }
                let parts: Vec<_> = alternatives.iter().flat_map(|relation| self.parts(relation)).collect();
                if must || parts.iter().any(|part| !part.members.is_empty()) {
                    groups.push(parts);
                }
            }
        }
        Ok(groups)
    }

    /// Like [`Universe::dependencies`], for a package that was chosen, with the members of each part in order of choice.
    pub(super) fn groups(&self, index: usize) -> Vec<Vec<Part>> {
        let mut groups = self.dependencies(self.record(index)).unwrap_or_default();
        for part in groups.iter_mut().flatten() {
            part.members = self.sorted(&part.members);
        }
        groups
    }

    /// For each package name that a record must not be beside: the packages of that name that are still allowed.
    fn constraints(&self, record: &PackageRecord) -> Result<Vec<Part>, String> {
        let mut hit: BTreeMap<&str, (HashSet<SolvableId>, Vec<String>)> = BTreeMap::new();
        for field in [&record.conflicts, &record.breaks] {
            for relation in parse_relations(field).map_err(|error| error.to_string())? {
                for part in self.parts(&relation) {
                    // Policy 7.4: a package doesn't conflict with itself, nor with what it provides.
                    if part.members.is_empty() || part.name == *record.name {
                        continue;
                    }
                    let name = &*self.record(part.members[0].into_raw() as usize).name;
                    let (members, reasons) = hit.entry(name).or_default();
                    members.extend(part.members);
                    let as_itself = name == relation.name;
                    reasons.push(if as_itself { constraint(&relation) } else { format!("(as {relation})") });
                }
            }
        }
        let allowed = hit.into_iter().map(|(name, (members, reasons))| {
            let others = self.by_name.get(name).into_iter().flatten().map(|id| SolvableId::from_raw(*id));
            let others = others.filter(|id| !members.contains(id)).collect();
            Part { name: name.to_owned(), members: others, shown: reasons.join(", ") }
        });
        Ok(allowed.collect())
    }

    pub(super) fn requirement(&self, parts: &[Part]) -> Requirement {
        let mut interned = self.interned.borrow_mut();
        let sets: Vec<_> = parts.iter().map(|part| interned.set(part)).collect();
        match sets[..] {
            [set] => set.into(),
            _ => interned.union(sets).into(),
        }
    }

    /// Candidates, the one to try first first.
    pub(super) fn sorted(&self, members: &[SolvableId]) -> Vec<SolvableId> {
        let mut members = members.to_vec();
        members.sort_by(|a, b| self.rank(*b).cmp(&self.rank(*a)).then(a.into_raw().cmp(&b.into_raw())));
        members
    }

    fn rank(&self, id: SolvableId) -> (bool, bool, &DebVersion) {
        let record = self.record(id.into_raw() as usize);
        let kept = self.kept.get(&*record.name).is_some_and(|version| **version == *record.version.as_str());
        (*record.repository == *LOCAL, kept, &record.version)
    }
}

fn constraint(relation: &Relation<'_>) -> String {
    match &relation.version {
        Some((comparison, version)) => format!("({comparison} {version})"),
        None => "(any version)".to_owned(),
    }
}

impl Interned {
    fn name(&mut self, name: &str) -> NameId {
        if let Some(id) = self.name_ids.get(name) {
            return NameId::from_raw(*id);
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.name_ids.insert(name.to_owned(), id);
        NameId::from_raw(id)
    }

    fn set(&mut self, part: &Part) -> VersionSetId {
        let name = self.name(&part.name);
        let id = VersionSetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        self.sets.push(Set { name, members: part.members.iter().copied().collect(), shown: part.shown.clone() });
        id
    }

    fn union(&mut self, sets: Vec<VersionSetId>) -> VersionSetUnionId {
        let id = VersionSetUnionId(u32::try_from(self.unions.len()).unwrap_or(u32::MAX));
        self.unions.push(sets);
        id
    }

    fn string(&mut self, text: String) -> StringId {
        let id = StringId(u32::try_from(self.strings.len()).unwrap_or(u32::MAX));
        self.strings.push(text);
        id
    }
}

impl Interner for Universe<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        let record = self.record(solvable.into_raw() as usize);
        format!("{} {}", record.name, record.version)
    }

    fn display_merged_solvables(&self, solvables: &[SolvableId]) -> impl Display + '_ {
        let mut versions: Vec<_> = solvables.iter().map(|id| &self.record(id.into_raw() as usize).version).collect();
        versions.sort();
        versions.dedup();
        let versions: Vec<_> = versions.into_iter().map(DebVersion::as_str).collect();
        let name = solvables.first().map(|id| &*self.record(id.into_raw() as usize).name).unwrap_or_default();
        format!("{name} {}", versions.join(" | "))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.interned.borrow().names[name.into_raw() as usize].clone()
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        self.interned.borrow().sets[version_set.0 as usize].shown.clone()
    }

    fn display_string(&self, string_id: StringId) -> impl Display + '_ {
        self.interned.borrow().strings[string_id.0 as usize].clone()
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.interned.borrow().sets[version_set.0 as usize].name
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        self.interned.borrow_mut().name(&self.record(solvable.into_raw() as usize).name)
    }

    fn version_sets_in_union(&self, version_set_union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.interned.borrow().unions[version_set_union.0 as usize].clone().into_iter()
    }

    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        // No requirement here has a condition, so the solver has no id to ask for.
        unreachable!("condition {condition:?} was never made")
    }
}

impl DependencyProvider for Universe<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let interned = self.interned.borrow();
        let members = &interned.sets[version_set.0 as usize].members;
        candidates.iter().copied().filter(|id| members.contains(id) != inverse).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let name = self.interned.borrow().names[name.into_raw() as usize].clone();
        let ids = self.by_name.get(name.as_str())?;
        let candidates = ids.iter().map(|id| SolvableId::from_raw(*id)).collect();
        let hint_dependencies_available = HintDependenciesAvailable::None;
        Some(Candidates { candidates, hint_dependencies_available, ..Candidates::default() })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        let sorted = self.sorted(solvables);
        solvables.copy_from_slice(&sorted);
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let record = self.record(solvable.into_raw() as usize);
        let read = self.dependencies(record).and_then(|groups| Ok((groups, self.constraints(record)?)));
        match read {
            Ok((groups, excluded)) => {
                let requirements = groups.iter().map(|group| ConditionalRequirement::from(self.requirement(group)));
                let requirements = requirements.collect();
                let mut interned = self.interned.borrow_mut();
                let constrains = excluded.iter().map(|part| interned.set(part)).collect();
                Dependencies::Known(KnownDependencies { requirements, constrains })
            }
            Err(reason) => Dependencies::Unknown(self.interned.borrow_mut().string(reason)),
        }
    }
}

//! What a finished root refers to and does not have: found here and not by the machine that boots it.
//!
//! Leaving a package or a path out is safe only if nothing needs it. So every reference that can be read without running
//! anything is followed: libraries and loaders of ELF files, interpreters of scripts, symbolic links, programs of units,
//! units that enabled units require, PAM modules, D-Bus services, udev rules.
//!
//! The files are those of packages and of the recipe, so they are untrusted: no length in them is believed, reads are
//! capped, and what can't be parsed is left alone.

mod elf;
mod follow;
mod programs;
mod units;

use std::fmt;
use std::io;

use rayon::prelude::*;
use slipway_images::content::Content;
use slipway_images::tree::{Kind, Node, Origin, RootTree, TreePath};

use follow::{Follow, follow};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that will be used can't work: the build stops.
    Error,
    /// Something can't work that nothing is known to use.
    Warning,
    /// Something optional isn't there.
    Note,
}

/// A reference to something that isn't there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What refers to it.
    pub path: TreePath,
    /// What is missing, as a phrase: `needs the library libfoo.so.1, which isn't in the image`.
    pub what: String,
    /// Who brought what refers to it.
    pub origin: Origin,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, origin, .. } = self;
        match origin {
            Origin::Package(name) => write!(f, "`{path}` (package {name}) {what}"),
            Origin::Effect(name) => write!(f, "`{path}` (effect {name}) {what}"),
            Origin::Recipe => write!(f, "`{path}` (recipe) {what}"),
        }
    }
}

/// Why a root can't be checked.
#[derive(Debug, thiserror::Error)]
#[error("can't read `{path}`")]
pub struct ClosureError {
    path: TreePath,
    source: io::Error,
}

/// Something that stops the build.
#[derive(Debug, thiserror::Error)]
pub struct BrokenRoot(pub Vec<Finding>);

impl fmt::Display for BrokenRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "{count} thing{} in the image can't work:", if count == 1 { "" } else { "s" })?;
        for finding in &self.0 {
            writeln!(f, "    {finding}")?;
        }
        write!(f, "leave them out in [prune] drop, or add what they need in [packages] add")
    }
}

/// All findings over `tree`, the worst first, then by path.
pub fn check(tree: &RootTree) -> Result<Vec<Finding>, ClosureError> {
    let nodes: Vec<(&TreePath, &Node)> = tree.iter().collect();
    let libraries = elf::Libraries::of(tree);
    let findings: Result<Vec<Vec<Finding>>, ClosureError> = nodes
        .par_iter()
        .map(|(path, node)| {
            let error = |source| ClosureError { path: (*path).clone(), source };
            match &node.kind {
                Kind::File(content) => check_file(tree, &libraries, path, node, content).map_err(error),
                Kind::Symlink(_) => Ok(check_link(tree, path, node).into_iter().collect()),
                _ => Ok(Vec::new()),
            }
        })
        .collect();
    let mut findings: Vec<Finding> = findings?.into_iter().flatten().collect();
    findings.extend(units::check(tree)?);
    findings.extend(programs::check(tree)?);
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Splits off what stops the build.
pub fn stop_on_errors(findings: Vec<Finding>) -> Result<Vec<Finding>, BrokenRoot> {
    let (errors, rest): (Vec<Finding>, Vec<Finding>) =
        findings.into_iter().partition(|finding| finding.severity == Severity::Error);
    if errors.is_empty() { Ok(rest) } else { Err(BrokenRoot(errors)) }
}

fn check_file(
    tree: &RootTree,
    libraries: &elf::Libraries,
    path: &TreePath,
    node: &Node,
    content: &Content,
) -> io::Result<Vec<Finding>> {
    let mut start = [0; 4];
    let len = usize::try_from(content.len()).unwrap_or(usize::MAX).min(start.len());
    content.read_exact_at(&mut start[..len], 0)?;
    match &start {
        b"\x7fELF" => elf::check(tree, libraries, path, node, content),
        [b'#', b'!', ..] if node.meta.mode & 0o111 != 0 => {
            Ok(programs::check_interpreter(tree, path, node, content)?.into_iter().collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Where a link that leads nowhere is in the way of something: programs, libraries and units.
const USED: [&str; 7] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/libexec",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/systemd",
    "/etc/systemd",
    "/etc/alternatives",
];

fn is_used(path: &TreePath) -> bool {
    USED.iter().any(|folder| TreePath::new(folder).is_ok_and(|folder| path.is_within(&folder)))
}

fn check_link(tree: &RootTree, path: &TreePath, node: &Node) -> Option<Finding> {
    let missing = match follow(tree, path) {
        Follow::Found(_) | Follow::Outside => return None,
        Follow::Missing(missing) => format!("is a link to `{missing}`, which isn't in the image"),
        Follow::Circle => "is a link that leads in a circle".to_owned(),
    };
    let severity = if is_used(path) { Severity::Error } else { Severity::Warning };
    Some(Finding { severity, path: path.clone(), what: missing, origin: node.origin.clone() })
}

#[cfg(test)]
mod tests;

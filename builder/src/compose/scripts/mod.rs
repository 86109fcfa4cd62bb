//! What maintainer scripts would have done, and who does it instead.
//!
//! No script ever runs here. Each is taken apart into what debhelper added, whose effects are known by tool, and what a
//! person wrote, which is known by package and digest: somebody read it, and the table says which effect does the same
//! or why nothing need be done. What nobody has read stops the build, unless the recipe accepts that very script.
//!
//! `triggers` need no verdict of their own: all they do is call a `postinst` again, and that has one.

mod known;
mod residual;
mod sections;
mod tools;

use std::fmt;

use slipway_images::digest::Digest;

pub use sections::{units_to_enable, user_units_to_enable};

use crate::deb::Package;
use crate::recipe::AcceptedScript;
use known::Known;
use residual::Residual;

/// The lines of an unrecognised script that an error shows.
const SHOWN_LINES: usize = 12;

/// What became of one script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The package.
    pub package: String,
    /// `preinst`, `postinst`, `prerm`, `postrm`, `config`.
    pub script: String,
    /// SHA-256 of the whole script.
    pub sha256: Digest,
    /// Its class.
    pub class: Class,
    /// The debhelper tools that wrote parts of it, with what stands in for each; sorted, each once.
    pub tools: Vec<(&'static str, &'static str)>,
}

/// Why it is right not to run a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// It does nothing.
    Empty,
    /// Everything in it is debhelper's.
    DebhelperOnly,
    /// It would never run on a fresh installation, or only asks questions.
    NotRun,
    /// The named effect does what it does.
    Modelled {
        /// Name of the effect.
        effect: &'static str,
        /// What the script does.
        why: &'static str,
    },
    /// It does nothing that an image needs.
    Harmless {
        /// What it does.
        why: &'static str,
    },
    /// The recipe accepts it.
    Accepted {
        /// The reason in the recipe.
        reason: String,
    },
}

impl Class {
    /// One word for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::DebhelperOnly => "debhelper",
            Self::NotRun => "not-run",
            Self::Modelled { .. } => "modelled",
            Self::Harmless { .. } => "harmless",
            Self::Accepted { .. } => "accepted",
        }
    }

    /// Why it is right not to run it, as a phrase.
    pub fn reason(&self) -> String {
        match self {
            Self::Empty => "does nothing".to_owned(),
            Self::DebhelperOnly => "only debhelper's parts".to_owned(),
            Self::NotRun => "runs on upgrade or removal only, or only asks questions".to_owned(),
            Self::Modelled { effect, why } => format!("{why}: effect {effect}"),
            Self::Harmless { why } => (*why).to_owned(),
            Self::Accepted { reason } => format!("accepted by the recipe: {reason}"),
        }
    }
}

/// A script that nobody has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrecognised {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The script.
    pub script: String,
    /// SHA-256 of the whole script.
    pub sha256: Digest,
    /// SHA-256 of what is left of it once debhelper's parts are gone.
    pub residual: Digest,
    /// The first lines of that.
    pub lines: Vec<String>,
    /// How many lines it has.
    pub line_count: usize,
    /// What is known of an earlier text of it.
    pub changed: Option<&'static str>,
}

/// Scripts that nothing models stop the build.
#[derive(Debug, thiserror::Error)]
pub struct UnrecognisedScripts(pub Vec<Unrecognised>);

impl fmt::Display for UnrecognisedScripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "{count} maintainer script{} that no effect models", if count == 1 { "" } else { "s" })?;
        for one in &self.0 {
            write!(f, "\n{one}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Unrecognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, version, script, sha256, residual, .. } = self;
        match self.changed {
            Some(known) => writeln!(f, "`{script}` of {package} {version} has changed; what was known of it: {known}")?,
            None => writeln!(f, "`{script}` of {package} {version} is not known")?,
        }
        writeln!(f, "What it does, besides what debhelper added ({residual}):")?;
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        if self.line_count > self.lines.len() {
            writeln!(f, "    … {} more lines", self.line_count - self.lines.len())?;
        }
        writeln!(
            f,
            "Read it. What the image needs of it goes into the recipe as [[user]], [[group]], [[directory]], [[file]], \
             [[link]] or [units]; then say there that the script needn't run:\n"
        )?;
        writeln!(f, "    [[accept-script]]")?;
        writeln!(f, "    package = \"{package}\"")?;
        writeln!(f, "    script = \"{script}\"")?;
        writeln!(f, "    sha256 = \"{sha256}\"")?;
        writeln!(f, "    reason = \"…\"")
    }
}

/// What became of all scripts of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptReport {
    /// One for each script, by package and script.
    pub verdicts: Vec<Verdict>,
    /// Acceptances in the recipe that no script of the build needs, as `PACKAGE SCRIPT`.
    pub unneeded: Vec<String>,
}

/// Classifies every script of `packages`. Fails with all that nobody has read.
pub fn check(packages: &[Package], accepted: &[AcceptedScript]) -> Result<ScriptReport, UnrecognisedScripts> {
    let mut report = ScriptReport::default();
    let mut unrecognised = Vec::new();
    let mut needed = vec![false; accepted.len()];
    for package in packages {
        for (script, text) in &package.scripts {
            let sha256 = Digest::of(text.as_bytes());
            let parts = sections::split(text);
            let class = match recognise(package, script, text, &parts) {
                Ok(class) => class,
                Err(unknown) => {
                    let acceptance = accepted
                        .iter()
                        .position(|one| one.package == *package.name && one.script == *script && one.sha256 == sha256);
                    let Some(index) = acceptance else {
                        unrecognised.push(*unknown);
                        continue;
                    };
                    needed[index] = true;
                    Class::Accepted { reason: accepted[index].reason.clone() }
                }
            };
            let mut tools: Vec<(&str, &str)> =
                parts.sections.iter().filter_map(tools::find).map(|tool| (tool.name, tool.instead)).collect();
            tools.sort_unstable();
            tools.dedup();
            report.verdicts.push(Verdict {
                package: package.name.to_string(),
                script: script.clone(),
                sha256,
                class,
                tools,
            });
        }
    }
    if !unrecognised.is_empty() {
        unrecognised.sort_by(|a: &Unrecognised, b| (&a.package, &a.script).cmp(&(&b.package, &b.script)));
        return Err(UnrecognisedScripts(unrecognised));
    }
    report.verdicts.sort_by(|a, b| (&a.package, &a.script).cmp(&(&b.package, &b.script)));
    let unneeded = accepted.iter().zip(needed).filter(|(_, needed)| !needed);
    report.unneeded = unneeded.map(|(one, _)| format!("{} {}", one.package, one.script)).collect();
    Ok(report)
}

fn recognise(package: &Package, script: &str, text: &str, parts: &sections::Parts) -> Result<Class, Box<Unrecognised>> {
    if !matches!(script, "preinst" | "postinst") {
        return Ok(Class::NotRun);
    }
    let residual = Residual::of(parts, &package.name, &package.version);
    if residual.is_empty() {
        return Ok(if parts.sections.is_empty() { Class::Empty } else { Class::DebhelperOnly });
    }
    let digest = residual.digest();
    match known::find(&package.name, script, digest) {
        Known::Exactly(class) => Ok(class),
        other => Err(Box::new(Unrecognised {
            package: package.name.to_string(),
            version: package.version.clone(),
            script: script.to_owned(),
            sha256: Digest::of(text.as_bytes()),
            residual: digest,
            line_count: residual.lines.len(),
            lines: residual.lines.into_iter().take(SHOWN_LINES).collect(),
            changed: match other {
                Known::OtherText(why) => Some(why),
                _ => None,
            },
        })),
    }
}

#[cfg(test)]
mod tests;

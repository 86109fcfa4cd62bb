//! `slipway diff A B`: what changed between two builds.

use std::fmt::Write as _;

use slipway_builder::report::bytes;
use slipway_builder::store::{Change, Changed, Store, TreeDiff};

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Shows which packages and files two builds differ in, and by how much.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The older build: a version, ID@VERSION, or a commit as `slipway log` shows it
    old: String,
    /// The newer build
    new: String,
    /// Print every file, not only the 20 largest differences
    #[arg(long)]
    all: bool,
}

impl Args {
    /// Prints the difference.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let store = Store::open(&context.out().join("store"))?;
        let diff = store.diff(&self.old, &self.new)?;
        if context.json() {
            context.print_json(&diff)?;
        } else {
            context.print(&text(diff, self.all)?)?;
        }
        Ok(ExitCode::Success)
    }
}

const SHOWN: usize = 20;

fn text(diff: TreeDiff, all: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if diff.packages.is_empty() && diff.files.is_empty() {
        writeln!(text, "no difference")?;
        return Ok(text);
    }
    match diff.packages.len() {
        0 => writeln!(text, "packages: the same")?,
        count => writeln!(text, "packages: {count} differ")?,
    }
    for Changed { name, change } in &diff.packages {
        match change {
            Change::Added(version) => writeln!(text, "  + {name} {version}")?,
            Change::Removed(version) => writeln!(text, "  - {name} {version}")?,
            Change::Changed(old, new) => writeln!(text, "  ~ {name} {old} -> {new}")?,
        }
    }
    let sum = |pick: fn(&Change<u64>) -> u64| diff.files.iter().map(|file| pick(&file.change)).sum::<u64>();
    let before = sum(|change| match change {
        Change::Removed(size) | Change::Changed(size, _) => *size,
        Change::Added(_) => 0,
    });
    let after = sum(|change| match change {
        Change::Added(size) | Change::Changed(_, size) => *size,
        Change::Removed(_) => 0,
    });
    writeln!(text, "files: {} differ, {} before, {} after", diff.files.len(), bytes(before), bytes(after))?;
    let mut files = diff.files;
    let weight = |change: &Change<u64>| match change {
        Change::Added(size) | Change::Removed(size) => *size,
        Change::Changed(old, new) => *old.max(new),
    };
    let hidden = if all {
        0
    } else {
        files.sort_by(|a, b| weight(&b.change).cmp(&weight(&a.change)).then_with(|| a.name.cmp(&b.name)));
        files.len().saturating_sub(SHOWN)
    };
    for Changed { name, change } in files.iter().take(files.len() - hidden) {
        match change {
            Change::Added(size) => writeln!(text, "  + {name}  {}", bytes(*size))?,
            Change::Removed(size) => writeln!(text, "  - {name}  {}", bytes(*size))?,
            Change::Changed(old, new) if old == new => writeln!(text, "  ~ {name}  {}", bytes(*new))?,
            Change::Changed(old, new) => writeln!(text, "  ~ {name}  {} -> {}", bytes(*old), bytes(*new))?,
        }
    }
    if hidden > 0 {
        writeln!(text, "  and {hidden} smaller ones; --all shows them")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_largest_differences_come_first_and_the_rest_is_counted() {
        let files = (0..25)
            .map(|index| Changed { name: format!("/f{index:02}"), change: Change::Changed(index, index * 1000) })
            .collect();
        let packages =
            vec![Changed { name: "libc6".into(), change: Change::Changed("2.41-1".into(), "2.41-2".into()) }];
        let text = text(TreeDiff { packages, files }, false).unwrap();
        assert!(text.contains("~ libc6 2.41-1 -> 2.41-2"), "{text}");
        assert!(text.contains("and 5 smaller ones"), "{text}");
        assert!(text.find("/f24").unwrap() < text.find("/f23").unwrap(), "{text}");
        assert!(!text.contains("/f01 "), "{text}");
    }
}

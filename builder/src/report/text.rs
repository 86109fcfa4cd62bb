//! `report.txt`

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{PrunedPath, Report};

/// A size for a person: `12.6 MB`. Powers of ten, as disks and downloads are sold.
pub fn bytes(count: u64) -> String {
    let scaled = |unit: u64| {
        let tenths = (u128::from(count) * 10 + u128::from(unit) / 2) / u128::from(unit);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{} kB", scaled(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", scaled(1_000_000)),
        _ => format!("{} GB", scaled(1_000_000_000)),
    }
}

/// The report as plain text, 100 columns or a little more.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = write_all(report, &mut out);
    out
}

fn write_all(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "{} {}: {}", report.id, report.version, report.description)?;
    writeln!(out, "kernel {}, root hash {}, commit {}", report.kernel, report.root_hash, report.commit)?;

    writeln!(out, "\nParts")?;
    for (name, size) in &report.parts {
        writeln!(out, "{:>12}  {name}", bytes(*size))?;
    }
    writeln!(out, "\nTime by phase")?;
    for (phase, ms) in &report.timings {
        writeln!(out, "{:>10}.{:03} s  {phase}", ms / 1000, ms % 1000)?;
    }
    if let Some(boot) = &report.boot {
        writeln!(out, "\nTest boot ({}), from power-on", boot.accelerator)?;
        for (milestone, ms) in &boot.milestones {
            writeln!(out, "{:>10}.{:03} s  {milestone}", ms / 1000, ms % 1000)?;
        }
        writeln!(out, "\nUnits that took longest to start")?;
        for unit in &boot.units {
            let ms = unit.active_ms.saturating_sub(unit.started_ms);
            writeln!(out, "{:>10}.{:03} s  {}", ms / 1000, ms % 1000, unit.name)?;
        }
    }
    writeln!(out, "\nRoot by origin: {} in all", bytes(report.tree.bytes))?;
    for package in &report.packages {
        writeln!(
            out,
            "{:>12}  {:>5} files  {} {}",
            bytes(package.bytes),
            package.files,
            package.name,
            package.version
        )?;
    }
    writeln!(out, "\nMaintainer scripts: none was run; this is why that is fine")?;
    for note in &report.scripts {
        writeln!(out, "  {} {} [{}]: {}", note.package, note.script, note.class, note.reason)?;
    }
    if !report.findings.is_empty() {
        writeln!(out, "\nFound by the checks, none of it an error")?;
        for finding in &report.findings {
            writeln!(out, "  {finding}")?;
        }
    }
    write_pruned(&report.pruned, out)
}

/// What each rule saved, then every path.
fn write_pruned(pruned: &[PrunedPath], out: &mut String) -> std::fmt::Result {
    let mut rules: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for path in pruned {
        let (places, saved) = rules.entry(&path.rule).or_default();
        *places += 1;
        *saved += path.bytes;
    }
    let saved: u64 = pruned.iter().map(|path| path.bytes).sum();
    writeln!(out, "\nPruned: {} in {} places, by rule", bytes(saved), pruned.len())?;
    let mut rules: Vec<_> = rules.into_iter().collect();
    rules.sort_by_key(|(rule, (_, saved))| (std::cmp::Reverse(*saved), *rule));
    for (rule, (places, saved)) in rules {
        writeln!(out, "{:>12}  {places:>5} places  {rule}", bytes(saved))?;
    }
    writeln!(out, "\nPruned, by path")?;
    for path in pruned {
        writeln!(out, "{:>12}  {}  (rule {})", bytes(path.bytes), path.path, path.rule)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_a_person_says_them() {
        let shown = [0, 999, 1_000, 12_649, 12_650_000, 999_949_999, 3_000_000_000].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "12.6 kB", "12.7 MB", "999.9 MB", "3.0 GB"]);
    }

    #[test]
    fn the_text_names_what_was_not_run_and_what_was_pruned() {
        let text = text(&super::super::sample());
        for expected in [
            "docker.io postinst [modelled]: group docker",
            "/usr/share/doc/x  (rule",
            "300.0 kB",
            "20.000 s",
            "10.250 s  docker.service",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}

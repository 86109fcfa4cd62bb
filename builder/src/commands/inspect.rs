//! `slipway inspect IMAGE|FOLDER`

use std::fmt::Write as _;
use std::path::PathBuf;

use slipway_builder::inspect::{Check, EntryFacts, Inspection, RootFacts, TableFacts, inspect};
use slipway_builder::report::bytes;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Shows partitions, root hash, boot entries and packages of an image, and verifies that all of it belongs together.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A disk image, or the output folder of a build, whose other files are then checked too
    image: PathBuf,
    /// List the packages one a line, with architecture
    #[arg(long)]
    packages: bool,
}

impl Args {
    /// Prints what was found; a check that failed gives its own exit status.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let found = inspect(&self.image)?;
        if context.json() {
            context.print_json(&found)?;
        } else {
            context.print(&text(&found, self.packages)?)?;
        }
        Ok(if found.is_sound() { ExitCode::Success } else { ExitCode::CheckFailed })
    }
}

fn text(found: &Inspection, all_packages: bool) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "{}  {}", plain(&found.disk.display().to_string()), bytes(found.size))?;
    if let Some(manifest) = &found.manifest {
        writeln!(out, "{} {}  {}", plain(&manifest.id), plain(&manifest.version), plain(&manifest.description))?;
    }
    if let Some(table) = &found.table {
        write_table(&mut out, table)?;
    }
    for root in &found.roots {
        write_root(&mut out, root, all_packages)?;
    }
    if let Some(esp) = &found.esp {
        for entry in &esp.entries {
            write_entry(&mut out, entry)?;
        }
        writeln!(out, "\nfiles of the ESP")?;
        for file in &esp.files {
            writeln!(out, "{:>12}  {}", bytes(file.size), plain(&file.path))?;
        }
    }
    writeln!(out, "\nchecks")?;
    let width = found.checks.iter().map(|check| plain(&check.name).chars().count()).max().unwrap_or(0);
    for check in &found.checks {
        let verdict = if check.ok { "ok    " } else { "FAILED" };
        writeln!(out, "  {verdict}  {:width$}  {}", plain(&check.name), plain(&check.detail))?;
    }
    let failed: Vec<&Check> = found.checks.iter().filter(|check| !check.ok).collect();
    if failed.is_empty() {
        writeln!(out, "\nsound: {} checks held", found.checks.len())?;
        return Ok(out);
    }
    // Said again where the eye is, after so many lines.
    writeln!(out, "\nNOT SOUND: {} of {} checks failed", failed.len(), found.checks.len())?;
    for check in failed {
        writeln!(out, "  {}: {}", plain(&check.name), plain(&check.detail))?;
    }
    Ok(out)
}

fn write_table(out: &mut String, table: &TableFacts) -> std::fmt::Result {
    let copies = match (table.primary_good, table.backup_good) {
        (true, true) => "both copies good",
        (true, false) => "primary copy good, backup damaged",
        (false, _) => "primary copy damaged, backup good",
    };
    writeln!(out, "\npartitions (GPT {}, {copies})", table.disk_guid)?;
    for partition in &table.partitions {
        writeln!(
            out,
            "{:>4}  {:8}  {:>10}  {}  {}",
            partition.number,
            partition.role,
            bytes(partition.size),
            partition.guid,
            plain(&partition.label)
        )?;
    }
    Ok(())
}

fn write_root(out: &mut String, root: &RootFacts, all_packages: bool) -> std::fmt::Result {
    let verified = if root.verified { "verified" } else { "NOT VERIFIED" };
    writeln!(out, "\nslot {}: {} ({verified})", root.slot, plain(&root.label))?;
    writeln!(out, "  root hash   {}", root.root_hash)?;
    if let Some(os_release) = &root.os_release {
        writeln!(out, "  os-release  {}", plain(&os_release.name))?;
        writeln!(out, "  image       {} {}", plain(&os_release.image_id), plain(&os_release.image_version))?;
    }
    writeln!(
        out,
        "  size        {} of {}, hash tree {}",
        bytes(root.size),
        bytes(root.slot_size),
        bytes(root.verity_size)
    )?;
    writeln!(out, "  content     {} files, {} folders, {} packages", root.files, root.folders, root.packages.len())?;
    if !root.largest_files.is_empty() {
        writeln!(out, "  largest files")?;
        for (path, size) in &root.largest_files {
            writeln!(out, "{:>14}  {}", bytes(*size), plain(path))?;
        }
    }
    writeln!(out, "  packages")?;
    if all_packages {
        let width = root.packages.iter().map(|package| plain(&package.name).chars().count()).max().unwrap_or(0);
        for package in &root.packages {
            let (name, version) = (plain(&package.name), plain(&package.version));
            writeln!(out, "    {name:width$}  {version} {}", plain(&package.architecture))?;
        }
        return Ok(());
    }
    let packages: Vec<String> =
        root.packages.iter().map(|package| format!("{} {}", plain(&package.name), plain(&package.version))).collect();
    for line in wrapped(&packages) {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn write_entry(out: &mut String, entry: &EntryFacts) -> std::fmt::Result {
    let tries = match (entry.tries_left, entry.tries_done) {
        (Some(0), _) => "failed: no tries left".to_owned(),
        (Some(left), Some(done)) => format!("on trial: {left} tries left, {done} done"),
        _ => "good".to_owned(),
    };
    writeln!(out, "\nboot entry {} ({tries})", plain(&entry.name))?;
    if let Some(release) = &entry.kernel_release {
        writeln!(out, "  kernel        {}", plain(release))?;
    }
    if let Some(line) = &entry.command_line {
        writeln!(out, "  command line  {}", plain(line))?;
    }
    let signed = if entry.signature_size == 0 { "not signed" } else { "signed" };
    writeln!(out, "  size          {}, {signed}", bytes(entry.size))?;
    let sections: Vec<String> =
        entry.sections.iter().map(|section| format!("{} {}", plain(&section.name), bytes(section.size))).collect();
    writeln!(out, "  sections      {}", sections.join(", "))
}

/// Several on a line, as many as fit.
fn wrapped(items: &[String]) -> Vec<String> {
    const WIDTH: usize = 92;
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if line.chars().count() + item.chars().count() + 2 <= WIDTH => {
                line.push_str(", ");
                line.push_str(item);
            }
            _ => lines.push(item.clone()),
        }
    }
    lines
}

/// Text that an image brings, with what would write on the terminal escaped.
fn plain(text: &str) -> String {
    let escape = |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_share_lines_as_far_as_they_fit() {
        let items = ["a".repeat(60), "b".repeat(30), "c".repeat(200), "d".into()];
        let lines: Vec<usize> = wrapped(&items).iter().map(String::len).collect();
        assert_eq!(lines, [92, 200, 1]);
    }

    #[test]
    fn an_image_can_not_write_on_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n\u{9b}c é"), "a\\u{1b}[2Jb\\n\\u{9b}c é");
    }
}

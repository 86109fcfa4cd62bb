//! `dh_installtmpfiles`: what tmpfiles.d(5) lines of packages make below `/etc` is made now, so that nothing is left to do
//! at boot. Lines for `/run`, `/tmp` and `/var` are the booted machine's.

use slipway_images::tree::{Kind, Meta, TreePath};

use super::Stage;
use crate::compose::ComposeError;

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let folder = TreePath::new("/usr/lib/tmpfiles.d")?;
    let files: Vec<String> = stage
        .tree
        .children(&folder)
        .filter(|(path, _)| path.name().strip_suffix(".conf").is_some())
        .map(|(path, _)| path.as_str().to_owned())
        .collect();
    for file in files {
        let Some(text) = stage.text(&file)? else { continue };
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            apply_line(stage, &words)?;
        }
    }
    Ok(())
}

fn apply_line(stage: &mut Stage<'_>, words: &[&str]) -> Result<(), ComposeError> {
    let (Some(kind), Some(path)) = (words.first(), words.get(1)) else { return Ok(()) };
    // `^` reads a credential, `%` asks the machine: neither is known yet.
    if !path.starts_with("/etc/") || line_is_dynamic(kind, words) {
        return Ok(());
    }
    let path = TreePath::new(path)?;
    let is_there = stage.tree.contains(&path);
    let field = |index: usize| words.get(index).copied().filter(|word| *word != "-");
    match kind.trim_end_matches(['!', '$', '-', '=', '~']) {
        "d" | "D" | "q" | "Q" => {
            let mode = field(2).and_then(|text| u16::from_str_radix(text, 8).ok()).unwrap_or(0o755);
            let uid = field(3).map_or(Some(0), |name| stage.accounts.uid(name));
            let gid = field(4).map_or(Some(0), |name| stage.accounts.gid(name));
            let (Some(uid), Some(gid)) = (uid, gid) else {
                return Err(stage.problem(format!("`{path}` is to belong to an account that doesn't exist")));
            };
            stage.put(path, Meta { uid, gid, ..Meta::root_owned(mode) }, Kind::Folder)
        }
        "L" if !is_there => link(stage, &path, field(6)),
        "L+" => link(stage, &path, field(6)),
        _ => Ok(()),
    }
}

fn line_is_dynamic(kind: &str, words: &[&str]) -> bool {
    kind.contains('^') || kind.starts_with('#') || words.iter().any(|word| word.contains('%'))
}

fn link(stage: &mut Stage<'_>, path: &TreePath, target: Option<&str>) -> Result<(), ComposeError> {
    let same = |text: &str| matches!(stage.tree.get(path), Some(node) if node.kind == Kind::Symlink(text.to_owned()));
    match target {
        Some(target) if !same(target) => stage.link(path.as_str(), target),
        _ => Ok(()),
    }
}

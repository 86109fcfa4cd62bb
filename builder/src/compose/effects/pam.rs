//! The five `/etc/pam.d/common-*` files, made from the profiles in `/usr/share/pam-configs` as pam-auth-update(8) does on
//! a fresh installation.

use std::collections::BTreeMap;

use slipway_images::tree::{Kind, TreePath};

use super::Stage;
use crate::compose::ComposeError;

const PROFILES: &str = "/usr/share/pam-configs";
const TEMPLATES: &str = "/usr/share/pam";

/// File, type in the profiles, and what each line begins with.
const FILES: [(&str, &str, &str); 5] = [
    ("common-account", "Account", "account"),
    ("common-auth", "Auth", "auth"),
    ("common-password", "Password", "password"),
    ("common-session", "Session", "session"),
    ("common-session-noninteractive", "Session-noninteractive", "session"),
];

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let folder = TreePath::new(PROFILES)?;
    let names: Vec<TreePath> = stage
        .tree
        .children(&folder)
        .filter(|(path, node)| matches!(node.kind, Kind::File(_)) && !path.name().ends_with('~'))
        .map(|(path, _)| path.clone())
        .collect();
    let mut profiles = Vec::new();
    for path in names {
        let text = stage.text(path.as_str())?.unwrap_or_default();
        profiles.push(Profile::parse(path.name(), &text));
    }
    let enabled = enabled(profiles);
    for (file, kind, word) in FILES {
        let Some(template) = stage.text(&format!("{TEMPLATES}/{file}"))? else { continue };
        let Some(text) = fill(&template, &enabled, kind, word) else {
            return Err(stage.problem(format!("the template `{TEMPLATES}/{file}` has no marks for its blocks")));
        };
        stage.file(&format!("/etc/pam.d/{file}"), 0o644, text)?;
    }
    Ok(())
}

/// A profile: fields by name, folded lines joined by newlines.
#[derive(Debug)]
struct Profile {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Profile {
    fn parse(name: &str, text: &str) -> Self {
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            let header = line.split_once(':').filter(|(key, _)| !key.is_empty() && !key.contains(char::is_whitespace));
            match header {
                Some((key, value)) => {
                    key.strip_suffix("-Final").unwrap_or(key).clone_into(&mut current);
                    fields.insert(current.clone(), value.trim().to_owned());
                }
                None if !line.trim().is_empty() => {
                    let value = fields.entry(current.clone()).or_default();
                    if !value.is_empty() {
                        value.push('\n');
                    }
                    value.push_str(line.trim());
                }
                None => {}
            }
        }
        if fields.get("Session-Interactive-Only").map(String::as_str) != Some("yes") {
            for suffix in ["-Type", "", "-Initial"] {
                if let Some(value) = fields.get(&format!("Session{suffix}")).cloned() {
                    fields.insert(format!("Session-noninteractive{suffix}"), value);
                }
            }
        }
        Self { name: name.to_owned(), fields }
    }

    fn field(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn priority(&self) -> i64 {
        self.field("Priority").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The lines of this profile; the first of a block may have others.
    fn lines(&self, kind: &str, is_first: bool) -> Vec<&str> {
        let initial = self.field(&format!("{kind}-Initial")).filter(|_| is_first);
        let text = initial.or_else(|| self.field(kind)).unwrap_or_default();
        text.split('\n').filter(|line| !line.is_empty()).collect()
    }
}

/// The profiles that are on by default, highest priority first, of equals the last by name; conflicting ones give way to
/// those before them.
fn enabled(mut profiles: Vec<Profile>) -> Vec<Profile> {
    profiles.retain(|profile| profile.field("Default") == Some("yes"));
    profiles.sort_by(|one, other| (other.priority(), &other.name).cmp(&(one.priority(), &one.name)));
    let mut kept: Vec<Profile> = Vec::new();
    for profile in profiles {
        let conflicts = |one: &Profile, other: &Profile| {
            one.field("Conflicts").is_some_and(|names| names.split(", ").any(|name| name == other.name))
        };
        if !kept.iter().any(|before| conflicts(before, &profile)) {
            kept.push(profile);
        }
    }
    kept
}

/// The template with its two blocks filled. `None` where a mark is missing.
fn fill(template: &str, profiles: &[Profile], kind: &str, word: &str) -> Option<String> {
    const MARKS: [(&str, &str); 2] = [
        ("# here are the per-package modules (the \"Primary\" block)", "# here's the fallback if no module succeeds"),
        ("# and here are more per-package modules (the \"Additional\" block)", "# end of pam-auth-update config"),
    ];
    let mut text = String::new();
    let mut lines = template.lines();
    for ((begin, end), block) in MARKS.into_iter().zip(["Primary", "Additional"]) {
        loop {
            let line = lines.next()?;
            text.push_str(line);
            text.push('\n');
            if line.starts_with(begin) {
                break;
            }
        }
        text.push_str(&fill_block(profiles, kind, word, block));
        let closing = lines.by_ref().find(|line| line.starts_with(end))?;
        text.push_str(closing);
        text.push('\n');
    }
    text.extend(lines.flat_map(|line| [line, "\n"]));
    Some(text)
}

/// `end` in a control is the number of lines to jump to leave the block.
fn fill_block(profiles: &[Profile], kind: &str, word: &str, block: &str) -> String {
    let members = profiles.iter().filter(|profile| profile.field(&format!("{kind}-Type")) == Some(block));
    let lines: Vec<&str> = members.enumerate().flat_map(|(index, profile)| profile.lines(kind, index == 0)).collect();
    let is_primary = block == "Primary";
    if lines.is_empty() && is_primary {
        return format!("{word}\t[default=1]\t\t\tpam_permit.so\n");
    }
    let mut left = if is_primary { lines.len() } else { lines.len().saturating_sub(1) };
    let mut text = String::new();
    for line in lines {
        let (module, options) = split_options(line);
        let module = module.replace("end", &left.to_string());
        let options = options.split_whitespace().collect::<Vec<_>>().join(" ");
        text.extend([word, "\t", &module, " ", &options, "\n"]);
        left = left.saturating_sub(1);
    }
    text
}

/// Control and module, and the options after them.
fn split_options(line: &str) -> (&str, &str) {
    let control = if line.starts_with('[') { line.find(']').map_or(line.len(), |end| end + 1) } else { 0 };
    let is_space = |letter: char| letter.is_whitespace();
    let skip = |from: usize, spaces: bool| {
        line[from..].find(|letter| is_space(letter) != spaces).map_or(line.len(), |at| from + at)
    };
    let control_end = if control > 0 { control } else { skip(0, false) };
    let module_end = skip(skip(control_end, true), false);
    line.split_at(module_end)
}

#[cfg(test)]
#[path = "pam_tests.rs"]
mod tests;

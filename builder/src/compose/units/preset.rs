//! systemd.preset(5): what a distribution wants enabled.

use std::collections::BTreeMap;

use slipway_images::tree::{Kind, RootTree, TreePath};

use super::{Manager, UnitError};

/// The rules of all preset files, in order.
#[derive(Debug, Default)]
pub struct Presets {
    rules: Vec<(glob::Pattern, bool)>,
}

impl Presets {
    /// Reads the preset files of `tree`. Of two files with one name, that in `/etc` wins; names sort as a whole.
    pub fn read(tree: &RootTree, manager: Manager) -> Result<Self, UnitError> {
        let folder = match manager {
            Manager::System => "system-preset",
            Manager::User => "user-preset",
        };
        let mut files = BTreeMap::new();
        for base in ["/usr/lib/systemd", "/etc/systemd"] {
            let folder = TreePath::new(&format!("{base}/{folder}"))?;
            for (path, node) in tree.children(&folder) {
                if path.name().ends_with(".preset") && !matches!(node.kind, Kind::Folder) {
                    files.insert(path.name().to_owned(), path.clone());
                }
            }
        }
        let mut text = String::new();
        for path in files.into_values() {
            let Some(content) = tree.file(&path) else { continue };
            text.push_str(&content.to_text().map_err(|source| UnitError::Read { path, source })?);
            text.push('\n');
        }
        Ok(Self::parse(&text))
    }

    /// Reads rules; lines that are none are passed over, as systemd does.
    pub fn parse(text: &str) -> Self {
        let mut rules = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let enable = match words.next() {
                Some("enable") => true,
                Some("disable" | "ignore") => false,
                _ => continue,
            };
            if let Some(Ok(pattern)) = words.next().map(glob::Pattern::new) {
                rules.push((pattern, enable));
            }
        }
        Self { rules }
    }

    /// Whether `unit` may be enabled: the first rule that matches it or its template decides; without one it may.
    pub fn enables(&self, unit: &str) -> bool {
        let template = super::template_of(unit);
        let matches = |pattern: &glob::Pattern| {
            pattern.matches(unit) || template.as_ref().is_some_and(|name| pattern.matches(name))
        };
        self.rules.iter().find(|(pattern, _)| matches(pattern)).is_none_or(|(_, enable)| *enable)
    }
}

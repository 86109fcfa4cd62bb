//! The files by which modprobe finds modules, as depmod(8) writes them.

mod dependencies;
mod trie;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{KernelError, Module, normalise};
use dependencies::Ordered;
use trie::Trie;

/// What the indexes are made from.
pub struct Inputs<'a> {
    /// By normalised name.
    pub modules: &'a BTreeMap<String, Module>,
    /// `modules.order` of the package.
    pub order: &'a str,
    /// `modules.builtin` of the package.
    pub builtin: &'a str,
    /// `modules.builtin.modinfo` of the package: `module.key=value`, NUL after each.
    pub builtin_info: &'a str,
}

/// The index files: name, and bytes.
pub fn write(inputs: &Inputs<'_>) -> Result<Vec<(&'static str, Vec<u8>)>, KernelError> {
    let ordered = Ordered::new(inputs.modules, inputs.order)?;
    let mut files = vec![
        ("modules.order", pruned_order(inputs).into_bytes()),
        ("modules.softdep", softdep(&ordered).into_bytes()),
        ("modules.weakdep", weakdep(&ordered).into_bytes()),
        ("modules.devname", devname(&ordered).into_bytes()),
        ("modules.builtin.bin", builtin(inputs.builtin)?),
        ("modules.builtin.alias.bin", builtin_aliases(inputs.builtin_info)?),
    ];
    let (text, binary) = dependency_index(&ordered)?;
    files.extend([("modules.dep", text.into_bytes()), ("modules.dep.bin", binary)]);
    let (text, binary) = alias_index(&ordered)?;
    files.extend([("modules.alias", text.into_bytes()), ("modules.alias.bin", binary)]);
    let (text, binary) = symbol_index(&ordered)?;
    files.extend([("modules.symbols", text.into_bytes()), ("modules.symbols.bin", binary)]);
    files.sort();
    Ok(files)
}

fn pruned_order(inputs: &Inputs<'_>) -> String {
    let kept = |line: &&str| inputs.modules.values().any(|module| module.path == *line);
    inputs.order.lines().filter(kept).flat_map(|line| [line, "\n"]).collect()
}

fn dependency_index(ordered: &Ordered<'_>) -> Result<(String, Vec<u8>), KernelError> {
    let (mut text, mut trie) = (String::new(), Trie::default());
    for (index, module) in ordered.modules() {
        let mut line = format!("{}:", module.path);
        for dependency in ordered.all_dependencies(module) {
            let _ = write!(line, " {}", dependency.path);
        }
        trie.insert(&module.name, &line, index)?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok((text, trie.to_bytes()))
}

fn alias_index(ordered: &Ordered<'_>) -> Result<(String, Vec<u8>), KernelError> {
    let mut text = "# Aliases extracted from modules themselves.\n".to_owned();
    let mut trie = Trie::default();
    for (index, module) in ordered.modules() {
        for alias in &module.info.aliases {
            let _ = writeln!(text, "alias {alias} {}", module.name);
            if let Some(key) = normalise_alias(alias) {
                trie.insert(&key, &module.name, index)?;
            }
        }
    }
    Ok((text, trie.to_bytes()))
}

fn symbol_index(ordered: &Ordered<'_>) -> Result<(String, Vec<u8>), KernelError> {
    let mut owners: BTreeMap<&str, (u32, &Module)> = BTreeMap::new();
    for (index, module) in ordered.modules() {
        owners.extend(module.info.symbols.iter().map(|symbol| (symbol.as_str(), (index, module))));
    }
    let mut text = "# Aliases for symbols, used by symbol_request().\n".to_owned();
    let mut trie = Trie::default();
    for (symbol, (index, module)) in owners {
        let _ = writeln!(text, "alias symbol:{symbol} {}", module.name);
        trie.insert(&format!("symbol:{symbol}"), &module.name, index)?;
    }
    Ok((text, trie.to_bytes()))
}

fn softdep(ordered: &Ordered<'_>) -> String {
    let mut text = "# Soft dependencies extracted from modules themselves.\n".to_owned();
    for (_, module) in ordered.modules() {
        for line in &module.info.softdeps {
            let _ = writeln!(text, "softdep {} {line}", module.name);
        }
    }
    text
}

fn weakdep(ordered: &Ordered<'_>) -> String {
    let mut text = "# Weak dependencies extracted from modules themselves.\n".to_owned();
    for (_, module) in ordered.modules() {
        for line in &module.info.weakdeps {
            let _ = writeln!(text, "weakdep {} {line}", module.name);
        }
    }
    text
}

/// `MODULE NODE cMAJOR:MINOR`: the static nodes in `/dev` that load a module when they are opened.
fn devname(ordered: &Ordered<'_>) -> String {
    let mut text = String::new();
    for (_, module) in ordered.modules() {
        let (mut node, mut numbers) = (None, None);
        for alias in &module.info.aliases {
            if let Some(name) = alias.strip_prefix("devname:") {
                node = Some(name);
            } else if let Some(found) = device_numbers(alias) {
                numbers = Some(found);
            }
            if node.is_some() && numbers.is_some() {
                break;
            }
        }
        if let (Some(node), Some((kind, major, minor))) = (node, numbers) {
            if text.is_empty() {
                text.push_str("# Device nodes to trigger on-demand module loading.\n");
            }
            let _ = writeln!(text, "{} {node} {kind}{major}:{minor}", module.name);
        }
    }
    text
}

fn device_numbers(alias: &str) -> Option<(char, u32, u32)> {
    let (kind, numbers) = match alias.strip_prefix("char-major-") {
        Some(numbers) => ('c', numbers),
        None => ('b', alias.strip_prefix("block-major-")?),
    };
    let (major, minor) = numbers.split_once('-')?;
    Some((kind, major.parse().ok()?, minor.parse().ok()?))
}

fn builtin(paths: &str) -> Result<Vec<u8>, KernelError> {
    let mut trie = Trie::default();
    for line in paths.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_alphabetic())) {
        let base = line.rsplit('/').next().unwrap_or(line);
        let name = base.split('.').next().unwrap_or(base);
        trie.insert(&normalise(name), "", 0)?;
    }
    Ok(trie.to_bytes())
}

fn builtin_aliases(info: &str) -> Result<Vec<u8>, KernelError> {
    let mut trie = Trie::default();
    for field in info.split('\0') {
        let Some((module, rest)) = field.split_once('.') else { continue };
        if let Some(alias) = rest.strip_prefix("alias=")
            && let Some(key) = normalise_alias(alias)
        {
            trie.insert(&key, module, 0)?;
        }
    }
    Ok(trie.to_bytes())
}

/// `-` becomes `_` outside of brackets; `None` where brackets don't match.
fn normalise_alias(alias: &str) -> Option<String> {
    let mut inside = false;
    let mut text = String::with_capacity(alias.len());
    for letter in alias.chars() {
        match letter {
            '[' => inside = true,
            ']' if !inside => return None,
            ']' => inside = false,
            _ => {}
        }
        text.push(if letter == '-' && !inside { '_' } else { letter });
    }
    (!inside).then_some(text)
}

/// An index with these keys and priorities.
#[cfg(test)]
pub(super) fn of_entries(entries: &BTreeMap<String, u32>) -> Vec<u8> {
    let mut trie = Trie::default();
    for (key, priority) in entries {
        let _ = trie.insert(key, "value", *priority);
    }
    trie.to_bytes()
}

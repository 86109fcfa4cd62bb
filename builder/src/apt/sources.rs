//! The machine's apt sources: sources.list(5), one-line and deb822 style. A hint, so what can't be read is passed over.

use std::fs;
use std::path::Path;

use crate::deb::control;

/// Base URLs found; the first of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Archives {
    pub(super) debian: Option<String>,
    pub(super) security: Option<String>,
}

/// Looks through `sources.list`, then the files of `sources.list.d` by name.
pub(super) fn archives(apt: &Path) -> Archives {
    let mut files = vec![apt.join("sources.list")];
    let folder = fs::read_dir(apt.join("sources.list.d")).into_iter().flatten();
    let mut parts: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    parts.sort();
    files.extend(parts);
    let mut found = Archives::default();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let uris = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line_uris(&text),
            Some("sources") => deb822_uris(&text),
            _ => continue,
        };
        for uri in uris {
            take(&mut found, &uri);
        }
    }
    found
}

fn take(found: &mut Archives, uri: &str) {
    let known = ["http://", "https://", "file:"].iter().any(|scheme| uri.starts_with(scheme));
    let base = uri.trim_end_matches('/');
    let has = |part: &str| base.ends_with(part) || base.contains(&format!("{part}/"));
    if !known {
        return;
    }
    if has("/debian-security") {
        found.security.get_or_insert_with(|| base.to_owned());
    } else if has("/debian") {
        found.debian.get_or_insert_with(|| base.to_owned());
    }
}

fn one_line_uris(text: &str) -> Vec<String> {
    let uri = |line: &str| {
        let rest = line.trim().strip_prefix("deb")?;
        let rest = rest.starts_with([' ', '\t', '[']).then(|| rest.trim_start())?;
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        rest.split_whitespace().next().map(str::to_owned)
    };
    text.lines().filter_map(uri).collect()
}

fn deb822_uris(text: &str) -> Vec<String> {
    let mut uris = Vec::new();
    for paragraph in control::paragraphs(text).flatten() {
        let has = |field: &str, word: &str| {
            paragraph.field(field).is_some_and(|value| value.split_whitespace().any(|other| other == word))
        };
        let disabled = paragraph.field("Enabled").is_some_and(|value| matches!(value, "no" | "false" | "off" | "0"));
        if has("Types", "deb") && !disabled {
            let named = paragraph.field("URIs").unwrap_or_default().split_whitespace();
            uris.extend(named.map(str::to_owned));
        }
    }
    uris
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_styles_are_read_and_what_is_off_is_not() {
        let apt = tempfile::tempdir().unwrap();
        let parts = apt.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        fs::write(
            apt.path().join("sources.list"),
            "# deb http://no/debian x main\ndeb-src http://no/debian x main\ndeb cdrom:[x]/debian/ x main\n",
        )
        .unwrap();
        fs::write(parts.join("a.list.disabled"), "deb http://no/debian x main\n").unwrap();
        fs::write(
            parts.join("b.sources"),
            "Types: deb\nURIs: http://no/debian\nSuites: x\nEnabled: no\n\nTypes: deb-src deb\n# note\nURIs: http://tools/apt\n http://yes/debian/\nSuites: x\n",
        )
        .unwrap();
        fs::write(parts.join("c.list"), "deb [signed-by=/k arch=amd64] https://sec/debian-security x main\n").unwrap();
        let found = archives(apt.path());
        assert_eq!(found.debian.as_deref(), Some("http://yes/debian"));
        assert_eq!(found.security.as_deref(), Some("https://sec/debian-security"));
        assert_eq!(archives(&apt.path().join("none")), Archives::default());
    }
}

//! What a person wrote in a maintainer script, freed of all that says nothing: its digest stays the same when only a
//! version number, a comment or debhelper's part changes, and changes when what the script does may have changed.

use slipway_images::digest::Digest;

use super::sections::Parts;
use super::tools;

/// What is left of a script, line by line, and its digest. Empty when debhelper wrote all that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residual {
    /// The lines that count, trimmed, with the package's own version as `@VERSION@` and a kernel's release as
    /// `@RELEASE@`. Parts by a debhelper tool that isn't known here are among them.
    pub lines: Vec<String>,
}

impl Residual {
    /// What is left of the script `parts` of the package `name` at `version`.
    pub fn of(parts: &Parts, name: &str, version: &str) -> Self {
        let mut lines = Vec::new();
        let mut here_document: Option<String> = None;
        for line in &parts.rest {
            if let Some(end) = &here_document {
                let over = line.trim_start() == end;
                lines.push(line.trim_end().to_owned());
                here_document = here_document.filter(|_| !over);
                continue;
            }
            let line = line.trim();
            if !says_nothing(line) {
                here_document = here_document_end(line);
                lines.push(line.to_owned());
            }
        }
        lines.truncate(lines.len() - usize::from(lines.last().is_some_and(|line| line == "exit 0")));
        let mut lines = without_empty_cases(lines);
        for section in parts.sections.iter().filter(|section| !tools::is_known(section)) {
            lines.push(format!("# by {}", section.tool));
            lines.extend(section.lines.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
        }
        let names = own_names(name, version);
        for line in &mut lines {
            for (text, placeholder) in &names {
                *line = replace_word(line, text, placeholder);
            }
        }
        Self { lines }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// SHA-256 of the lines, each with a line feed.
    pub fn digest(&self) -> Digest {
        let text: String = self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        Digest::of(text.as_bytes())
    }
}

/// Blank lines, comments, shell options, the way into and out of debconf.
fn says_nothing(line: &str) -> bool {
    line.is_empty()
        || line.starts_with('#')
        || matches!(line, ":" | ". /usr/share/debconf/confmodule" | "db_version 2.0" | "db_stop")
        || line.strip_prefix("set ").is_some_and(|options| options.starts_with(['-', '+']))
}

/// The word that ends the here-document which begins on `line`.
fn here_document_end(line: &str) -> Option<String> {
    let (_, after) = line.split_once("<<")?;
    let word = after.trim_start_matches('-').trim_start();
    let word: String = match word.strip_prefix(['\'', '"']) {
        Some(quoted) => quoted.split(['\'', '"']).next()?.to_owned(),
        None => word.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect(),
    };
    Some(word).filter(|word| !word.is_empty())
}

/// Takes out the skeleton `case "$1" in configure|…) ;; *) echo "… unknown argument" ; exit 1 ;; esac`.
fn without_empty_cases(lines: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut open: Option<usize> = None;
    for line in lines {
        if line.starts_with("case ") && line.ends_with(" in") {
            open = Some(kept.len());
        }
        let closes = line == "esac";
        kept.push(line);
        if closes
            && let Some(start) = open.take()
            && kept[start + 1..kept.len() - 1].iter().all(|line| is_empty_branch(line))
        {
            kept.truncate(start);
        }
    }
    kept
}

fn is_empty_branch(line: &str) -> bool {
    let line = line.trim_end_matches(";;").trim();
    let is_pattern =
        line.ends_with(')') && line.chars().all(|letter| letter.is_ascii_lowercase() || "|*()- \t".contains(letter));
    let is_complaint = line.starts_with("echo ") && (line.contains("unknown argument") || line.contains("called with"));
    line.is_empty() || is_pattern || is_complaint || line == "exit 1" || line == "exit 0"
}

/// What a package calls itself by, longest first.
fn own_names(name: &str, version: &str) -> Vec<(String, &'static str)> {
    let mut names = Vec::new();
    if let Some(release) = name.strip_prefix("linux-image-") {
        names.push((release.to_owned(), "@RELEASE@"));
    }
    let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    let upstream = without_epoch.rsplit_once('-').map_or(without_epoch, |(upstream, _)| upstream);
    names.extend([version, without_epoch, upstream].map(|text| (text.to_owned(), "@VERSION@")));
    names.retain(|(text, _)| text.len() > 1);
    names
}

/// Replaces `word` where it is no part of a longer version or name.
fn replace_word(line: &str, word: &str, by: &str) -> String {
    let joins = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || ".+~".contains(letter));
    let mut replaced = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let whole = !joins(before.chars().next_back()) && !joins(after.chars().next());
        replaced.push_str(before);
        replaced.push_str(if whole { by } else { word });
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::super::sections::split;
    use super::*;

    fn residual(script: &str) -> Vec<String> {
        Residual::of(&split(script), "demo", "1:2.41-3").lines
    }

    #[test]
    fn skeletons_comments_and_debhelper_leave_nothing() {
        let script = "#!/bin/sh\n# postinst\nset -e\ncase \"$1\" in\n  configure|reconfigure)\n  ;;\n\n  \
            abort-upgrade|abort-remove) ;;\n  *)\n    echo \"postinst called with unknown argument \\`$1'\" >&2\n    \
            exit 1\n  ;;\nesac\n# Automatically added by dh_installsystemd/13\nwhatever\n\
            # End automatically added section\nexit 0\n";
        assert_eq!(residual(script), [""; 0]);
    }

    #[test]
    fn what_does_something_stays() {
        let script = "case \"$1\" in\nconfigure)\nmkdir /srv/x\n;;\nesac\n";
        assert_eq!(residual(script), ["case \"$1\" in", "configure)", "mkdir /srv/x", ";;", "esac"]);
    }

    #[test]
    fn comments_in_here_documents_are_content() {
        let script = "cat > /etc/x <<EOF\n# a setting\n  y\nEOF\n# a comment\n";
        assert_eq!(residual(script), ["cat > /etc/x <<EOF", "# a setting", "  y", "EOF"]);
    }

    #[test]
    fn parts_by_unknown_tools_count() {
        let script = "# Automatically added by dh_magic/1\nmkdir /x\n# End automatically added section\n";
        assert_eq!(residual(script), ["# by dh_magic", "mkdir /x"]);
        let helper = "# Automatically added by dh_installdeb/13\ndpkg-maintscript-helper rm_conffile /etc/x 1 -- \"$@\"\n\
            rm /y\n# End automatically added section\n";
        assert_eq!(residual(helper).len(), 3);
    }

    #[test]
    fn own_versions_are_made_neutral_and_others_are_not() {
        assert_eq!(residual("x 1:2.41-3 2.41-3 2.41; 2.41.1 12.41"), ["x @VERSION@ @VERSION@ @VERSION@; 2.41.1 12.41"]);
        let parts = split("depmod 6.12.1+deb13-cloud-amd64");
        let kernel = Residual::of(&parts, "linux-image-6.12.1+deb13-cloud-amd64", "6.12.1-1");
        assert_eq!(kernel.lines, ["depmod @RELEASE@"]);
    }
}

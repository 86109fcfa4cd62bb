//! The parts of a maintainer script that debhelper wrote, told from those that a person wrote.
//!
//! debhelper puts what it adds between `# Automatically added by TOOL/VERSION` and `# End automatically added section`
//! (`dh_installdeb(1)`, section "substitution in maintainer scripts").

use crate::deb::Package;

const BEGIN: &str = "# Automatically added by ";
const END: &str = "# End automatically added section";

/// A part that debhelper added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The tool that wrote it (`dh_installsystemd`), without its version.
    pub tool: String,
    /// Its lines, without the two marks.
    pub lines: Vec<String>,
}

/// A script taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// What debhelper added, in order.
    pub sections: Vec<Section>,
    /// All other lines, in order.
    pub rest: Vec<String>,
}

/// Takes `script` apart. A section that is never closed counts as written by a person: it goes to the rest, so that
/// nothing can hide behind an opening mark.
pub fn split(script: &str) -> Parts {
    let mut parts = Parts::default();
    let mut open: Option<(String, Section)> = None;
    for line in script.lines() {
        open = match open {
            None => {
                let opened = line.trim().strip_prefix(BEGIN).map(|by| {
                    let tool = by.split('/').next().unwrap_or(by).trim().to_owned();
                    (line.to_owned(), Section { tool, lines: Vec::new() })
                });
                if opened.is_none() {
                    parts.rest.push(line.to_owned());
                }
                opened
            }
            Some((_, section)) if line.trim() == END => {
                parts.sections.push(section);
                None
            }
            Some((mark, mut section)) => {
                section.lines.push(line.to_owned());
                Some((mark, section))
            }
        };
    }
    if let Some((mark, section)) = open {
        parts.rest.push(mark);
        parts.rest.extend(section.lines);
    }
    parts
}

/// The system units that a fresh installation of `package` would enable, in the order of its `postinst`, each once:
/// those named by `deb-systemd-helper … was-enabled 'X'` and not guarded by `debian-installed 'X'` (`dh_installsystemd`
/// `--no-enable`). Presets are not looked at: whoever enables them filters by those.
pub fn units_to_enable(package: &Package) -> Vec<String> {
    enabled_in(package, &["dh_installsystemd", "dh_systemd_enable"], false)
}

/// The same for units of the users' own managers (`systemctl --global`).
pub fn user_units_to_enable(package: &Package) -> Vec<String> {
    enabled_in(package, &["dh_installsystemduser"], true)
}

fn enabled_in(package: &Package, tools: &[&str], user: bool) -> Vec<String> {
    let mut units = Vec::new();
    let Some(postinst) = package.scripts.get("postinst") else { return units };
    for section in split(postinst).sections.iter().filter(|section| tools.contains(&section.tool.as_str())) {
        let guarded: Vec<&str> =
            section.lines.iter().filter_map(|line| helper_argument(line, "debian-installed", user)).collect();
        for unit in section.lines.iter().filter_map(|line| helper_argument(line, "was-enabled", user)) {
            if !guarded.contains(&unit) && !units.iter().any(|known| known == unit) {
                units.push(unit.to_owned());
            }
        }
    }
    units
}

/// `X` of a line that calls `deb-systemd-helper [--quiet] [--user] VERB 'X'`.
fn helper_argument<'a>(line: &'a str, verb: &str, user: bool) -> Option<&'a str> {
    let (_, call) = line.split_once("deb-systemd-helper ")?;
    let (options, rest) = call.split_once(verb)?;
    if options.split_whitespace().any(|option| option == "--user") != user {
        return None;
    }
    let quoted = rest.trim_start().strip_prefix('\'')?;
    quoted.split_once('\'').map(|(unit, _)| unit).filter(|unit| !unit.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    const POSTINST: &str = "\
#!/bin/sh
set -e
# Automatically added by dh_installsystemd/13.24.2
if [ \"$1\" = \"configure\" ] ; then
\t# was-enabled defaults to true, so new installations run enable.
\tif deb-systemd-helper --quiet was-enabled 'ssh.service'; then
\t\tdeb-systemd-helper enable 'ssh.service' >/dev/null || true
\tfi
fi
# End automatically added section
# Automatically added by dh_installsystemd/13.24.2
if deb-systemd-helper debian-installed 'ssh.socket'; then
\tif deb-systemd-helper --quiet was-enabled 'ssh.socket'; then
\t\tdeb-systemd-helper enable 'ssh.socket' >/dev/null || true
\tfi
fi
# End automatically added section
# Automatically added by dh_installsystemduser/13.24.2
if deb-systemd-helper --quiet --user was-enabled 'ssh-agent.socket' ; then
\tdeb-systemd-helper --user enable 'ssh-agent.socket' >/dev/null || true
fi
# End automatically added section
";

    fn package(postinst: &str) -> Package {
        Package {
            name: "x".into(),
            version: "1".to_owned(),
            control: BTreeMap::new(),
            scripts: BTreeMap::from([("postinst".to_owned(), postinst.to_owned())]),
            control_files: BTreeMap::new(),
            entries: Vec::new(),
        }
    }

    #[test]
    fn a_unit_is_enabled_unless_only_what_debian_installed_before_is_kept() {
        assert_eq!(units_to_enable(&package(POSTINST)), ["ssh.service"]);
        assert_eq!(user_units_to_enable(&package(POSTINST)), ["ssh-agent.socket"]);
    }

    #[test]
    fn sections_are_told_from_the_rest() {
        let parts = split(POSTINST);
        assert_eq!(parts.rest, ["#!/bin/sh", "set -e"]);
        let tools: Vec<&str> = parts.sections.iter().map(|section| section.tool.as_str()).collect();
        assert_eq!(tools, ["dh_installsystemd", "dh_installsystemd", "dh_installsystemduser"]);
    }

    #[test]
    fn an_unclosed_section_hides_nothing() {
        let parts = split("# Automatically added by dh_x/1\nrm -rf /");
        assert!(parts.sections.is_empty());
        assert_eq!(parts.rest.last().unwrap(), "rm -rf /");
    }
}

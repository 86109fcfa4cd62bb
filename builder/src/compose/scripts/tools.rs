//! The debhelper tools whose part of a maintainer script is known, and what stands in for each.

use super::sections::Section;

/// A debhelper tool.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What is done in its place, or why nothing is.
    pub instead: &'static str,
}

const fn tool(name: &'static str, instead: &'static str) -> Tool {
    Tool { name, instead }
}

/// Sorted by name.
const TOOLS: &[Tool] = &[
    tool("dh_apparmor", "makes an empty local profile and loads it; the image loads no profiles"),
    tool("dh_installalternatives", "effect alternatives"),
    tool("dh_installdeb", "dpkg-maintscript-helper, which only acts on upgrades"),
    tool("dh_installdebconf", "debconf, which isn't used"),
    tool("dh_installinit", "init scripts; systemd's units are used"),
    tool("dh_installmenu", "menus of window managers, which nothing shows"),
    tool("dh_installnss", "effect nsswitch"),
    tool("dh_installsystemd", "effect units"),
    tool("dh_installsystemduser", "effect units"),
    tool("dh_installsysusers", "effect accounts"),
    tool("dh_installtmpfiles", "systemd-tmpfiles at boot"),
    tool("dh_installudev", "rules, which udev reads at boot"),
    tool("dh_makeshlibs", "ldconfig; the loader finds libraries without its cache"),
    tool("dh_python3", "byte code of Python, which is made when it is needed"),
    tool("dh_runit", "runit, which isn't the init system"),
    tool("dh_systemd_enable", "effect units"),
    tool("dh_systemd_start", "starts units, which a build doesn't"),
];

/// The calls of dpkg-maintscript-helper that act on upgrades only (dpkg-maintscript-helper(1)).
const UPGRADE_HELPERS: [&str; 4] = ["rm_conffile", "mv_conffile", "symlink_to_dir", "dir_to_symlink"];

/// The known tool that wrote `section`.
pub fn find(section: &Section) -> Option<&'static Tool> {
    let tool = TOOLS.iter().find(|tool| tool.name == section.tool)?;
    // What a package's own debhelper file `maintscript` may hold is copied verbatim.
    let only_helpers = || section.lines.iter().all(|line| is_upgrade_helper(line.trim()));
    (tool.name != "dh_installdeb" || only_helpers()).then_some(tool)
}

/// Whether a known tool wrote `section`.
pub fn is_known(section: &Section) -> bool {
    find(section).is_some()
}

fn is_upgrade_helper(line: &str) -> bool {
    let call = line.strip_prefix("dpkg-maintscript-helper ");
    line.is_empty()
        || line.starts_with('#')
        || call.is_some_and(|call| UPGRADE_HELPERS.contains(&call.split(' ').next().unwrap_or_default()))
}

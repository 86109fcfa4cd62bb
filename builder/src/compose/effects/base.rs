//! base-files, libc, debianutils, tzdata, kmod, libpam-modules, bash: the files that their scripts make from templates.

use super::Stage;
use crate::compose::ComposeError;

const SHELLS: [&str; 8] = [
    "/bin/sh",
    "/usr/bin/sh",
    "/bin/bash",
    "/usr/bin/bash",
    "/bin/rbash",
    "/usr/bin/rbash",
    "/bin/dash",
    "/usr/bin/dash",
];

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let templates = [
        ("dot.profile", "/root/.profile"),
        ("dot.bashrc", "/root/.bashrc"),
        ("profile", "/etc/profile"),
        ("motd", "/etc/motd"),
    ];
    for (from, to) in templates {
        stage.copy(&format!("/usr/share/base-files/{from}"), to)?;
    }
    stage.folder("/etc/opt", 0o755)?;
    shell(stage)?;
    locale(stage)?;
    stage.default_file("/etc/environment", 0o644, "")?;
    stage.default_file("/etc/security/opasswd", 0o600, "")?;
    stage.default_file("/etc/modules", 0o644, "")?;
    if stage.has("/usr/share/zoneinfo/Etc/UTC")? {
        stage.link("/etc/localtime", "../usr/share/zoneinfo/Etc/UTC")?;
    }
    if stage.has_package("libwrap0") {
        stage.default_file("/etc/hosts.allow", 0o644, "")?;
        stage.default_file("/etc/hosts.deny", 0o644, "")?;
    }
    Ok(())
}

/// bash makes itself `/bin/sh` where dash is not there.
fn shell(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    if !stage.has("/usr/bin/sh")? {
        if stage.has("/usr/bin/dash")? {
            stage.link("/usr/bin/sh", "dash")?;
        } else if stage.has("/usr/bin/bash")? {
            stage.link("/usr/bin/sh", "bash")?;
        }
    }
    let mut text = "# /etc/shells: valid login shells\n".to_owned();
    for path in SHELLS {
        if stage.has(path)? {
            text.push_str(path);
            text.push('\n');
        }
    }
    stage.default_file("/etc/shells", 0o644, text)
}

/// The links that tmpfiles makes at every boot otherwise, and what they point to: something tries to write these files
/// where they are missing.
fn locale(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let language = if stage.has("/usr/lib/locale/C.utf8")? { "C.UTF-8" } else { "C" };
    stage.default_file("/etc/locale.conf", 0o644, format!("LANG={language}\n"))?;
    stage.link("/etc/default/locale", "../locale.conf")?;
    stage.default_file("/etc/default/keyboard", 0o644, "# The keyboard of the kernel is used as it is.\n")?;
    stage.link("/etc/vconsole.conf", "default/keyboard")
}

//! Who is on the machine and what it is called: account files, homes, keys, host name, image id.

use std::fmt::Write as _;

use slipway_images::tree::{Kind, Meta, TreePath};

use super::Stage;
use crate::compose::ComposeError;
use crate::compose::accounts;

/// `passwd`, `group`, `shadow`, `gshadow`, and empty `subuid`, `subgid`.
pub(super) fn accounts(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let shadow_group = stage.accounts.gid("shadow").unwrap_or(0);
    let files = [
        ("/etc/passwd", accounts::passwd(&stage.accounts)),
        ("/etc/group", accounts::group(&stage.accounts)),
        ("/etc/subuid", String::new()),
        ("/etc/subgid", String::new()),
    ];
    for (path, text) in files {
        stage.file(path, 0o644, text)?;
    }
    let secret =
        [("/etc/shadow", accounts::shadow(&stage.accounts)), ("/etc/gshadow", accounts::gshadow(&stage.accounts))];
    for (path, text) in secret {
        let meta = Meta { gid: shadow_group, ..Meta::root_owned(0o640) };
        stage.put(TreePath::new(path)?, meta, Kind::File(slipway_images::content::Content::from_bytes(text)))?;
    }
    set_group(stage, "/usr/bin/ssh-agent", "_ssh", 0o2755)
}

/// What `dpkg-statoverride` or `chgrp` in a script would do.
fn set_group(stage: &mut Stage<'_>, path: &str, group: &str, mode: u16) -> Result<(), ComposeError> {
    let Some(gid) = stage.accounts.gid(group) else { return Ok(()) };
    if let Some(node) = stage.tree.get_mut(&TreePath::new(path)?) {
        node.meta.gid = gid;
        node.meta.mode = mode;
    }
    Ok(())
}

/// Homes of the recipe's users, made at boot, and their keys, which are the image's.
pub(super) fn homes_and_keys(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let mut lines = String::new();
    let skeleton: Vec<TreePath> = stage
        .tree
        .below(&TreePath::new("/etc/skel")?)
        .filter(|(_, node)| matches!(node.kind, Kind::File(_)))
        .map(|(path, _)| path.clone())
        .collect();
    for user in &stage.inputs.recipe.users {
        if !user.authorized_keys.is_empty() {
            let text: String = user.authorized_keys.iter().flat_map(|key| [key.trim_end(), "\n"]).collect();
            stage.file(&format!("/etc/ssh/authorized_keys.d/{}", user.name), 0o644, text)?;
        }
        let home = user.home.as_str();
        if user.name == "root" || !home.starts_with("/var/") && !home.starts_with("/home/") {
            continue;
        }
        let (Some(uid), Some(account)) =
            (stage.accounts.uid(&user.name), stage.accounts.users.iter().find(|account| account.name == user.name))
        else {
            continue;
        };
        let gid = account.gid;
        let _ = writeln!(lines, "d {home} 0700 {uid} {gid} -");
        for file in &skeleton {
            let name = file.as_str().trim_start_matches("/etc/skel/");
            let _ = writeln!(lines, "C {home}/{name} 0644 {uid} {gid} - {file}");
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    stage.file("/usr/lib/tmpfiles.d/slipway-homes.conf", 0o644, lines)
}

/// Host name, `hosts`, and the fields of os-release(5) by which boot loader and agent know the image.
pub(super) fn names(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let image = &stage.inputs.recipe.image;
    stage.file("/etc/hostname", 0o644, format!("{}\n", image.hostname))?;
    let hosts = format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{}\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\
         ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n",
        image.hostname
    );
    stage.file("/etc/hosts", 0o644, hosts)?;
    stage.file("/etc/networks", 0o644, "default\t\t0.0.0.0\nloopback\t127.0.0.0\nlink-local\t169.254.0.0\n")?;
    let path = "/usr/lib/os-release";
    let Some(text) = stage.text(path)? else {
        return Err(stage.problem("no package brings `/usr/lib/os-release`: add base-files"));
    };
    let kept: String = text
        .lines()
        .filter(|line| !line.starts_with("IMAGE_ID=") && !line.starts_with("IMAGE_VERSION="))
        .flat_map(|line| [line, "\n"])
        .collect();
    stage.file(path, 0o644, format!("{kept}IMAGE_ID={}\nIMAGE_VERSION=\"{}\"\n", image.id, image.version))
}

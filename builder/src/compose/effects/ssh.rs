//! openssh-server: its configuration from the package's template, host keys made at first boot in `/var`.
//!
//! `/etc` and `/root` are the image's, so keys that are to last lie under `/var/lib/slipway/ssh`. The package's own
//! `sshd-keygen` has `ConditionFirstBoot=yes`, which is false here, and makes an RSA key that nobody needs any more in
//! many seconds.

use std::fmt::Write as _;

use slipway_images::host::MACHINE_KEYS_PATH;

use super::Stage;
use crate::compose::ComposeError;
use crate::compose::units;

/// Where host keys and the machine's own authorised keys are.
const STATE: &str = "/var/lib/slipway/ssh";

const KEY_TYPES: [&str; 2] = ["ed25519", "ecdsa"];

/// Under a temporary name, synced, then renamed: a power cut leaves a whole key or none. Whoever logs in waits for the keys;
/// the boot doesn't, and what it starts goes before.
const HOST_KEY_UNIT: &str = "\
[Unit]
Description=SSH host key %i
DefaultDependencies=no
RequiresMountsFor=/var/lib/slipway/ssh
After=local-fs.target systemd-random-seed.service
Before=ssh.service shutdown.target
Conflicts=shutdown.target
ConditionPathExists=!/var/lib/slipway/ssh/ssh_host_%i_key

[Service]
Type=oneshot
RemainAfterExit=yes
StateDirectory=slipway/ssh
UMask=0077
Nice=19
ExecStartPre=/usr/bin/rm -f /var/lib/slipway/ssh/new_%i_key /var/lib/slipway/ssh/new_%i_key.pub
ExecStart=/usr/bin/ssh-keygen -q -t %i -N \"\" -C \"\" -f /var/lib/slipway/ssh/new_%i_key
ExecStart=/usr/bin/sync /var/lib/slipway/ssh/new_%i_key /var/lib/slipway/ssh/new_%i_key.pub
ExecStart=/usr/bin/mv /var/lib/slipway/ssh/new_%i_key.pub /var/lib/slipway/ssh/ssh_host_%i_key.pub
ExecStart=/usr/bin/mv /var/lib/slipway/ssh/new_%i_key /var/lib/slipway/ssh/ssh_host_%i_key
ExecStart=/usr/bin/sync /var/lib/slipway/ssh
";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    if !stage.has("/usr/sbin/sshd")? {
        return Ok(());
    }
    stage.copy("/usr/share/openssh/sshd_config", "/etc/ssh/sshd_config")?;
    let text = drop_in(stage);
    stage.file("/etc/ssh/sshd_config.d/10-slipway.conf", 0o644, text)?;
    units::remove(&mut stage.tree, "sshd-keygen.service")?;
    stage.unit("slipway-host-key@.service", HOST_KEY_UNIT, &[])?;
    for kind in KEY_TYPES {
        for unit in ["ssh.service", "ssh.socket"] {
            let link = format!("/usr/lib/systemd/system/{unit}.wants/slipway-host-key@{kind}.service");
            stage.link(&link, "../slipway-host-key@.service")?;
        }
    }
    let folders = format!("d {STATE} 0711 root root -\nd {STATE}/authorized_keys.d 0755 root root -\n");
    stage.file("/usr/lib/tmpfiles.d/slipway-ssh.conf", 0o644, folders + PROVISION)?;
    without_root_provisioning(stage)
}

/// The systemd credential by which a machine gets its first key; systemd's own line would write to `/root`.
const PROVISION: &str = "f^ /var/lib/slipway/ssh/authorized_keys.d/root 0644 root root - ssh.authorized_keys.root\n";

fn without_root_provisioning(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let path = "/usr/lib/tmpfiles.d/provision.conf";
    let Some(text) = stage.text(path)? else { return Ok(()) };
    let kept: String = text.lines().filter(|line| !line.contains(" /root")).flat_map(|line| [line, "\n"]).collect();
    stage.file(path, 0o644, kept)
}

fn drop_in(stage: &Stage<'_>) -> String {
    let mut text = "# Host keys are made at first boot and last on the state partition.\n".to_owned();
    for kind in KEY_TYPES {
        let _ = writeln!(text, "HostKey {STATE}/ssh_host_{kind}_key");
    }
    text.push_str(
        "# A user's own keys, those of the image, those of the machine: by its credential and by its configuration.\n",
    );
    let places = format!(
        ".ssh/authorized_keys /etc/ssh/authorized_keys.d/%u {STATE}/authorized_keys.d/%u {MACHINE_KEYS_PATH}/%u"
    );
    let _ = writeln!(text, "AuthorizedKeysFile {places}");
    // No account has a password unless the recipe gives it one.
    let passwords = stage.inputs.recipe.users.iter().any(|user| user.password_hash.is_some());
    text.push_str(if passwords { "PasswordAuthentication yes\n" } else { "PasswordAuthentication no\n" });
    text
}

//! What makes the machine's own configuration that of the running machine, at every boot, before there is a network: the agent, which
//! reads one document from the state partition. A machine without one starts nothing for it.

use super::Stage;
use crate::compose::ComposeError;

/// A first boot takes the document from a credential. The clock, whose servers the document may name, and whoever logs in wait for it;
/// Docker, and all that needs no network to start, don't. It comes after the image's kernel parameters, which it may change.
const UNIT: &str = "\
[Unit]
Description=Configure this machine
DefaultDependencies=no
RequiresMountsFor=/var/lib/slipway/config
After=systemd-sysctl.service
Wants=network-pre.target
Before=network-pre.target systemd-networkd.service systemd-timesyncd.service ssh.service shutdown.target
Conflicts=shutdown.target
ConditionPathExists=|/var/lib/slipway/config
ConditionCredential=|slipway.config

[Service]
Type=oneshot
RemainAfterExit=yes
ImportCredential=slipway.config
ExecStart=/usr/bin/slipway-agent config activate
UMask=0022
";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    stage.unit("slipway-config.service", UNIT, &["sysinit.target"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_document_nothing_is_started_and_docker_never_waits() {
        assert!(UNIT.contains("ConditionPathExists=|/var/lib/slipway/config\nConditionCredential=|slipway.config\n"));
        let before = UNIT.lines().find_map(|line| line.strip_prefix("Before=")).unwrap_or_default();
        for waited_for in
            ["sysinit.target", "basic.target", "local-fs.target", "sockets.target", "docker", "containerd"]
        {
            assert!(!before.contains(waited_for), "{waited_for}");
        }
    }
}

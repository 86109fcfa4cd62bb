//! The unit that runs the agent's end of the channel, handed in from outside: nothing of it is in the image.
//!
//! `systemd-debug-generator(8)`, from systemd 256 on, makes units of credentials `systemd.extra-unit.*` and drop-ins of
//! `systemd.unit-dropin.*`.

use crate::smbios::Credential;

/// No default dependencies: it must be there early, and when local file systems or the network fail. `Conflicts` has it stopped in
/// time at shutdown. The generator also runs in an initrd by systemd, where there is no agent.
const UNIT: &str = "\
[Unit]
Description=Slipway test channel
DefaultDependencies=no
ConditionPathExists=!/etc/initrd-release
Conflicts=shutdown.target
Before=shutdown.target
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart=/usr/bin/slipway-agent guest --port /dev/ttyS1
Restart=always
RestartSec=200ms
KillMode=mixed
TimeoutStopSec=5s
";

const DROP_IN: &str = "\
[Unit]
Wants=slipway-guest.service
";

/// The credentials that bring the agent's end up.
pub(crate) fn credentials() -> impl Iterator<Item = Credential> {
    [("systemd.extra-unit.slipway-guest.service", UNIT), ("systemd.unit-dropin.sysinit.target~slipway-guest", DROP_IN)]
        .into_iter()
        .filter_map(|(name, value)| Credential::new(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_are_valid() {
        assert_eq!(credentials().count(), 2);
    }
}

//! Where an image's updates come from, and the timer that looks for them.
//!
//! The timer is in every image: it also finishes what a power cut has interrupted, and decides about a version on trial when
//! nobody else did. It starts minutes after the boot, and nothing waits for it.

use std::time::Duration;

use slipway_images::update::{TRUSTED_ROOT_PATH, UPDATE_PATH};

use super::Stage;
use crate::compose::ComposeError;

/// How often an image without a repository finishes what was interrupted.
const WITHOUT_REPOSITORY: Duration = Duration::from_hours(24);

/// The units of the boot decide about a version on trial. As long as one of them is still to run, a pass would decide before them:
/// with a boot that hangs, or without the units that gate the commit. They all have their time, so this waits for them.
///
/// The agent writes to the disk and to the ledger, and reads from the network: it can do little else. It never counts as failed,
/// or a server that can't be reached would fail the health checks of the next version; why it failed is in the journal and in
/// `slipway-agent explain`.
const SERVICE: &str = "\
[Unit]
Description=Look for a new version, and install it
After=slipway-health.service boot-complete.target slipway-commit.service slipway-leave.service
ConditionPathExists=/run/slipway/boot.json

[Service]
Type=oneshot
ExecStart=/usr/bin/slipway-agent run
SuccessExitStatus=1 3
TimeoutStartSec=6h
Nice=10
IOSchedulingClass=idle
CPUWeight=20
MemoryMax=128M
ReadWritePaths=/var/lib/slipway /run/slipway
StateDirectory=slipway
DeviceAllow=block-* rw
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
";

/// What no service of the agent may do.
pub(super) const SANDBOX: &str = "\
CapabilityBoundingSet=
DevicePolicy=closed
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let update = &stage.inputs.recipe.update;
    let every = update.as_ref().map_or(WITHOUT_REPOSITORY, |update| update.settings.every);
    if let Some(update) = update {
        let text = serde_json::to_string_pretty(&update.settings).map_err(|error| stage.problem(error.to_string()))?;
        let root = stage.inputs.local_files.get(&update.root).cloned();
        let root = root.ok_or_else(|| ComposeError::LocalFile(update.root.clone()))?;
        stage.file(UPDATE_PATH, 0o644, text + "\n")?;
        stage.content(TRUSTED_ROOT_PATH, 0o644, root)?;
    }
    stage.unit("slipway-update.service", &format!("{SERVICE}{SANDBOX}"), &[])?;
    let every = every.as_secs();
    let timer = format!(
        "[Unit]\nDescription=Look for a new version from time to time\n\n\
         [Timer]\nOnBootSec=5min\nOnUnitInactiveSec={every}s\nRandomizedDelaySec={}s\n",
        every / 4
    );
    stage.unit("slipway-update.timer", &timer, &["timers.target"])
}

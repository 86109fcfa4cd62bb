//! The host's metrics on a Unix socket. systemd listens; the agent is started for each connection, and ends with it.

use super::Stage;
use super::update::SANDBOX;
use crate::compose::ComposeError;

/// Everybody on the host may connect: `/run/slipway/metrics.prom` says the same to everybody. More connections than this at a time
/// are closed at once, and of many in a row the later ones wait.
const SOCKET: &str = "\
[Unit]
Description=Metrics of this host
ConditionPathExists=/run/slipway/boot.json

[Socket]
ListenStream=/run/slipway/metrics.sock
SocketMode=0666
RemoveOnStop=yes
Accept=yes
MaxConnections=16
PollLimitIntervalSec=2s
PollLimitBurst=20
";

/// It reads the disk and the ledger, and writes nothing. Whatever becomes of a connection, no unit of it stays behind that could be
/// found failed.
const SERVICE: &str = "\
[Unit]
Description=Tell the metrics of this host
CollectMode=inactive-or-failed

[Service]
ExecStart=-/usr/bin/slipway-agent metrics --serve
StandardInput=socket
StandardOutput=journal
RuntimeMaxSec=1min
Nice=10
IOSchedulingClass=idle
CPUWeight=20
MemoryMax=32M
TasksMax=16
DeviceAllow=block-* r
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX
";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    stage.unit("slipway-metrics.socket", SOCKET, &["sockets.target"])?;
    stage.unit("slipway-metrics@.service", &format!("{SERVICE}{SANDBOX}"), &[])
}

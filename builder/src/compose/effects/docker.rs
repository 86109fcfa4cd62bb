//! docker.io: nothing but defaults; the group is made with the accounts, and the data root is `/var/lib/docker`.

use super::Stage;
use crate::compose::ComposeError;

/// The default driver never rotates its files, and fills the state partition sooner or later; `local` does.
const DAEMON: &str = "{\n  \"log-driver\": \"local\"\n}\n";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    if !stage.has("/usr/sbin/dockerd")? && !stage.has("/usr/bin/dockerd")? {
        return Ok(());
    }
    stage.default_file("/etc/docker/daemon.json", 0o644, DAEMON)
}

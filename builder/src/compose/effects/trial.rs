//! What decides about a version on trial, while it boots: health checks, then the commit; or back, with the reason.
//!
//! None of it runs on an ordinary boot, and nothing waits for it: the boot loader leaves a variable when it has counted a
//! try, and without that variable all units are skipped. `systemd-bless-boot.service` isn't used: it renames the boot entry
//! on a mounted ESP, and here only the agent writes to the ESP.

use std::time::Duration;

use super::Stage;
use crate::compose::ComposeError;

/// Made by systemd-boot when the entry that it starts has a counter (systemd boot loader interface); the initrd has mounted
/// these variables.
const ON_TRIAL: &str =
    "ConditionPathExists=/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// What a boot may take before the checks begin. One that takes longer hangs.
const BOOT_LIMIT: Duration = Duration::from_mins(15);

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let health = &stage.inputs.recipe.health;
    let longest = health.checks.iter().map(|check| check.within).max().unwrap_or_default();
    // A migration copies and runs a program, each within its time.
    let migrations: Duration = stage.inputs.recipe.migrations.iter().map(|migration| migration.within * 2).sum();
    let limit = (BOOT_LIMIT + migrations + longest + health.soak).as_secs();
    stage.unit("slipway-health.service", &health_unit(limit), &[])?;
    stage.link(
        "/usr/lib/systemd/system/boot-complete.target.requires/slipway-health.service",
        "../slipway-health.service",
    )?;
    stage.unit("slipway-commit.service", &commit_unit(), &["multi-user.target"])?;
    stage.unit("slipway-leave.service", &leave_unit(), &[])?;
    // Whatever else is required for this target can fail as well, or hang; and what it requires can be skipped.
    let all = limit + BOOT_LIMIT.as_secs();
    let drop_in = format!("[Unit]\nJobTimeoutSec={all}\nOnFailure=slipway-leave.service\n");
    stage.file("/usr/lib/systemd/system/boot-complete.target.d/10-slipway.conf", 0o644, drop_in)?;
    // It takes the place of all the rest, the health checks included, when a file system can't be mounted, say.
    let drop_in = "[Unit]\nWants=slipway-leave.service\n";
    stage.file("/usr/lib/systemd/system/emergency.target.d/10-slipway.conf", 0o644, drop_in)
}

/// It leaves by itself when a check fails. When its time is up, because the boot never came to its end, or the agent
/// itself fails, `slipway-leave.service` does.
fn health_unit(limit: u64) -> String {
    format!(
        "[Unit]\nDescription=Health checks of a version on trial\n{ON_TRIAL}\nAfter=multi-user.target\n\
         Before=boot-complete.target\nJobTimeoutSec={limit}\nOnFailure=slipway-leave.service\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/slipway-agent settle --check\n\
         TimeoutStartSec=infinity\n"
    )
}

/// No default dependencies: `multi-user.target` would wait for it.
fn commit_unit() -> String {
    format!(
        "[Unit]\nDescription=Keep the version on trial\n{ON_TRIAL}\nDefaultDependencies=no\n\
         Requires=boot-complete.target\nAfter=local-fs.target boot-complete.target\nConflicts=shutdown.target\n\
         Before=shutdown.target\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/slipway-agent settle --commit\n"
    )
}

/// Checks that are still running have nothing to say any more, and would keep the agent's lock. The restart that it asks for ends
/// it, too.
fn leave_unit() -> String {
    format!(
        "[Unit]\nDescription=Go back from the version on trial\n{ON_TRIAL}\nDefaultDependencies=no\n\
         Conflicts=shutdown.target slipway-health.service\nBefore=shutdown.target\n\
         After=slipway-health.service emergency.target\n\n\
         [Service]\nType=oneshot\nSuccessExitStatus=3 SIGTERM\n\
         ExecStart=/usr/bin/slipway-agent settle --leave 'the boot did not complete'\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_unit_runs_on_an_ordinary_boot_and_none_is_waited_for() {
        for unit in [health_unit(900), commit_unit(), leave_unit()] {
            assert!(unit.contains("\nConditionPathExists=/sys/firmware/efi/efivars/LoaderBootCountPath-"), "{unit}");
        }
        assert!(commit_unit().contains("\nDefaultDependencies=no\n"), "{}", commit_unit());
        assert!(health_unit(900).contains("\nJobTimeoutSec=900\n"));
    }
}

//! What makes state that of the version that runs, before services start: the recipe's migrations, and the unit that carries them
//! out, or undoes those of another version.
//!
//! The unit is in every image, since the version that is gone back to has to undo what it knows nothing of. Where there is
//! nothing to do, it is skipped: systemd looks for a folder that only a host has which migrated.

use slipway_images::migration::{ImageMigrations, MIGRATIONS_PATH, MIGRATIONS_STATE, Reverse};
use slipway_images::tree::{Kind, TreePath};

use super::Stage;
use crate::compose::ComposeError;
use crate::compose::units::{self, Manager};

const UNIT: &str = "slipway-migrate.service";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let migrations = &stage.inputs.recipe.migrations;
    if !migrations.is_empty() {
        let document = ImageMigrations { migrations: migrations.clone() };
        let text = serde_json::to_string_pretty(&document).map_err(|error| stage.problem(error.to_string()))?;
        stage.file(MIGRATIONS_PATH, 0o644, text + "\n")?;
        if !stage.has("/usr/bin/cp")? {
            return Err(stage.problem("migrations need `cp`: add coreutils to the packages"));
        }
    }
    for migration in migrations {
        let down = match &migration.reverse {
            Reverse::Down(program) => Some(program),
            Reverse::CopyAside(_) => None,
        };
        for program in migration.up.iter().chain(down) {
            check_program(stage, program)?;
        }
        for unit in &migration.before {
            if units::find(&stage.tree, Manager::System, unit).is_none() {
                return Err(stage
                    .problem(format!("migration `{}` is before `{unit}`, which isn't in the image", migration.name)));
            }
            let path = format!("/usr/lib/systemd/system/{unit}.d/10-slipway-migrate.conf");
            stage.file(&path, 0o644, format!("[Unit]\nRequires={UNIT}\nAfter={UNIT}\n"))?;
        }
    }
    stage.unit(UNIT, &unit(!migrations.is_empty()), &["local-fs.target"])
}

fn check_program(stage: &Stage<'_>, program: &str) -> Result<(), ComposeError> {
    let wrong = |what: &str| Err(stage.problem(format!("`{program}` of a migration {what}")));
    match stage.tree.resolve(&TreePath::new(program)?) {
        None => wrong("isn't in the image"),
        Some((_, node)) if !matches!(node.kind, Kind::File(_) | Kind::HardLink(_)) => wrong("is no file"),
        Some((_, node)) if node.meta.mode & 0o111 == 0 => wrong("can't be executed: it needs `mode = \"0755\"`"),
        Some(_) => Ok(()),
    }
}

/// Before `local-fs.target`, and so before all services but those without default dependencies, and before systemd-tmpfiles changes
/// what is there.
fn unit(carries_any: bool) -> String {
    let needed = if carries_any { "/run/slipway/boot.json" } else { MIGRATIONS_STATE };
    format!(
        "[Unit]\nDescription=Make the state that of this version\nDefaultDependencies=no\nRequires=var.mount\n\
         After=var.mount\nConditionPathExists={needed}\nBefore=local-fs.target shutdown.target\n\
         Conflicts=shutdown.target\nOnFailure=slipway-leave.service\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/slipway-agent migrate\n\
         TimeoutStartSec=infinity\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_skipped_where_there_is_nothing_to_do() {
        assert!(unit(false).contains("\nConditionPathExists=/var/lib/slipway/migrations\n"), "{}", unit(false));
        assert!(unit(true).contains("\nConditionPathExists=/run/slipway/boot.json\n"), "{}", unit(true));
    }
}

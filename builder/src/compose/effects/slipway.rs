//! What the agent finds in an image: itself, the checks, the list of packages; and what the recipe says in settings.

use std::fmt::Write as _;

use serde::Serialize;
use slipway_images::checks::{CHECKS_PATH, ImageChecks};

use super::Stage;
use crate::compose::ComposeError;
use crate::deb::Package;

/// A line of `/usr/lib/slipway/packages.json`.
#[derive(Serialize)]
struct Installed<'a> {
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
}

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let inputs = stage.inputs;
    stage.content("/usr/bin/slipway-agent", 0o755, inputs.agent.clone())?;
    let checks = ImageChecks { health: inputs.recipe.health.clone(), smoke: inputs.recipe.smoke.clone() };
    let text = serde_json::to_string_pretty(&checks).map_err(|error| stage.problem(error.to_string()))?;
    stage.file(CHECKS_PATH, 0o644, text + "\n")?;
    let mut packages: Vec<Installed<'_>> = inputs.packages.iter().map(installed).collect();
    packages.sort_by_key(|package| package.name);
    let text = serde_json::to_string_pretty(&packages).map_err(|error| stage.problem(error.to_string()))?;
    stage.file("/usr/lib/slipway/packages.json", 0o644, text + "\n")?;
    if !inputs.recipe.sysctl.is_empty() {
        let mut text = String::new();
        for (key, value) in &inputs.recipe.sysctl {
            let _ = writeln!(text, "{key} = {value}");
        }
        stage.file("/etc/sysctl.d/50-recipe.conf", 0o644, text)?;
    }
    for entry in &inputs.recipe.drop_ins {
        let path = format!("/etc/systemd/system/{}.d/{}", entry.unit, entry.name);
        stage.file(&path, 0o644, entry.content.as_str())?;
    }
    Ok(())
}

fn installed(package: &Package) -> Installed<'_> {
    Installed {
        name: &package.name,
        version: &package.version,
        architecture: package.control.get("Architecture").map_or("", String::as_str),
    }
}

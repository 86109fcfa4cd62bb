//! Which units start: what the packages' scripts would enable and the presets allow, then what the recipe says.

use super::Stage;
use crate::compose::ComposeError;
use crate::compose::scripts::{units_to_enable, user_units_to_enable};
use crate::compose::units::{self, Manager, Presets};

/// Enabled by systemd's own hand-written script.
const SYSTEMD: [&str; 3] = ["getty@tty1.service", "remote-fs.target", "systemd-pstore.service"];

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let inputs = stage.inputs;
    let mut system: Vec<String> = inputs.packages.iter().flat_map(units_to_enable).collect();
    if stage.has_package("systemd") {
        system.extend(SYSTEMD.map(str::to_owned));
    }
    let user: Vec<String> = inputs.packages.iter().flat_map(user_units_to_enable).collect();
    by_preset(stage, Manager::System, &system)?;
    by_preset(stage, Manager::User, &user)?;
    let section = &inputs.recipe.units;
    let origin = slipway_images::tree::Origin::Recipe;
    for unit in &section.enable {
        units::enable(&mut stage.tree, Manager::System, unit, &origin)?;
    }
    for unit in &section.disable {
        units::disable(&mut stage.tree, Manager::System, unit)?;
    }
    for unit in &section.mask {
        units::mask(&mut stage.tree, unit, &origin)?;
    }
    Ok(())
}

fn by_preset(stage: &mut Stage<'_>, manager: Manager, wanted: &[String]) -> Result<(), ComposeError> {
    let presets = Presets::read(&stage.tree, manager)?;
    let origin = stage.origin();
    for unit in wanted {
        // A unit that an effect took out is named by its package's script all the same.
        if presets.enables(unit) && units::find(&stage.tree, manager, unit).is_some() {
            units::enable(&mut stage.tree, manager, unit, &origin)?;
        }
    }
    Ok(())
}

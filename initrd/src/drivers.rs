//! Drivers, loaded as their devices turn up: a controller's first, then those of what is behind it.

use std::collections::BTreeSet;

use crate::efi::PciAddress;
use crate::failure::BootError;
use crate::hardware::{Bus, Device, devices};
use crate::modules::{Chosen, Modules};

/// Which devices are to be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Those at the controller that the firmware booted from; all, if it doesn't name one.
    BootedFrom,
    /// All.
    All,
}

/// What was loaded so far, and for what.
pub struct Drivers<'a> {
    modules: &'a Modules,
    buses: BTreeSet<Bus>,
    controller: &'a [PciAddress],
    driven: BTreeSet<Device>,
    loaded: Chosen,
}

impl<'a> Drivers<'a> {
    /// Nothing is loaded yet.
    pub fn new(modules: &'a Modules, controller: &'a [PciAddress]) -> Self {
        let buses = modules.buses();
        Self { modules, buses, controller, driven: BTreeSet::new(), loaded: Chosen::default() }
    }

    /// Loads the drivers of devices that weren't there, or weren't asked for, the last time.
    pub fn load_new(&mut self, place: Where) -> Result<(), BootError> {
        let anywhere = place == Where::All || self.controller.is_empty();
        let wanted = devices(&self.buses).into_iter().filter(|device| anywhere || device.is_behind(self.controller));
        let new: Vec<Device> = wanted.filter(|device| !self.driven.contains(device)).collect();
        let chosen = self.modules.for_devices(&new).without(&self.loaded);
        self.modules.load(&chosen)?;
        self.loaded.add(chosen);
        self.driven.extend(new);
        Ok(())
    }
}

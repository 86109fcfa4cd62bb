//! The kernel modules that the builder put into the initrd, and which of them this machine needs.
//!
//! The kernel checks the signature of each, which without hardware virtualisation is a tenth of a second: a module that
//! says which devices it drives is only loaded where there is such a device, and what it depends on with it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use slipway_images::boot::{INITRD_MODULE_FOLDER, INITRD_MODULE_LIST};

use crate::failure::{BootError, Context as _, Severity, say};
use crate::hardware::{Bus, Device, Pattern};

/// A module of the initrd.
#[derive(Debug, PartialEq, Eq)]
struct Module {
    file: String,
    optional: bool,
    /// Names of the modules that must be there first.
    depends: Vec<String>,
    /// The devices that it drives; empty for one that isn't about devices.
    drives: Vec<Pattern>,
}

/// All of them, each after those that it depends on.
#[derive(Debug)]
pub struct Modules(Vec<Module>);

/// Names of modules, in the order in which they are to be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen(Vec<usize>);

impl Modules {
    /// Reads the list of them.
    pub fn read() -> Result<Self, BootError> {
        let list = fs::read_to_string(INITRD_MODULE_LIST).at("read the module list", INITRD_MODULE_LIST)?;
        Ok(Self::parse(&list))
    }

    fn parse(list: &str) -> Self {
        Self(list.lines().filter_map(Module::parse).collect())
    }

    /// The one called `name` and what it depends on; nothing if it isn't in the initrd: then it is built in, or isn't
    /// wanted.
    pub fn named(&self, name: &str) -> Chosen {
        self.with_dependencies(|module| module.name() == name)
    }

    /// Those that every machine needs: they drive no devices, and no driver alone depends on them.
    pub fn general(&self) -> Chosen {
        let drivers = self.with_dependencies(|module| !module.drives.is_empty()).0;
        self.with_dependencies(|module| {
            module.drives.is_empty() && !drivers.iter().any(|index| self.0[*index].file == module.file)
        })
    }

    /// Those that drive one of `devices`.
    pub fn for_devices(&self, devices: &[Device]) -> Chosen {
        let drives = |module: &Module| {
            devices.iter().any(|device| module.drives.iter().any(|pattern| pattern.fits(&device.alias)))
        };
        self.with_dependencies(drives)
    }

    /// The buses on which there may be devices that one of the modules drives.
    pub fn buses(&self) -> BTreeSet<Bus> {
        self.0.iter().flat_map(|module| &module.drives).filter_map(Pattern::bus).collect()
    }

    /// Loads those of `chosen`. Those that are loaded already, or built in under the same name, are fine.
    pub fn load(&self, chosen: &Chosen) -> Result<(), BootError> {
        for module in chosen.0.iter().filter_map(|index| self.0.get(*index)) {
            match load(&path(&module.file)) {
                Err(error) if module.optional => say(Severity::Warning, &format!("{error}; goes on without")),
                result => result?,
            }
        }
        Ok(())
    }

    fn with_dependencies(&self, wanted: impl Fn(&Module) -> bool) -> Chosen {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut chosen = Vec::new();
        // Backwards, since each comes after those that it depends on.
        for (index, module) in self.0.iter().enumerate().rev() {
            if wanted(module) || names.contains(&*module.name()) {
                names.extend(module.depends.iter().map(String::as_str));
                chosen.push(index);
            }
        }
        chosen.reverse();
        Chosen(chosen)
    }
}

impl Chosen {
    /// These without those of `others`.
    pub fn without(&self, others: &Self) -> Self {
        Self(self.0.iter().copied().filter(|index| !others.0.contains(index)).collect())
    }

    /// These and those.
    pub fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

/// Loads the module at `path`. One that is loaded already is fine.
pub fn load(path: &Path) -> Result<(), BootError> {
    let file = File::open(path).at("open the module", path)?;
    match rustix::system::finit_module(file, c"", 0) {
        Err(Errno::EXIST) => Ok(()),
        result => result.at("load the module", path),
    }
}

impl Module {
    /// A line of the list; nothing if it is empty.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let file = words.next()?;
        let (file, optional) = file.strip_prefix('-').map_or((file, false), |file| (file, true));
        let (mut depends, mut drives) = (Vec::new(), Vec::new());
        for word in words {
            if let Some(names) = word.strip_prefix("depends=") {
                depends.extend(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
            } else if let Some(alias) = word.strip_prefix("alias=") {
                drives.extend(Pattern::of_device(alias));
            }
        }
        Some(Self { file: file.to_owned(), optional, depends, drives })
    }

    /// The kernel's name of it: `dm_mod` of `dm-mod.ko`.
    fn name(&self) -> String {
        self.file.trim_end_matches(".ko").replace('-', "_")
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(INITRD_MODULE_FOLDER).join(file)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "virtio_blk.ko depends= alias=virtio:d00000002v*\n\
                        scsi_mod.ko depends=\n\
                        libata.ko depends=scsi_mod\n\
                        ahci.ko depends=libata alias=pci:v*d*sv*sd*bc01sc06i01*\n\
                        sd_mod.ko depends=scsi_mod alias=scsi:t-0x00*\n\
                        -sha256-ssse3.ko depends= alias=cpu:type:x86,ven*fam*mod*:feature:*0099* alias=crypto-sha256\n\
                        dm-mod.ko depends= alias=devname:mapper/control\n\n\
                        dm-verity.ko depends=dm_mod,built_in\n\
                        erofs.ko depends= alias=fs-erofs\n";

    fn modules() -> Modules {
        Modules::parse(LIST)
    }

    fn files(modules: &Modules, chosen: &Chosen) -> Vec<String> {
        chosen.0.iter().map(|index| modules.0[*index].file.clone()).collect()
    }

    fn device(alias: &str) -> Device {
        Device { alias: alias.into(), path: PathBuf::new() }
    }

    #[test]
    fn a_dash_makes_a_module_optional() {
        let optional: Vec<_> =
            modules().0.into_iter().filter(|module| module.optional).map(|module| module.file).collect();
        assert_eq!(optional, ["sha256-ssse3.ko"]);
    }

    #[test]
    fn a_driver_waits_for_its_device_and_brings_what_it_depends_on() {
        let modules = modules();
        assert_eq!(files(&modules, &modules.general()), ["sha256-ssse3.ko", "dm-mod.ko", "dm-verity.ko", "erofs.ko"]);
        let chosen = |alias| files(&modules, &modules.for_devices(&[device(alias)]));
        assert_eq!(chosen("virtio:d00000002v00001AF4"), ["virtio_blk.ko"]);
        assert_eq!(chosen("virtio:d00000001v00001AF4"), [""; 0]);
        let sata = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        assert_eq!(chosen(sata), ["scsi_mod.ko", "libata.ko", "ahci.ko"]);
        assert_eq!(chosen("scsi:t-0x00"), ["scsi_mod.ko", "sd_mod.ko"]);
    }

    #[test]
    fn nothing_is_chosen_twice() {
        let modules = modules();
        let ahci = modules.for_devices(&[device("pci:v1d2sv3sd4bc01sc06i01")]);
        let disk = modules.for_devices(&[device("scsi:t-0x00")]);
        assert_eq!(files(&modules, &disk.without(&ahci)), ["sd_mod.ko"]);
        assert_eq!(ahci.without(&ahci), Chosen::default());
        assert_eq!(files(&modules, &modules.named("dm_verity")), ["dm-mod.ko", "dm-verity.ko"]);
    }

    #[test]
    fn the_buses_to_look_at_are_those_of_the_drivers() {
        let buses: Vec<String> = modules().buses().into_iter().map(|bus| bus.to_string()).collect();
        assert_eq!(buses, ["pci", "scsi", "virtio"]);
    }

    proptest! {
        #[test]
        fn whatever_the_list_says_each_is_chosen_once_and_in_its_order(
            list in "(-?[ab_-]{1,3}(\\.ko)?( depends=[ab_,]{0,6})?( alias=[p:*]{0,4})?\n{1,2}){0,8}|\\PC{0,40}",
        ) {
            let modules = Modules::parse(&list);
            for chosen in [modules.general(), modules.named("a"), modules.for_devices(&[device("p:")])] {
                prop_assert!(chosen.0.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(chosen.0.iter().all(|index| *index < modules.0.len()));
            }
            prop_assert!(modules.buses().len() <= modules.0.iter().map(|module| module.drives.len()).sum());
        }
    }
}

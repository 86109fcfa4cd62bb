//! Smoke tests: an image is booted in a virtual machine, its checks are run inside, and it is restarted to see what lasts.
//!
//! Nothing of this is in the image but the agent: the machine is handed a unit that runs it (see `slipway_qemu`). The disk is not
//! written to.

mod junit;
mod lasting;
mod report;
mod session;
mod text;
mod timeline;

use std::path::PathBuf;
use std::time::Duration;

use slipway_qemu::{Accel, Bus, Disk, Forward, Machine, Network, QemuError};

use crate::progress::Progress;

pub use report::{Boot, Outcome, SmokeReport};
pub use timeline::{Milestone, Timeline, UnitTime};

/// How an image is tested.
#[derive(Clone, Debug)]
pub struct Options {
    /// A name for messages and reports: `id_version`.
    pub name: String,
    /// The disk image.
    pub disk: PathBuf,
    /// What it is attached to.
    pub bus: Bus,
    /// What executes the guest.
    pub accel: Accel,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// Whether it is restarted, checked again, and looked at for what lasted.
    pub reboot: bool,
    /// How long a boot may take until the agent says hello, and again until systemd calls it finished.
    pub boot_within: Duration,
    /// How long all checks of one boot may take; each has a shorter deadline of its own.
    pub checks_within: Duration,
    /// Where the console's log goes.
    pub serial_log: Option<PathBuf>,
}

impl Options {
    /// The usual: virtio, 2 GiB, 2 processors, with a restart. Deadlines suit a translated guest on a busy host.
    pub fn new(name: impl Into<String>, disk: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            disk: disk.into(),
            bus: Bus::Virtio,
            accel: Accel::Auto,
            memory_mib: 2048,
            cpus: 2,
            reboot: true,
            boot_within: Duration::from_mins(5),
            checks_within: Duration::from_mins(10),
            serial_log: None,
        }
    }

    /// The machine, with a network on which only the machine itself is.
    fn machine(&self) -> Machine {
        let forwards: Vec<Forward> = Vec::new();
        let machine = Machine::new(&self.name)
            .memory_mib(self.memory_mib)
            .cpus(self.cpus)
            .accel(self.accel)
            .disk(Disk::raw(&self.disk).on(self.bus).thrown_away())
            .network(Network::User { restricted: true, forwards })
            .with_guest_channel();
        match &self.serial_log {
            Some(path) => machine.serial_file(path),
            None => machine,
        }
    }
}

/// Boots the image and tests it.
///
/// An error means that there was no machine to test it with. An image that doesn't boot, or stops answering, gives a report that
/// says so.
pub fn run(options: &Options, progress: &dyn Progress) -> Result<SmokeReport, QemuError> {
    session::run(options, progress)
}

//! The description of a machine.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::accelerator::Accel;
use crate::disk::Disk;
use crate::error::QemuError;
use crate::firmware::{Firmware, Variables};
use crate::guest;
use crate::running::Running;
use crate::smbios::Credential;

/// A TCP port of the host that leads to one of the guest. The host's listens on 127.0.0.1 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Port of the host; `None` takes one that is free.
    pub host: Option<u16>,
    /// Port of the guest.
    pub guest: u16,
}

/// What the machine is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing: there is no network card.
    #[default]
    None,
    /// QEMU's user network: the guest gets 10.0.2.15 by DHCP and reaches the host at 10.0.2.2.
    User {
        /// Whether the guest reaches nothing, and only forwarded ports reach it.
        restricted: bool,
        /// Forwarded ports.
        forwards: Vec<Forward>,
    },
}

/// Where the first serial port leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Console {
    /// Into [`Running::serial`].
    #[default]
    Captured,
    /// To this process's terminal, with QEMU's escape key: Ctrl-A X ends the machine. Nothing is captured in memory.
    Terminal,
}

/// What QEMU does when the guest restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReset {
    /// The guest starts anew.
    #[default]
    Restart,
    /// The machine ends.
    End,
}

/// The description of a machine: x86-64, q35, headless, with nothing that isn't named here. Start it with [`Self::start`].
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) name: String,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) cpu_model: Option<String>,
    pub(crate) accel: Accel,
    pub(crate) firmware: Firmware,
    pub(crate) disks: Vec<Disk>,
    pub(crate) network: Network,
    pub(crate) credentials: Vec<Credential>,
    pub(crate) console: Console,
    pub(crate) serial_file: Option<PathBuf>,
    pub(crate) guest_channel: bool,
    pub(crate) watchdog: bool,
    pub(crate) screen: bool,
    pub(crate) on_reset: OnReset,
    pub(crate) extra_arguments: Vec<OsString>,
}

impl Machine {
    /// UEFI with fresh variables, 2 GiB, 2 processors, no disk, no network.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            memory_mib: 2048,
            cpus: 2,
            cpu_model: None,
            accel: Accel::Auto,
            firmware: Firmware::Uefi(Variables::Fresh),
            disks: Vec::new(),
            network: Network::None,
            credentials: Vec::new(),
            console: Console::Captured,
            serial_file: None,
            guest_channel: false,
            watchdog: false,
            screen: false,
            on_reset: OnReset::Restart,
            extra_arguments: Vec::new(),
        }
    }

    /// Memory, in MiB.
    #[must_use]
    pub fn memory_mib(self, memory_mib: u32) -> Self {
        Self { memory_mib, ..self }
    }

    /// Processors.
    #[must_use]
    pub fn cpus(self, cpus: u32) -> Self {
        Self { cpus, ..self }
    }

    /// Another processor model than the one that suits the accelerator, as QEMU's `-cpu` takes it.
    #[must_use]
    pub fn cpu_model(self, model: impl Into<String>) -> Self {
        Self { cpu_model: Some(model.into()), ..self }
    }

    /// Which accelerator is wanted.
    #[must_use]
    pub fn accel(self, accel: Accel) -> Self {
        Self { accel, ..self }
    }

    /// What starts first.
    #[must_use]
    pub fn firmware(self, firmware: Firmware) -> Self {
        Self { firmware, ..self }
    }

    /// One more disk. The firmware tries them in order.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// What it is connected to.
    #[must_use]
    pub fn network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// One more system credential of systemd.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credentials.push(credential);
        self
    }

    /// Where the first serial port leads.
    #[must_use]
    pub fn console(self, console: Console) -> Self {
        Self { console, ..self }
    }

    /// A file that gets every byte of the first serial port as well. It is made anew.
    #[must_use]
    pub fn serial_file(self, path: impl Into<PathBuf>) -> Self {
        Self { serial_file: Some(path.into()), ..self }
    }

    /// A second serial port, and by credentials a unit that runs `slipway-agent guest` at it: see [`Running::guest`].
    /// The image needs nothing for it but the agent and systemd 256 or newer with `systemd-debug-generator`.
    #[must_use]
    pub fn with_guest_channel(mut self) -> Self {
        if !self.guest_channel {
            self.credentials.extend(guest::credentials());
        }
        self.guest_channel = true;
        self
    }

    /// A hardware watchdog (i6300esb) that resets the machine when it isn't fed.
    #[must_use]
    pub fn with_watchdog(self) -> Self {
        Self { watchdog: true, ..self }
    }

    /// A graphics card, and a window that shows it.
    #[must_use]
    pub fn with_screen(self) -> Self {
        Self { screen: true, ..self }
    }

    /// What happens when the guest restarts.
    #[must_use]
    pub fn on_reset(self, on_reset: OnReset) -> Self {
        Self { on_reset, ..self }
    }

    /// One more argument of QEMU, for what isn't modelled here.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.extra_arguments.push(argument.into());
        self
    }

    /// Switches it on. Returns when the first instruction is about to run.
    pub fn start(self) -> Result<Running, QemuError> {
        Running::start(&self)
    }

    /// An error about this description.
    pub(crate) fn wrong(&self, what: impl Into<String>) -> QemuError {
        QemuError::Description { machine: self.name.clone(), what: what.into() }
    }
}

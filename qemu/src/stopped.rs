//! A machine that has stopped.

use std::process::ExitStatus;
use std::time::Duration;

use crate::qmp::Event;
use crate::serial::SerialLog;

/// What is left of a machine.
pub struct Stopped {
    pub(crate) status: ExitStatus,
    pub(crate) serial: SerialLog,
    pub(crate) events: Vec<Event>,
    pub(crate) cpu_time: Duration,
    pub(crate) up_time: Duration,
}

impl Stopped {
    /// How QEMU ended: with status 0 after the guest switched off, by SIGKILL after a power cut.
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// All that the console said.
    pub fn serial(&self) -> &SerialLog {
        &self.serial
    }

    /// All that QEMU reported.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// CPU time, of user and system, that QEMU used.
    pub fn cpu_time(&self) -> Duration {
        self.cpu_time
    }

    /// From switching on to the end, by the host's clock.
    pub fn up_time(&self) -> Duration {
        self.up_time
    }
}

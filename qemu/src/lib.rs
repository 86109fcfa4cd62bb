//! A machine under test: from a typed description ([`Machine`]) to a running QEMU ([`Running`]), and to what is left of it
//! when it has stopped ([`Stopped`]).
//!
//! ```no_run
//! use std::time::Duration;
//! use slipway_qemu::{Disk, Machine};
//!
//! let mut machine = Machine::new("host").disk(Disk::raw("disk.raw").thrown_away()).with_guest_channel().start()?;
//! machine.guest()?.wait_for_hello(Duration::from_secs(120))?;
//! let answer = machine.guest()?.run(&["uname", "-r"], Duration::from_secs(10))?;
//! assert!(answer.succeeded());
//! let stopped = machine.power_off(Duration::from_secs(60))?;
//! println!("{} lines on the console, {:?} of CPU time", stopped.serial().lines().len(), stopped.cpu_time());
//! # Ok::<(), slipway_qemu::QemuError>(())
//! ```
//!
//! Nothing here sleeps: whatever is awaited is an event (a line, a QMP event, an exit) with a deadline, and the errors keep the
//! command line and the ends of what QEMU and the guest said.

pub mod accelerator;
mod command;
mod disk;
mod error;
mod fault;
mod firmware;
mod guest;
mod machine;
mod prepare;
mod process;
mod program;
mod qmp;
mod running;
mod serial;
mod smbios;
mod stopped;

pub use accelerator::{Accel, Accelerator, Choice};
pub use disk::{Access, Bus, Disk, Format};
pub use error::{Context, QemuError};
pub use fault::DiskFault;
pub use firmware::{Firmware, Ovmf, Variables};
pub use guest::{CheckResult, Guest, GuestError, Output};
pub use machine::{Console, Forward, Machine, Network, OnReset};
pub use program::{Program, Version};
pub use qmp::Event;
pub use running::Running;
pub use serial::{Mark, SerialLine, SerialLog};
pub use smbios::Credential;
pub use stopped::Stopped;

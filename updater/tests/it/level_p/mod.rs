//! Level P of the scenarios: the agent against recorded disks.
//!
//! [`recorded`] is a disk in memory that logs every write and flush. [`crash`] makes of a log the disks that a power cut can
//! leave. [`firmware`] is a model of firmware, systemd-boot and initrd that boots such a disk, with readers that are not the
//! agent's. [`world`] has a host with images to install, and [`scenarios`] are the tests.

pub mod crash;
pub mod firmware;
pub mod recorded;
pub mod world;

mod damage;
mod leaving;
mod passed_over;
mod patched;
mod scenarios;

//! The channel over a real serial port.

use slipway_qemu::{GuestError, QemuError};

use crate::sector::{SOON, Sector, machine};

#[test]
fn hello_commands_and_a_restart() {
    let sector = Sector::new();
    let mut running = machine(sector.disk()).with_guest_channel().start().unwrap();
    let mut guest = running.guest().unwrap();
    assert_eq!(guest.wait_for_hello(SOON).unwrap(), "sector");
    for _ in 0..2 {
        let output = guest.run(&["echo"], SOON).unwrap();
        assert!(output.succeeded());
        assert_eq!(output.stdout, "out");
    }
    let error = guest.run(&["REBOOT"], SOON).unwrap_err();
    assert!(
        matches!(&error, QemuError::Guest { error: GuestError::Restarted(what), .. } if what.contains("REBOOT")),
        "{error}"
    );
    running.wait_for_reset(0, SOON).unwrap();
    running.wait_for_serial("boots 2", SOON).unwrap();
    let stopped = running.power_off(SOON).unwrap();
    assert_eq!(stopped.serial().lines().len(), 3);
}

#[test]
fn a_machine_without_one_says_so() {
    let sector = Sector::new();
    let mut running = machine(sector.disk()).start().unwrap();
    let error = running.guest().map(drop).unwrap_err().to_string();
    assert_eq!(error, "machine `sector`: it has no channel into the guest");
}

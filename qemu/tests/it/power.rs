//! Power button, reset button, plug.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use slipway_qemu::{Firmware, Machine, OnReset, QemuError};

use crate::sector::{SOON, Sector, machine, one_at_a_time};

#[test]
fn the_power_button_lets_the_guest_end() {
    let sector = Sector::new();
    let log = sector.folder().join("serial.log");
    let running = machine(sector.disk()).serial_file(&log).start().unwrap();
    let line = running.wait_for_serial("boots 1", SOON).unwrap();
    assert!(line.at > Duration::ZERO && line.at <= running.up_time());
    assert!(running.cpu_time() > Duration::ZERO);
    let stopped = running.power_off(SOON).unwrap();
    assert!(stopped.status().success());
    assert_eq!(stopped.serial().tail(1), ["off"]);
    assert!(stopped.events().iter().any(|event| event.name == "SHUTDOWN" && event.data["guest"] == true));
    assert!(stopped.cpu_time() > Duration::ZERO && stopped.up_time() > line.at);
    assert_eq!(std::fs::read(log).unwrap(), b"boots 1\r\noff\r\n");
}

#[test]
fn the_plug_ends_it_at_once_and_leaves_no_process() {
    let sector = Sector::new();
    let running = machine(sector.disk()).start().unwrap();
    running.wait_for_serial("boots 1", SOON).unwrap();
    let process = format!("/proc/{}", running.process_id());
    let stopped = running.cut_power().unwrap();
    assert_eq!(stopped.status().signal(), Some(9));
    assert!(!stopped.events().iter().any(|event| event.name == "SHUTDOWN"));
    assert!(!std::fs::exists(process).unwrap());
    assert_eq!(sector.starts(), 1);
}

#[test]
fn the_reset_button_is_reported_and_time_goes_on() {
    let sector = Sector::new();
    let mut running = machine(sector.disk()).start().unwrap();
    let first = running.wait_for_serial("boots 1", SOON).unwrap();
    let before = running.events().len();
    running.reset().unwrap();
    let event = running.wait_for_reset(before, SOON).unwrap();
    let second = running.wait_for_serial("boots 2", SOON).unwrap();
    assert!(first.at <= event.at && event.at <= second.at);
    assert_eq!(event.data["guest"], false);
}

#[test]
fn a_machine_can_end_at_its_first_reset() {
    let sector = Sector::new();
    let mut running = machine(sector.disk()).on_reset(OnReset::End).start().unwrap();
    running.wait_for_serial("boots 1", SOON).unwrap();
    running.reset().unwrap();
    assert!(running.wait_until_off(SOON).unwrap().status().success());
    assert_eq!(sector.starts(), 1);
}

#[test]
fn a_guest_that_ignores_the_power_button_is_killed_at_the_deadline() {
    let _lock = one_at_a_time();
    // Nothing to boot: SeaBIOS waits for ever.
    let running = Machine::new("deaf").firmware(Firmware::Bios).memory_mib(64).cpus(1).start().unwrap();
    let process = format!("/proc/{}", running.process_id());
    let error = running.power_off(Duration::from_millis(300)).map(drop).unwrap_err();
    assert!(matches!(error, QemuError::Deadline { .. }), "{error}");
    assert!(!std::fs::exists(process).unwrap());
}

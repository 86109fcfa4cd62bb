//! What a person is told when a machine does not do what it should.

use std::time::Duration;

use slipway_qemu::{Accel, Credential, Disk, Firmware, Machine, Network, QemuError};

use crate::sector::{SOON, Sector, machine, one_at_a_time};

#[test]
fn an_option_that_qemu_refuses_is_shown_with_its_words_and_the_command() {
    let _lock = one_at_a_time();
    let error = Machine::new("x").firmware(Firmware::Bios).argument("-no-such-option").start().map(drop).unwrap_err();
    assert!(matches!(error, QemuError::Ended { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("-no-such-option: invalid option"), "{text}");
    assert!(text.contains("command: /") && text.contains("-machine q35"), "{text}");
}

#[test]
fn a_pattern_that_never_comes_is_shown_with_what_came() {
    let sector = Sector::new();
    let running = machine(sector.disk()).start().unwrap();
    running.wait_for_serial("boots 1", SOON).unwrap();
    let error = running.wait_for_serial("login:", Duration::from_millis(100)).unwrap_err().to_string();
    assert!(error.starts_with("`login:` on the console: nothing after 0.1 s"), "{error}");
    assert!(error.contains("last lines of the serial console:\n    boots 1"), "{error}");
}

#[test]
fn a_disk_that_another_machine_has_open_is_refused() {
    let sector = Sector::new();
    let first = machine(sector.disk()).start().unwrap();
    let error = machine(sector.disk()).start().map(drop).unwrap_err().to_string();
    assert!(error.contains("lock"), "{error}");
    first.wait_for_serial("boots 1", SOON).unwrap();
}

#[test]
fn names_paths_and_values_with_commas_are_no_options() {
    let sector = Sector::new();
    let odd = sector.folder().join("a,readonly=on,b.raw");
    std::fs::rename(sector.path(), &odd).unwrap();
    let running = Machine::new("one,two")
        .accel(Accel::Tcg)
        .firmware(Firmware::Bios)
        .disk(Disk::raw(odd))
        .credential(Credential::new("x", "a,type=1,manufacturer=b").unwrap())
        .credential(Credential::new("y", "long,".repeat(300)).unwrap())
        .network(Network::User { restricted: true, forwards: vec![slipway_qemu::Forward { host: None, guest: 22 }] })
        .with_watchdog()
        .start()
        .unwrap();
    running.wait_for_serial("boots 1", SOON).unwrap();
    assert!(running.host_port(22).is_some() && running.host_port(23).is_none());
}

//! Keys that are pressed while a machine starts, or characters on a serial line: nobody is there to answer a menu.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use slipway_qemu::Disk;

use crate::machines::{PATIENCE, disk, start};

#[test]
fn keys_that_are_pressed_at_boot_hold_nothing_up() {
    let mut machine = start("keys-at-boot", [Disk::raw(disk()).thrown_away()]);
    machine.wait_for_serial("BdsDxe: starting", PATIENCE).unwrap();
    let key = json!({ "keys": [{ "type": "qcode", "data": "w" }] });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        machine.command("send-key", &key).unwrap();
        thread::sleep(Duration::from_millis(200));
    }
    machine.guest().unwrap().wait_for_hello(PATIENCE).unwrap();
    machine.cut_power().unwrap();
}

//! The kernel image of a new version is damaged on the ESP before its first boot. The agent finds that, before a boot or after one for
//! which the boot loader passed it over, and writes it again. A boot into it hangs in the firmware: each reset costs a try.

use slipway_qemu::Mark;
use slipway_tests::updates::{Edition, Host, PATIENCE};

const IMAGE: &str = "EFI/Linux/minimal_2+3.efi";

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn in_its_head_while_the_power_is_off() {
    let mut host = damaged("s08-head", |image| image[..4096].fill(0xff));
    host.wait_until_runs("1");
    println!("s08-head: {} restarts", host.resets());
    found_and_written_again(&mut host);
}

#[test]
#[ignore = "two boots: `make scenarios` runs it"]
fn in_its_middle_while_it_waits() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered("s08-waits", &old, &new);
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    let seek = "dd if=/dev/zero bs=64k count=1 seek=100 conv=notrunc,fsync";
    host.shell(&format!(
        "mkdir /run/esp && mount /dev/slipway/esp /run/esp && {seek} of=/run/esp/{IMAGE} && umount /run/esp"
    ));
    found_and_written_again(&mut host);
}

#[test]
#[ignore = "boots with tries: `make scenarios` runs it"]
fn in_its_middle_while_the_power_is_off() {
    let mut host = damaged("s08-middle", |image| {
        let middle = image.len() / 2;
        image[middle..middle + (1 << 20)].fill(0xff);
    });
    // The kernel can't unpack itself, and the firmware hangs: whoever watches over the machine resets it.
    let mut mark = Mark::default();
    for _ in 0..3 {
        (_, mark) = host.machine().wait_for_serial_after(mark, "Failed to decompress kernel", PATIENCE).unwrap();
        host.machine().reset().unwrap();
    }
    host.wait_until_runs("1");
    let said = host.pass();
    assert!(said.contains("2 failed here: it did not come up in any of its tries"), "{said}");
    assert_eq!(host.status()["running"]["label"], "minimal_1");
}

/// A host with version 1 that is switched on after the kernel image of version 2, which waits, was damaged.
fn damaged(name: &str, damage: impl FnOnce(&mut [u8])) -> Host {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered(name, &old, &new);
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    host.power_off();
    let esp = host.esp();
    let mut image = esp.read(IMAGE);
    damage(&mut image);
    esp.write(IMAGE, &image);
    host.start();
    host
}

/// A pass finds the damage, and ends with a restart into the version that was damaged.
fn found_and_written_again(host: &mut Host) {
    host.update_and_restart();
    host.wait_until_runs("2");
    let history = host.output(&["slipway-agent", "history"]);
    println!("{history}");
    assert!(history.contains("its kernel image on the ESP is no longer what was written"), "{history}");
    assert_eq!(host.failures(), []);
}

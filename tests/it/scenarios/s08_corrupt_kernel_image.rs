//! The kernel image of a new version is damaged on the ESP before its first boot: in its head, so that the boot loader passes it over,
//! and in its middle, so that it starts and goes wrong. The old version runs again, and the new one is not waited for any longer.

use slipway_tests::updates::{Edition, Host};

#[test]
#[ignore = "boots with tries: `make scenarios` runs it"]
fn in_its_head() {
    damaged("s08-head", "the boot loader passed it over", |image| image[..4096].fill(0xff));
}

#[test]
#[ignore = "boots with tries: `make scenarios` runs it"]
fn in_its_middle() {
    damaged("s08-middle", "it did not come up in any of its tries", |image| {
        let middle = image.len() / 2;
        image[middle..middle + (1 << 20)].fill(0xff);
    });
}

fn damaged(name: &str, why: &str, damage: impl FnOnce(&mut [u8])) {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered(name, &old, &new);
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    host.power_off();
    let esp = host.esp();
    let mut image = esp.read("EFI/Linux/minimal_2+3.efi");
    damage(&mut image);
    esp.write("EFI/Linux/minimal_2+3.efi", &image);
    host.start();
    host.wait_until_runs("1");
    println!("{name}: {} restarts", host.resets());
    let said = host.pass();
    assert!(said.contains(&format!("2 failed here: {why}")), "{said}");
    assert_eq!(host.status()["running"]["label"], "minimal_1");
}

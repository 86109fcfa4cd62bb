//! UEFI, from the distribution's OVMF.

use slipway_qemu::{Accel, Firmware, Machine, Variables};

use crate::sector::{SOON, one_at_a_time};

#[test]
fn reaches_its_boot_manager_and_keeps_its_variables() {
    let _lock = one_at_a_time();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("variables");
    let running = Machine::new("uefi")
        .accel(Accel::Tcg)
        .firmware(Firmware::Uefi(Variables::At(store.clone())))
        .memory_mib(128)
        .cpus(1)
        .start()
        .unwrap();
    let template = std::fs::read(&store).unwrap();
    // With nothing to boot, it offers its shell or says that it found nothing.
    running.wait_for_serial("BdsDxe", SOON).unwrap();
    running.cut_power().unwrap();
    let kept = std::fs::read(&store).unwrap();
    assert_eq!(kept.len(), template.len());
    assert_ne!(kept, template, "boot entries went into the store");
}

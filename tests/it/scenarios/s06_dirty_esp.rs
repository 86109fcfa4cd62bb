//! The ESP was not left cleanly: its marks say so, lost chains are on it as `fsck` leaves them, an entry that leads nowhere, and
//! somebody's temporary file. It is mended, what isn't ours stays, and the update goes on.

use slipway_tests::program::oracle;
use slipway_tests::updates::{Edition, Host};

const NAME: &str = "s06";

#[test]
#[ignore = "two boots: `make scenarios` runs it"]
fn it_is_mended_and_the_update_goes_on() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    host.power_off();
    let esp = host.esp();
    let junk = vec![0x55; 3 << 20];
    esp.write("FSCK0000.REC", &junk);
    esp.write("EFI/Linux/minimal_2.efi.tmp", &junk);
    // An entry of a version that is in no slot, as a cut-off installation by another program would leave it.
    let kernel = esp.read("EFI/Linux/minimal_1.efi");
    esp.write("EFI/Linux/minimal_0+3.efi", &kernel);
    esp.mark_dirty();
    let before = esp.all();

    host.start();
    host.wait_until_runs("1");
    assert_eq!(host.resets(), 0, "what is left over is not tried: it is older");
    host.update_and_restart();
    host.wait_until_runs("2");
    assert_eq!(host.problems(), [""; 0]);
    host.power_off();
    let esp = host.esp();
    println!("s06: before {before:?}\ns06: after {:?}", esp.all());
    assert_eq!(esp.entries(), ["minimal_1.efi", "minimal_2.efi", "minimal_2.efi.tmp"]);
    assert_eq!(esp.read("EFI/Linux/minimal_2.efi.tmp"), junk, "what isn't ours stays");
    assert!(!esp.all().iter().any(|path| path.contains("FSCK")), "{:?}", esp.all());
    assert!(esp.is_clean());
    let copy = host.disk().with_extension("esp");
    esp.extract(&copy);
    oracle("fsck.vfat", &[&"-n", &copy]);
}

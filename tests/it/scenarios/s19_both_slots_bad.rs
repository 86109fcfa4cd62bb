//! Nothing on the disk boots: the version that was kept is damaged, and so is the new one. The console says so at each try; it is no
//! silent loop, and the machine isn't stuck either: it comes up as soon as the disk is well again.

use slipway_images::disk::TypeGuid;
use slipway_tests::updates::{Edition, Host, PATIENCE};

use crate::machines::{overwrite, partition, slot_b};

const NAME: &str = "s19";
const TOP: u64 = 4096;

#[test]
#[ignore = "eight boots: `make scenarios` runs it"]
fn the_console_says_so_at_each_try() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    host.power_off();
    let tree = TypeGuid::ROOT_VERITY_X86_64;
    let tops = [partition(host.disk(), tree).start + TOP, slot_b(host.disk(), tree).start + TOP];
    for top in tops {
        overwrite(host.disk(), top, &[0; 64]);
    }
    host.start();
    // Three tries of the new version, then the old one, time and again.
    for _ in 0..6 {
        let before = host.machine().events().len();
        host.machine().wait_for_reset(before, PATIENCE).unwrap();
    }
    let console = host.console();
    let said: Vec<&String> = console.iter().filter(|line| line.contains("slipway-initrd")).collect();
    println!("s19: {said:#?}");
    let [new_said, old_said] =
        ["/dev/vda5", "/dev/vda3"].map(|tree| said.iter().filter(|line| line.contains(tree)).count());
    assert_eq!(new_said, 3, "{said:#?}");
    assert!(old_said >= 2, "{said:#?}");
    host.cut_power();

    // Somebody puts the kept version right.
    let tree = std::fs::read(old.path("root.verity")).unwrap();
    overwrite(host.disk(), tops[0], &tree[TOP as usize..TOP as usize + 64]);
    host.start();
    host.wait_until_runs("1");
    let said = host.pass();
    assert!(said.contains("2 failed here: it did not come up in any of its tries"), "{said}");
}

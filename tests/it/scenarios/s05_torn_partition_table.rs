//! The primary partition table is torn, then the backup one: the other copy is used, and the damaged one is repaired, be it by the
//! firmware, which may come first, or by the agent.

use std::fs::File;

use slipway_images::disk::{PartitionTable, TableCopy};
use slipway_tests::updates::{Edition, Host, Repository, Server};

use crate::machines::overwrite;

const NAME: &str = "s05";
const SECTOR: u64 = 512;

#[test]
#[ignore = "four boots: `make scenarios` runs it"]
fn the_other_copy_is_used_and_the_damaged_one_repaired() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let mut repository = Repository::new(NAME);
    let server = Server::start(repository.folder());
    let mut host = Host::booted(NAME, &old, &server);
    host.power_off();
    let size = host.disk().metadata().unwrap().len();

    // The header written half, with an entry array of zeros.
    overwrite(host.disk(), SECTOR + 256, &[0xff; 256]);
    overwrite(host.disk(), SECTOR + 40, &[0; 60]);
    assert_eq!(valid(&host), [false, true]);
    host.start();
    host.wait_until_runs("1");
    println!(
        "s05: with a torn primary table: {}, then {}",
        host.shell("cat /run/slipway/boot.json"),
        host.status()["tables"]
    );
    let _ = host.output(&["slipway-agent", "settle"]);
    assert_eq!(host.status()["tables"], "same");
    host.power_off();
    assert_eq!(valid(&host), [true, true]);

    overwrite(host.disk(), size - SECTOR, &[0; 64]);
    assert_eq!(valid(&host), [true, false]);
    host.start();
    host.wait_until_runs("1");
    println!("s05: with a torn backup table: {}", host.status()["tables"]);
    // An update repairs it on its way.
    repository.publish(&new, &[&old]);
    host.update_and_restart();
    host.wait_until_runs("2");
    assert_eq!(host.status()["tables"], "same");
    assert_eq!(host.problems(), [""; 0]);
    host.power_off();
    assert_eq!(valid(&host), [true, true]);
}

fn valid(host: &Host) -> [bool; 2] {
    let mut disk = File::open(host.disk()).unwrap();
    [TableCopy::Primary, TableCopy::Backup].map(|copy| PartitionTable::read_copy(&mut disk, copy).is_ok())
}

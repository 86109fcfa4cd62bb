//! The initrd of a new version finds no root, or one that isn't what was signed: it says so on the console and restarts at once, until
//! the tries are used up; the old version runs again and knows why.

use slipway_images::disk::TypeGuid;
use slipway_tests::updates::{Edition, Host};

use crate::machines::{overwrite, slot_b};

#[test]
#[ignore = "four boots: `make scenarios` runs it"]
fn there_is_none() {
    // Its GUIDs are gone from both tables: another's, so that the tables stay valid and equal.
    fails("s11-none", "root", |host| {
        let mut sgdisk = std::process::Command::new("sfdisk");
        sgdisk
            .args(["--no-reread", "--part-uuid"])
            .arg(host.disk())
            .args(["4", "00000000-1111-2222-3333-444444444444"]);
        let _ = slipway_tests::program::Outcome::of(&mut sgdisk).succeeded();
    });
}

#[test]
#[ignore = "four boots: `make scenarios` runs it"]
fn it_is_not_the_signed_one() {
    fails("s11-other", "doesn't match the root hash", |host| {
        overwrite(host.disk(), slot_b(host.disk(), TypeGuid::ROOT_VERITY_X86_64).start + 4096, &[0; 64]);
    });
}

fn fails(name: &str, word: &str, damage: impl FnOnce(&Host)) {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered(name, &old, &new);
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    host.power_off();
    damage(&host);
    host.start();
    host.wait_until_runs("1");
    assert_eq!(host.resets(), 3, "one for each try");
    let console = host.console();
    let said: Vec<&String> = console.iter().filter(|line| line.contains("slipway-initrd")).collect();
    assert!(said.len() == 3 && said.iter().all(|line| line.contains(word) && line.contains("restarting")), "{said:?}");
    let _ = host.run(&["slipway-agent", "settle"]);
    println!("{name}: {said:?}\n{}", host.explain());
    let status = host.status();
    assert_eq!((&status["running"]["label"], &status["running"]["standing"]), (&"minimal_1".into(), &"good".into()));
}

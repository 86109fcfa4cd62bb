//! The power goes twice during the first boots of a new version, fewer times than it has tries: it is kept all the same, and nothing
//! is counted against it.

use slipway_tests::updates::{Edition, Host, PATIENCE};

const NAME: &str = "s17";

#[test]
#[ignore = "four boots: `make scenarios` runs it"]
fn the_new_version_is_kept() {
    let old = Edition::new("1").build();
    // It is still looked at when the second cut comes.
    let check = "[health]\nsoak = \"40s\"\n[[health.check]]\nname = \"well\"\ncommand = [\"/usr/bin/true\"]\n";
    let new = Edition::new("2.soaks").with(check).build();
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    host.update_and_restart();
    // Once when the first services start, once when the system is up and its health is being looked at.
    host.machine().guest().unwrap().wait_for_hello(PATIENCE).unwrap();
    assert!(host.shell("cat /usr/lib/os-release").contains("IMAGE_VERSION=\"2.soaks\""), "the first try");
    host.cut_power();
    host.start();
    host.machine().guest().unwrap().wait_for_hello(PATIENCE).unwrap();
    assert!(host.shell("cat /usr/lib/os-release").contains("IMAGE_VERSION=\"2.soaks\""), "the second try");
    host.machine().wait_for_serial("login:", PATIENCE).unwrap();
    host.cut_power();
    assert_eq!(host.esp().entries(), ["minimal_1.efi", "minimal_2.soaks+1-2.efi"]);
    host.start();
    host.wait_until_runs("2.soaks");
    assert_eq!(host.resets(), 0);
    let status = host.status();
    println!("s17: {}", status["running"]);
    assert_eq!(
        (&status["running"]["entry"], &status["running"]["standing"]),
        (&"minimal_2.soaks.efi".into(), &"good".into())
    );
    assert_eq!(host.failures(), []);
    assert_eq!(status["ledger"]["floor"], "2.soaks");
}

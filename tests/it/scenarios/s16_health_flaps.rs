//! A new version is healthy at first and unhealthy during its soak time: it is not kept.

use slipway_tests::updates::{Edition, Host};

const NAME: &str = "s16";

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn it_is_not_kept() {
    let old = Edition::new("1").build();
    // It holds for the first three looks.
    let program = "#!/bin/bash\necho -n x >> /run/looks\n(( $(stat -c %s /run/looks) <= 3 )) || { echo the queue is stuck; exit 1; }\n";
    let check =
        "[health]\nsoak = \"40s\"\n[[health.check]]\nname = \"the queue moves\"\ncommand = [\"/usr/lib/queue\"]\n";
    let new = Edition::new("2.flaps").with_file("/usr/lib/queue", program).with(check).build();
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    host.update_and_restart();
    host.wait_until_runs("1");
    assert_eq!(host.resets(), 2);
    let (label, reason) = host.failures().remove(0);
    println!("s16: {reason}");
    assert_eq!((label.as_str(), &reason["kind"]), ("minimal_2.flaps", &"health".into()));
    assert!(reason["detail"].as_str().unwrap().contains("the queue is stuck"), "{reason}");
    assert_eq!(host.status()["ledger"]["floor"], "1", "the floor did not rise");
}

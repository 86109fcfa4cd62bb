//! The health check of an application fails, or hangs: the old version runs again, at the latest when the check's time is up, and
//! says why.

use std::time::Duration;

use slipway_tests::updates::{Build, Edition, Host, Repository, Server};

const CHECK: &str = "[[health.check]]\nname = \"the shop is open\"\ncommand = [\"/usr/lib/shop\"]\nwithin = \"15s\"\n";

#[test]
fn it_fails() {
    let new = Edition::new("2.empty.till").with_file("/usr/lib/shop", "#!/bin/bash\necho the till is empty; exit 7\n");
    let (mut host, took) = goes_back("s15-fails", &new.with(CHECK).build());
    let (label, reason) = host.failures().remove(0);
    assert_eq!(label, "minimal_2.empty.till");
    assert_eq!(
        (&reason["kind"], &reason["detail"]),
        (&"health".into(), &"the shop is open: ended with status 7: the till is empty".into())
    );
    println!("s15: from the first line of the new version to that of the old one in {} s", took.as_secs());
    let log = host.status()["ledger"]["failures"][0]["log"].to_string();
    assert!(log.contains("systemd"), "the end of its log is kept: {log}");
}

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn it_hangs() {
    let new = Edition::new("2.closed").with_file("/usr/lib/shop", "#!/bin/bash\nsleep infinity\n");
    let (mut host, _) = goes_back("s15-hangs", &new.with(CHECK).build());
    let (_, reason) = host.failures().remove(0);
    assert_eq!(reason["kind"], "health");
    let detail = reason["detail"].as_str().unwrap();
    assert!(detail.starts_with("the shop is open: ") && detail.contains("its time was up"), "{detail}");
}

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn the_timer_comes_before_it_has_failed() {
    let old = Edition::new("1").build();
    let gate = "[Unit]\nRequires=gate.service\nAfter=gate.service\n";
    let new = Edition::new("2.gate")
        .with_service("gate", "sleep 90; echo the gate stays shut; exit 1", "multi-user.target", "")
        .with_file("/usr/lib/systemd/system/boot-complete.target.d/20-gate.conf", gate)
        .build();
    let mut repository = Repository::new("s15-timer");
    repository.publish(&new, &[&old]);
    let server = Server::start(repository.folder());
    let mut host = Host::new("s15-timer", &old, &server).with_timer(30);
    host.start();
    // By its timer it takes the new version; when that comes again, the boot isn't over.
    host.starts_and_restarts();
    host.starts_and_restarts();
    host.wait_until_runs("1");
    assert_eq!(host.resets(), 2);
    let status = host.status();
    assert_eq!(status["ledger"]["floor"], "1", "it was not kept: {status}");
    let (label, reason) = host.failures().remove(0);
    println!("s15: {reason}");
    assert_eq!((label.as_str(), &reason["kind"]), ("minimal_2.gate", &"health".into()));
}

/// Updates a host to a version that is left at once, after one try, and waits for the old one.
fn goes_back(name: &str, new: &Build) -> (Host, Duration) {
    let old = Edition::new("1").build();
    let (mut host, ..) = Host::offered(name, &old, new);
    host.shell("echo kept > /var/lib/witness && sync /var/lib/witness");
    host.update_and_restart();
    let begun = host.machine().up_time();
    host.wait_until_runs("1");
    let took = host.machine().up_time() - begun;
    assert_eq!(host.resets(), 2, "into it and back: nobody waits for two more tries");
    assert_eq!(host.status()["other"]["standing"], "bad");
    assert_eq!(host.shell("cat /var/lib/witness"), "kept\n");
    let explained = host.explain();
    assert!(explained.contains(&format!("failed  {}: not healthy: the shop is open", new.label)), "{explained}");
    (host, took)
}

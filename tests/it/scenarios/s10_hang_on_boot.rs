//! A new version hangs while it boots, all of its processes in one case, the init system in the other: the hardware watchdog restarts
//! the machine, its tries are used up, and the old version runs again. One that only waits for somebody to look at it is left.

use slipway_tests::updates::{Edition, Host, Repository, Server};

#[test]
#[ignore = "waits for a watchdog three times: `make scenarios` runs it"]
fn every_process_is_frozen() {
    // The last group is its own.
    let line = "for group in init.scope user.slice system.slice; do echo 1 > /sys/fs/cgroup/$group/cgroup.freeze; done";
    hangs("s10-frozen", "2.frozen", line);
}

#[test]
#[ignore = "waits for a watchdog three times: `make scenarios` runs it"]
fn the_init_system_is_frozen() {
    // With this signal, systemd dumps core in a child and freezes: it feeds nobody any more.
    hangs("s10-init", "2.freezes", "kill -SEGV 1");
}

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn it_ends_in_emergency_mode() {
    let old = Edition::new("1").build();
    let mount = "[Unit]\nBefore=local-fs.target\n[Mount]\nWhat=none\nWhere=/mnt\nType=nonsense\n";
    let new = Edition::new("2.no.data")
        .with_file("/usr/lib/systemd/system/mnt.mount", mount)
        .with_file("/usr/lib/systemd/system/local-fs.target.d/10-data.conf", "[Unit]\nRequires=mnt.mount\n")
        .build();
    let (mut host, ..) = Host::offered("s10-emergency", &old, &new);
    host.update_and_restart();
    host.wait_until_runs("1");
    assert!(host.console().iter().any(|line| line.contains("Dependency failed for")), "it came to emergency mode");
    assert_eq!(host.resets(), 2, "into it and back: nobody waits for a password");
    let (label, reason) = host.failures().remove(0);
    assert_eq!((label.as_str(), &reason["detail"]), ("minimal_2.no.data", &"the boot did not complete".into()));
}

fn hangs(name: &str, version: &str, line: &str) {
    let old = Edition::new("1").build();
    let service = "DefaultDependencies=no\nAfter=sysinit.target\nBefore=basic.target";
    let new = Edition::new(version).with_service("hang", line, "basic.target", service).build();
    let mut repository = Repository::new(name);
    repository.publish(&new, &[&old]);
    let server = Server::start(repository.folder());
    let mut host = Host::new(name, &old, &server).with_watchdog();
    host.start();
    host.wait_until_runs("1");
    host.update_and_restart();
    host.wait_until_runs("1");
    let fired = host.machine().events().iter().filter(|event| event.name == "WATCHDOG").count();
    println!("{name}: the watchdog fired {fired} times");
    assert_eq!(fired, 3);
    let said = host.pass();
    assert!(said.contains(&format!("{version} failed here: it did not come up in any of its tries")), "{said}");
}

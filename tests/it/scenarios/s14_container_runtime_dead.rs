//! A new version comes up, logs in and answers, and its container runtime doesn't start: the host goes back.

use slipway_tests::updates::{Edition, Host};

const NAME: &str = "s14";

#[test]
#[ignore = "three boots of a larger image: `make scenarios` runs it"]
fn the_host_goes_back() {
    let old = Edition::new("1").of("containerd-host").build();
    // A default that this containerd doesn't know: it ends at once, and again at each start.
    let broken = "[[file]]\npath = \"/etc/containerd/config.toml\"\ncontent = \"version = 99\\n\"\n\
        [[health.check]]\nunit = \"containerd.service\"\nwithin = \"30s\"\n";
    let new = Edition::new("2.no.runtime").of("containerd-host").with(broken).build();
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    assert_eq!(host.output(&["systemctl", "is-active", "containerd.service"]).trim(), "active");
    host.update_and_restart();
    host.wait_until_runs("1");
    assert_eq!(host.resets(), 2);
    let (label, reason) = host.failures().remove(0);
    println!("s14: {reason}");
    assert_eq!((label.as_str(), &reason["kind"]), ("containerd-host_2.no.runtime", &"health".into()));
    assert!(reason["detail"].as_str().unwrap().contains("containerd.service is "), "{reason}");
    assert_eq!(host.output(&["systemctl", "is-active", "containerd.service"]).trim(), "active");
}

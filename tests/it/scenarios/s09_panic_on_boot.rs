//! The kernel of a new version panics while it boots: its tries are used up, and the old version runs again, knows that the new one
//! did not come up, and doesn't take it again.

use slipway_tests::updates::{Edition, Host};

const NAME: &str = "s09";

#[test]
#[ignore = "five boots: `make scenarios` runs it"]
fn the_old_version_runs_again_by_itself() {
    let old = Edition::new("1").build();
    // Before there is a `/var`: nothing of it is logged there.
    let new = Edition::new("2.panics")
        .with_service(
            "panic",
            "echo c > /proc/sysrq-trigger",
            "sysinit.target",
            "DefaultDependencies=no\nBefore=sysinit.target",
        )
        .build();
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    host.shell("echo kept > /var/lib/witness && sync /var/lib/witness");
    host.update_and_restart();
    host.wait_until_runs("1");
    assert_eq!(host.resets(), 4, "the restart into it, and one after each of its three tries");
    let panics = host.console().iter().filter(|line| line.contains("Kernel panic")).count();
    assert_eq!(panics, 3);

    let said = host.pass();
    assert!(said.contains("2.panics failed here: it did not come up in any of its tries"), "{said}");
    let status = host.status();
    assert_eq!(status["other"]["standing"], "bad", "{status}");
    let [failure] = &status["ledger"]["failures"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!((&failure["label"], &failure["reason"]["kind"]), (&new.label.as_str().into(), &"tries-used-up".into()));
    assert_eq!(
        failure["log"],
        serde_json::json!(["none of its boots has left a journal"]),
        "not the log of another version"
    );
    assert_eq!(host.shell("cat /var/lib/witness"), "kept\n");
    assert_eq!(host.resets(), 4);
}

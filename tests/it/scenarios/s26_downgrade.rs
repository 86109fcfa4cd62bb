//! An older version than the one that was kept is offered: it is refused, also by hand. When what runs is withdrawn, the host takes the
//! older one only if the channel lowers the floor. The floor rises only with the commit, so a rollback still boots.

use slipway_tests::updates::{Edition, Host, PATIENCE, Repository, Server};

const NAME: &str = "s26";

#[test]
#[ignore = "five boots: `make scenarios` runs it"]
fn it_is_refused_unless_the_channel_lowers_the_floor() {
    let builds = ["1", "2", "3"].map(|version| Edition::new(version).build());
    let [first, second, third] = &builds;
    let (mut host, mut repository, _) = Host::offered(NAME, first, second);
    host.update_and_restart();
    host.wait_until_runs("2");
    assert_eq!(host.status()["ledger"]["floor"], "2");

    // A rollback goes below the floor, and doesn't lower it.
    let _ = host.try_run(&["slipway-agent", "rollback"], PATIENCE);
    host.wait_until_runs("1");
    assert_eq!(host.status()["ledger"]["floor"], "2");
    repository.publish(third, &[second]);
    host.update_and_restart();
    host.wait_until_runs("3");
    assert_eq!(host.status()["ledger"]["floor"], "3");

    for now in [&[][..], &["--now"]] {
        let said = host.output(&[&["slipway-agent", "update"], now].concat());
        assert!(said.contains("  2 is older than what runs"), "{said}");
    }
    repository.withdraw(third, "it loses orders", &["--keep-floor"]);
    let said = host.pass();
    assert!(said.contains("3 was withdrawn: it loses orders"), "{said}");
    let explained = host.explain();
    assert!(explained.contains("2 is older than 3, which was found good here once"), "{explained}");
    assert_eq!(host.status()["running"]["label"], "minimal_3");
    assert_eq!(host.resets(), 3);
}

#[test]
#[ignore = "four boots: `make scenarios` runs it"]
fn a_host_leaves_a_withdrawn_version_for_the_one_before() {
    let [first, second, third] = &["1", "2", "3"].map(|version| Edition::new(version).build());
    let mut repository = Repository::new("s26-withdrawn");
    repository.publish(second, &[first]);
    repository.publish(third, &[second]);
    let server = Server::start(repository.folder());
    let mut host = Host::booted("s26-withdrawn", first, &server);
    host.update_and_restart();
    host.wait_until_runs("3");
    repository.withdraw(third, "it loses orders", &[]);
    host.update_and_restart();
    host.wait_until_runs("2");
    let status = host.status();
    assert_eq!((&status["running"]["label"], &status["running"]["standing"]), (&"minimal_2".into(), &"good".into()));
    let (label, reason) = host.failures().remove(0);
    assert_eq!((label.as_str(), &reason["kind"]), ("minimal_3", &"withdrawn".into()));
    assert!(host.pass().contains("3 was withdrawn: it loses orders"));
    assert_eq!(host.resets(), 2);
}

//! A version that was left is offered again: it is not taken, and the host says why; the next version is.

use slipway_tests::updates::{Edition, Host};

const NAME: &str = "s18";

#[test]
fn it_is_not_taken_and_the_next_one_is() {
    let builds = ["1", "2", "3"].map(|version| Edition::new(version).build());
    let [first, second, third] = &builds;
    let (mut host, mut repository, _) = Host::offered(NAME, first, second);
    host.update_and_restart();
    host.wait_until_runs("2");
    assert_eq!(host.problems(), [""; 0]);
    assert_eq!(host.agents(), [""; 0], "between passes nothing of the agent is in memory");
    assert!(!host.state_was_checked(), "the initrd mounts a /var that was left in good order");

    let before = host.machine().events().len();
    // Its answer may be cut off by the restart.
    let _ = host
        .try_run(&["slipway-agent", "rollback", "--reason", "the new menu is wrong"], slipway_tests::updates::PATIENCE);
    host.machine().wait_for_reset(before, slipway_tests::updates::PATIENCE).unwrap();
    host.wait_until_runs("1");
    let said = host.pass();
    let why = "2 failed here: an operator went back from it: the new menu is wrong; `slipway-agent allow` lets it be tried again";
    assert!(said.contains(why), "{said}");
    let explained = host.explain();
    assert!(
        explained.contains(why) && explained.contains("not tried again until `slipway-agent allow minimal_2`"),
        "{explained}"
    );
    // By hand neither: that doesn't wait for rollouts and windows, but this is another thing.
    let said = host.output(&["slipway-agent", "update", "--now"]);
    assert!(said.contains(why), "{said}");
    assert_eq!(host.resets(), 2);

    repository.publish(third, &[second]);
    host.update_and_restart();
    host.wait_until_runs("3");
    let status = host.status();
    assert_eq!((&status["running"]["slot"], &status["other"]["label"]), (&"b".into(), &"minimal_1".into()), "{status}");
    assert_eq!(status["ledger"]["floor"], "3");
}

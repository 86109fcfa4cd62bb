//! The updater is killed at moments that are spread over an update: what runs is untouched, nothing boots a slot that isn't whole,
//! and the next run goes on.

use std::time::Instant;

use serde_json::Value;
use slipway_tests::updates::{Edition, Host, Repository, Server};

const NAME: &str = "s02";
const KILLS: u32 = 12;

/// What was written is written again: another version's blocks would be in place.
const SPOIL: &str =
    "dd if=/dev/urandom of=/dev/slipway/root-b bs=1M seek=$((RANDOM % 64)) count=64 conv=notrunc status=none";

#[test]
#[ignore = "a dozen updates: `make scenarios` runs it"]
fn the_next_run_goes_on_and_what_runs_is_untouched() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let mut repository = Repository::new(NAME);
    repository.publish(&new, &[]);
    let server = Server::start(repository.folder());
    let mut host = Host::booted(NAME, &old, &server);
    let root_a = "/dev/slipway/root-a";
    let sum = format!("echo 3 > /proc/sys/vm/drop_caches; sha256sum < $(readlink -f {root_a})");
    let before = host.shell(&sum);

    let begun = Instant::now();
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    let whole = begun.elapsed();
    // Not tried, so that the slot is written once more.
    let _ = host.output(&["slipway-agent", "rollback", "--no-restart"]);
    let _ = host.output(&["slipway-agent", "allow", &new.label]);
    println!("s02: an update takes {:.1} s", whole.as_secs_f32());

    let (mut closed, mut armed) = (0, 0);
    for kill in 0..KILLS {
        host.shell(SPOIL);
        let moment = whole.mul_f64((f64::from(kill) + 0.5) / f64::from(KILLS));
        let line =
            format!("timeout -s KILL {:.2} slipway-agent update --no-restart --now || true", moment.as_secs_f64());
        let _ = host.shell(&line);
        let status = host.status();
        assert_eq!(
            (&status["running"]["label"], &status["running"]["standing"]),
            (&"minimal_1".into(), &"good".into())
        );
        match &status["other"]["standing"] {
            Value::String(standing) if standing == "closed" => closed += 1,
            // Killed when all was done, or not at all.
            standing => {
                assert_eq!(standing["on-trial"]["tries"], 3, "{status}");
                armed += 1;
                let _ = host.output(&["slipway-agent", "rollback", "--no-restart"]);
                let _ = host.output(&["slipway-agent", "allow", &new.label]);
            }
        }
    }
    println!("s02: {closed} of {KILLS} left no entry, {armed} a whole slot");
    assert!(closed >= KILLS / 2, "most were cut off in the middle");
    assert_eq!(host.shell(&sum), before, "the running slot");

    // The timer comes while somebody updates by hand: its service doesn't fail.
    host.shell(SPOIL);
    let said = host.shell("slipway-agent update --no-restart --now >/dev/null & sleep 3; slipway-agent run; wait $!");
    assert_eq!(said, "another slipway-agent is at work\n");
    host.update_and_restart();
    host.wait_until_runs("2");
    assert_eq!(host.status()["ledger"]["floor"], "2");
    assert_eq!(host.resets(), 1);
}

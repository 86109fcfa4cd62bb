//! A version is installed and armed, and the restart into it waits: for a clock, for a window, for the fleet's lock. When another
//! host has given the lock back, this one comes back by itself, takes it, and keeps it until the new version is kept.

use std::time::Duration;

use slipway_tests::updates::{Edition, Host, LockFault, LockServer, PATIENCE};

const NAME: &str = "s34";
/// Of the new version, as long as nobody lets it go on.
const GATE: &str = "#!/bin/bash\ntouch /run/asked\ntest -e /run/go-ahead\n";
const CHECK: &str = "[[health.check]]\nname = \"somebody\"\ncommand = [\"/usr/lib/gate\"]\nwithin = \"10m\"\n";
const ANOTHER: &str = "another";
/// Ahead of UTC, all year.
const KOLKATA: u64 = 330;

#[test]
#[ignore = "two boots, and a minute that a lock manager isn't asked in: `make scenarios` runs it"]
fn a_restart_waits_for_a_window_and_for_the_lock_which_is_kept_through_the_trial() {
    let old = Edition::new("1").build();
    let new = Edition::new("2.gated").with_file("/usr/lib/gate", GATE).with(CHECK).build();
    let locks = LockServer::start(1);
    locks.lock(ANOTHER);
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    let id = host.shell("printf 'slipway fleet-lock v1\\000%s' \"$(cat /etc/machine-id)\" | sha256sum | cut -c1-32");
    set(&mut host, "update.fleet-lock.url", &locks.url_in_guest());
    set(&mut host, "update.fleet-lock.group", "db");

    // Six hours away, on another clock.
    let now: u64 = host.shell("date +%s").trim().parse().unwrap();
    let opens = now / 60 * 60 + 6 * 3600;
    let window = format!("{}-{} Asia/Kolkata", clock(opens / 60 + KOLKATA), clock(opens / 60 + KOLKATA + 60));
    set(&mut host, "update.windows", &format!("[{window:?}]"));
    waits(&mut host, "waits for a window, and none opens before the clock is set");
    // What a time service leaves, which the image doesn't have.
    host.shell("mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized");
    let at = host.shell(&format!("date -u -d @{opens} '+%F %T UTC'"));
    waits(&mut host, &format!("waits for its window from {} on", at.trim()));
    let explained = host.explain();
    assert!(explained.contains(&format!("windows {window}\n          closed until {}", at.trim())), "{explained}");
    assert_eq!(host.shell(&format!("systemctl is-active slipway-wake-{opens}.timer")), "active\n");
    assert_eq!(locks.log(), [], "outside of the window nobody is asked");

    let window = format!("{}-{}", clock(now / 60 - 60), clock(now / 60 + 300));
    set(&mut host, "update.windows", &format!("[{window:?}]"));
    let no = "the lock manager says no (409): all slots are locked";
    waits(&mut host, "waits for the fleet's lock since");
    assert!(host.explain().contains(no) && host.pass().contains(no));
    assert_eq!((locks.log().len(), locks.holders()), (1, vec![ANOTHER.to_owned()]), "not asked again so soon");

    // Nobody starts a pass: the host does, when a minute is over.
    let before = host.machine().events().len();
    locks.unlock(ANOTHER);
    host.machine().wait_for_reset(before, Duration::from_mins(4)).unwrap();
    assert_eq!(locks.holders(), [id.trim()]);
    host.machine().guest().unwrap().wait_for_hello(PATIENCE).unwrap();
    host.shell("until test -e /run/asked; do sleep 0.2; done");
    let status = host.status();
    assert_eq!((&status["running"]["label"], &status["state"]["state"]), (&"minimal_2.gated".into(), &"trial".into()));
    assert!(host.explain().contains("lock    held since"), "{}", host.explain());
    assert_eq!((locks.log().len(), locks.holders()), (2, vec![id.trim().to_owned()]), "held on trial");

    // Where the host stands at the very moment at which it gives the lock back.
    locks.set_fault(LockFault::Hold);
    host.shell("touch /run/go-ahead");
    locks.wait_for(3, PATIENCE);
    let status = host.status();
    locks.set_fault(LockFault::None);
    assert_eq!(
        (&status["running"]["standing"], &status["ledger"]["floor"], &status["state"]["state"]),
        (&"good".into(), &"2.gated".into(), &"idle".into()),
        "it was given back before the commit"
    );
    assert_eq!(host.run(&["systemctl", "is-system-running", "--wait"]).stdout.trim(), "running");
    assert_eq!(locks.holders(), [""; 0]);
    assert!(!host.explain().contains("\n  lock "), "{}", host.explain());
    assert_eq!((host.resets(), host.problems()), (1, Vec::new()));

    let log = locks.log();
    let paths: Vec<&str> = log.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, ["/base/v1/pre-reboot", "/base/v1/pre-reboot", "/base/v1/steady-state"]);
    for asked in &log {
        assert_eq!(asked.header.as_deref(), Some("true"));
        let params = serde_json::json!({ "client_params": { "id": id.trim(), "group": "db" } });
        assert_eq!(asked.body, params, "it is the same host, before and after");
    }
    println!("{NAME}: {:.0} s of the machine's time", host.machine().up_time().as_secs_f32());
}

/// A pass leaves version 2 armed and the machine as it runs; the pass, `status` and `explain` say why.
fn waits(host: &mut Host, why: &str) {
    let said = host.pass();
    assert!(said.contains(&format!("the restart {why}")), "{said}");
    let status = host.run(&["slipway-agent", "status"]).stdout;
    assert!(status.contains(&format!("  restart     {why}")), "{status}");
    let explained = host.explain();
    assert!(explained.contains(&format!("  restart {why}")), "{explained}");
    let status = host.status();
    assert_eq!((&status["running"]["label"], &status["state"]["state"]), (&"minimal_1".into(), &"armed".into()));
    assert_eq!((&status["other"]["standing"]["on-trial"]["tries"], host.resets()), (&3.into(), 0));
}

fn set(host: &mut Host, key: &str, value: &str) {
    let _ = host.output(&["slipway-agent", "config", "set", key, value]);
}

/// What a clock shows that many minutes after midnight.
fn clock(minutes: u64) -> String {
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

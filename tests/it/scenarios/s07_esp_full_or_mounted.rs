//! There is no room on the ESP, or somebody has mounted it read-only: the update ends with an error that says so, leaves nothing
//! behind, and what runs is untouched. When that is over, the update works.

use slipway_tests::updates::{Edition, Host};

const NAME: &str = "s07";

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn the_error_says_so_and_nothing_is_left_behind() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, ..) = Host::offered(NAME, &old, &new);
    host.power_off();
    let esp = host.esp();
    // All but 4 MiB, in two files: nothing of ours.
    let free = esp.free() - (4 << 20);
    esp.write("crash-dump.bin", &vec![1; usize::try_from(free).unwrap()]);
    let before = esp.all();

    host.start();
    host.wait_until_runs("1");
    let refused = host.run(&["slipway-agent", "update", "--no-restart"]);
    println!("s07: {}", refused.stderr);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("the kernel image of minimal_2 takes") && refused.stderr.contains("on the ESP"),
        "{refused:?}"
    );
    untouched(&mut host);
    host.power_off();
    let esp = host.esp();
    assert_eq!(esp.all(), before);
    esp.remove("crash-dump.bin");

    host.start();
    host.wait_until_runs("1");
    host.shell("mkdir /run/esp && mount -o ro /dev/slipway/esp /run/esp");
    let refused = host.run(&["slipway-agent", "update", "--no-restart", "--now"]);
    println!("s07: {}", refused.stderr);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is in use: it must not be mounted"), "{refused:?}");
    untouched(&mut host);
    host.shell("umount /run/esp");
    let _ = host.output(&["slipway-agent", "update", "--no-restart", "--now"]);
    host.restart();
    host.wait_until_runs("2");
    host.power_off();
    assert_eq!(host.esp().entries(), ["minimal_1.efi", "minimal_2.efi"]);
}

fn untouched(host: &mut Host) {
    let status = host.status();
    assert_eq!((&status["running"]["standing"], &status["other"]["standing"]), (&"good".into(), &"closed".into()));
    assert_eq!(status["state"], serde_json::json!({ "state": "idle", "fallback": false }), "{status}");
}

//! Four versions in a row, A→B→A→B: each boots and is kept, old kernel images go, the ESP doesn't fill up. On the way the server
//! fails and answers are cut off.

use serde_json::Value;
use slipway_tests::updates::{Edition, Fault, Host, Repository, Server};

const NAME: &str = "s01";

#[test]
#[ignore = "five boots: `make scenarios` runs it"]
fn each_boots_and_is_kept_and_the_esp_does_not_fill_up() {
    let builds = ["1", "2", "3", "4"].map(|version| Edition::new(version).build());
    let mut repository = Repository::new(NAME);
    let server = Server::start(repository.folder());
    let mut host = Host::booted(NAME, &builds[0], &server);
    let slots = |status: &Value| [status["running"]["slot"].clone(), status["other"]["slot"].clone()];
    assert_eq!(slots(&host.status()), ["a", "b"]);

    for (number, pair) in builds.windows(2).enumerate() {
        let [old, new] = pair else { unreachable!() };
        repository.publish(new, &[old]);
        let wire = server.bytes_on_the_wire();
        if number == 0 {
            // As the timer does it.
            host.update_and_restart();
        } else {
            server.fail("/parts/", Fault::Status(500));
            server.fail("/parts/", Fault::CutOffAfter(100));
            let said = host.output(&["slipway-agent", "update", "--json", "--no-restart"]);
            let said: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(server.faults_left(), 0, "{said}");
            assert_eq!((&said["patch_failure"], &said["given_up"]), (&Value::Null, &Value::Array(Vec::new())));
            let peak = said["peak_memory"].as_u64().unwrap();
            println!("s01: {} → {}: {} MB peak memory of the agent", old.version, new.version, peak >> 20);
            assert!(peak < 32 << 20, "{peak} bytes of memory");
            host.restart();
        }
        let wire = server.bytes_on_the_wire() - wire;
        println!("s01: {} → {}: {wire} bytes on the wire", old.version, new.version);
        host.wait_until_runs(&new.version);
        println!(
            "s01: {} runs, {:.1} s after the machine was switched on",
            new.version,
            host.machine().up_time().as_secs_f32()
        );

        let status = host.status();
        let expected = if number % 2 == 0 { ["b", "a"] } else { ["a", "b"] };
        assert_eq!(slots(&status), expected);
        let name = |build: &slipway_tests::updates::Build| format!("{}.efi", build.label);
        assert_eq!((&status["running"]["entry"], &status["running"]["standing"]), (&name(new).into(), &"good".into()));
        assert_eq!((&status["other"]["entry"], &status["other"]["standing"]), (&name(old).into(), &"good".into()));
        assert_eq!(status["ledger"]["floor"], new.version);
        assert_eq!(host.problems(), [""; 0]);
        assert!(!host.state_was_checked(), "the initrd mounts a /var that was left in good order");
    }
    assert_eq!(host.resets(), 3, "no version needed a second try");
    host.cut_power();
    host.start();
    host.wait_until_runs("4");
    assert!(host.state_was_checked(), "a /var that a power cut left isn't the initrd's to mount");
    host.power_off();
    let esp = host.esp();
    assert_eq!(esp.entries(), ["minimal_3.efi", "minimal_4.efi"]);
    println!("s01: on the ESP: {:?}", esp.all());
}

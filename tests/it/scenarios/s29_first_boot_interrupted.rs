//! The power goes twice during the first boot, on a disk that is larger than the image: once before the state partition is there, once
//! while the host sets itself up. The third boot completes.

use std::fs::File;

use slipway_tests::updates::{Edition, Host, Moments, PATIENCE, Repository, Server};

const NAME: &str = "s29";
const DISK_BYTES: u64 = 8 << 30;

#[test]
#[ignore = "nine boots: `make scenarios` runs it"]
fn the_third_boot_completes() {
    let build = Edition::new("1").build();
    let repository = Repository::new(NAME);
    let server = Server::start(repository.folder());
    let mut moments = Moments::new();
    for round in 0..3 {
        let mut host = Host::new(&format!("{NAME}-{round}"), &build, &server);
        File::options().write(true).open(host.disk()).unwrap().set_len(DISK_BYTES).unwrap();
        for cut in 0..2 {
            host.start();
            // The agent answers before there is a state partition; both cuts are in the seconds after that.
            host.machine().guest().unwrap().wait_for_hello(PATIENCE).unwrap();
            let moment = moments.before(std::time::Duration::from_secs(6));
            std::thread::sleep(moment);
            let stopped = host.cut_power();
            println!("s29: round {round}, cut {cut}, {:.1} s after the start", stopped.up_time().as_secs_f32());
        }
        host.start();
        host.wait_until_runs("1");
        let size: u64 = host.shell("findmnt --noheadings --bytes --output SIZE /var").trim().parse().unwrap();
        assert!(size > 5 << 30, "{size} bytes of /var");
        assert_eq!(host.output(&["systemctl", "is-system-running"]).trim(), "running");
        assert_eq!(host.problems(), [""; 0]);
        host.shell("test -s /etc/machine-id");
        assert!(host.output(&["slipway-agent", "config", "show"]).contains(&server.url_in_guest()));
        assert_eq!(host.resets(), 0);
    }
}

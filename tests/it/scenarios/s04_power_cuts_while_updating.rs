//! Power cuts at random moments of updates, from the first question to the commit: after each, a good version starts by itself and
//! finds all that was synced to `/var`.

use std::time::{Duration, Instant};

use slipway_tests::updates::{Build, Edition, Host, Moments, Repository, Server};

/// What an update takes until the machine restarts, on a quiet machine.
const UPDATE: Duration = Duration::from_secs(10);

#[test]
fn four_cuts_with_patches() {
    cut("s04-core", 4, true);
}

#[test]
#[ignore = "twenty boots: `make scenarios` runs it"]
fn twenty_cuts_without_patches() {
    cut("s04", 20, false);
}

fn cut(name: &str, cuts: u32, patches: bool) {
    let mut moments = Moments::new();
    let mut repository = Repository::new(name);
    let server = Server::start(repository.folder());
    let mut newest = Edition::new("1").build();
    let mut host = Host::booted(name, &newest, &server);
    let mut runs = newest.version.clone();
    for cut in 1..=cuts {
        if runs == newest.version {
            newest = publish_next(&mut repository, &newest, patches);
        }
        host.shell(&format!("echo {cut} >> /var/lib/witness && sync /var/lib/witness"));
        let moment = moments.before(UPDATE);
        let begun = Instant::now();
        let _ = host.output(&["systemctl", "start", "--no-block", "slipway-update.service"]);
        // The one place where time alone is the event: a power cut comes when it comes.
        std::thread::sleep(moment.saturating_sub(begun.elapsed()));
        let stopped = host.cut_power();
        let restarted = stopped.events().iter().any(|event| event.name == "RESET");
        host.start();
        runs = settled(&mut host);
        println!(
            "{name}: cut {cut} after {:.1} s{}: {runs} runs",
            moment.as_secs_f32(),
            if restarted { ", in the boot after the update" } else { "" }
        );
        let witness: String = (1..=cut).map(|cut| format!("{cut}\n")).collect();
        assert_eq!(host.shell("cat /var/lib/witness"), witness);
        let status = host.status();
        assert_eq!((&status["tables"], &status["running"]["standing"]), (&"same".into(), &"good".into()), "{status}");
        assert_eq!(host.failures(), [], "nothing failed but the power");
    }
    if runs == newest.version {
        newest = publish_next(&mut repository, &newest, patches);
    }
    host.update_and_restart();
    host.wait_until_runs(&newest.version);
    host.power_off();
    assert_eq!(host.esp().entries().len(), 2);
}

fn publish_next(repository: &mut Repository, newest: &Build, patches: bool) -> Build {
    let next = Edition::new(&(newest.version.parse::<u32>().unwrap() + 1).to_string()).build();
    let from = [newest];
    repository.publish(&next, if patches { &from } else { &[] });
    next
}

/// The version that runs when the boot is done, and what an earlier one has left undone is finished.
fn settled(host: &mut Host) -> String {
    let version = host.wait_until_settled();
    let _ = host.output(&["slipway-agent", "settle"]);
    version
}

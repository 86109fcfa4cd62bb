//! What the update of a real host costs: from the container host of Debian as it was released to the one with the security updates
//! of today, on a virtual machine that runs containers.

use std::time::Instant;

use serde_json::Value;
use slipway_tests::updates::{Edition, Host, Repository, Server};

const NAME: &str = "container-host";

#[test]
#[ignore = "two container hosts are locked, built and published, and one is booted twice: ten minutes"]
fn takes_the_security_updates_and_keeps_its_containers() {
    let host_of = |version| Edition::new(version).of("docker-host").locked_anew();
    let released = host_of("1.released").with("[archive]\nsuites = [\"trixie\"]").build();
    let updated = host_of("2.updated").build();
    let mut repository = Repository::new(NAME);
    let begun = Instant::now();
    repository.publish(&released, &[]);
    println!("{NAME}: the first release took {:.1} s to publish", begun.elapsed().as_secs_f32());
    let begun = Instant::now();
    repository.publish(&updated, &[&released]);
    println!("{NAME}: the second one took {:.1} s, with its patches", begun.elapsed().as_secs_f32());

    let server = Server::start(repository.folder());
    let mut host = Host::booted(NAME, &released, &server);
    let run = "docker run --network none -v keep:/keep hello /usr/bin/busybox sh -c";
    let _ = host.shell(&format!("{run} 'echo written by the first version > /keep/file'"));

    let wire = server.bytes_on_the_wire();
    let begun = Instant::now();
    let said = host.output(&["slipway-agent", "update", "--json", "--no-restart"]);
    let took = begun.elapsed().as_secs_f32();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["patch_failure"], Value::Null, "{said}");
    let (wire, peak) = (server.bytes_on_the_wire() - wire, said["peak_memory"].as_u64().unwrap());
    println!("{NAME}: {wire} bytes on the wire, installed in {took:.1} s, {} MB peak memory of the agent", peak >> 20);
    assert!(peak < 32 << 20, "{peak} bytes of memory");

    host.restart();
    host.wait_until_runs(&updated.version);
    assert_eq!(host.problems(), [""; 0]);
    assert_eq!(host.status()["ledger"]["floor"], "2.updated");
    assert_eq!(host.shell(&format!("{run} 'cat /keep/file'")), "written by the first version\n");

    let wire = server.bytes_on_the_wire();
    let said = host.output(&["slipway-agent", "update", "--json", "--no-restart"]);
    let wire = server.bytes_on_the_wire() - wire;
    println!("{NAME}: a check without news: {wire} bytes on the wire: {said}");
    assert!(wire < 100_000, "{wire} bytes for nothing");
}

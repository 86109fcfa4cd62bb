//! The machine's configuration: a first boot takes it from a credential; what is set later is in effect at once and after a restart;
//! what is edited under `/etc` is gone then; a damaged document gives way to the last good one.

use std::path::Path;

use slipway_qemu::{Credential, Disk, GuestError, Machine, Network, QemuError, Running};
use slipway_tests::updates::{Edition, Host};

use crate::machines::{PATIENCE, copy, output};

const DOCUMENT: &str = "\
# Hall 3, rack 7.
hostname = \"edge-17\"

[[network]]
name = \"e*\"
addresses = [\"192.0.2.10/24\"]
gateways = [\"192.0.2.1\"]

[[user]]
name = \"root\"
authorized-keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEl0 me@example.com\"]

[sysctl]
net.core.somaxconn = 4321
";

#[test]
fn the_document_lasts_and_edits_under_etc_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = start(&copy(folder.path()));
    in_effect(&mut machine, "edge-17", "192.0.2.10");
    let history = output(&mut machine, &["slipway-agent", "config", "history"]);
    assert!(history.starts_with("*    1") && history.contains("from the credential slipway.config"), "{history}");

    // At once.
    let said = output(&mut machine, &["slipway-agent", "config", "set", "hostname", "edge-18"]);
    assert!(said.contains("number 2 is in effect\n  now        the host name is edge-18"), "{said}");
    let said = output(&mut machine, &["slipway-agent", "config", "set", "network.0.addresses.0", "192.0.2.20/24"]);
    assert!(said.contains("the network is configured anew"), "{said}");
    in_effect(&mut machine, "edge-18", "192.0.2.20");
    let text = output(&mut machine, &["slipway-agent", "config", "show"]);
    assert_eq!(text, DOCUMENT.replace("edge-17", "edge-18").replace("192.0.2.10", "192.0.2.20"), "comments stay");

    // After a restart, without what was edited elsewhere.
    shell(&mut machine, "echo drift > /etc/drift; echo drift > /etc/hostname; rm -r /run/slipway/authorized_keys.d");
    restart(&mut machine);
    in_effect(&mut machine, "edge-18", "192.0.2.20");
    shell(&mut machine, "test ! -e /etc/drift");
    assert_eq!(output(&mut machine, &["systemctl", "is-system-running", "--wait"]).trim(), "running");

    // What a later version wrote, as after a rollback: used as far as it is known.
    let later = "printf 'locale = \"de\"\\nhostname = \"later\"\\n' > /run/later && cd /var/lib/slipway/config && \
        { echo \"# slipway-agent config 4 2026-11-22T16:14:50Z sha256:$(sha256sum /run/later | cut -c1-64) later\"; cat /run/later; } \
        > host.toml.4 && cp /run/later host.toml && sync";
    shell(&mut machine, later);
    restart(&mut machine);
    assert_eq!(output(&mut machine, &["systemctl", "is-system-running", "--wait"]).trim(), "running");
    assert_eq!(output(&mut machine, &["uname", "-n"]), "later\n");
    assert!(problems(&mut machine).contains("`locale` is not a key"));

    // Damaged.
    shell(
        &mut machine,
        "slipway-agent config restore 3 && echo 'hostname = \"edg' > /var/lib/slipway/config/host.toml && sync",
    );
    restart(&mut machine);
    in_effect(&mut machine, "edge-18", "192.0.2.20");
    let problems = problems(&mut machine);
    assert!(
        problems.contains("can't be used: line 1") && problems.contains("number 5 of the history is in effect"),
        "{problems}"
    );

    // On trial, and not confirmed.
    shell(&mut machine, "slipway-agent config set --confirm-within 30s network.0.addresses.0 192.0.2.30/24");
    in_effect(&mut machine, "edge-18", "192.0.2.30");
    in_effect(&mut machine, "edge-18", "192.0.2.20");
    machine.cut_power().unwrap();
}

#[test]
#[ignore = "three boots: `make scenarios` runs it"]
fn it_lasts_through_an_update_and_back() {
    let [old, new] = ["1", "2"].map(|version| Edition::new(version).build());
    let (mut host, _, server) = Host::offered("s27", &old, &new);
    host.shell("slipway-agent config set hostname till-4 && echo drift > /etc/drift");
    let document = host.output(&["slipway-agent", "config", "show"]);
    assert!(document.contains("hostname = \"till-4\"") && document.contains(&server.url_in_guest()), "{document}");
    host.update_and_restart();
    for version in ["2", "1"] {
        host.wait_until_runs(version);
        assert_eq!(host.output(&["uname", "-n"]), "till-4\n");
        assert_eq!(host.output(&["slipway-agent", "config", "show"]), document);
        host.shell("test ! -e /etc/drift");
        // Its answer may be cut off by the restart, which comes after the first of the two only.
        let _ = host.try_run(&["slipway-agent", "rollback"], PATIENCE);
    }
    assert_eq!(host.resets(), 2);
}

fn start(disk: &Path) -> Running {
    let credential = Credential::new("slipway.config", DOCUMENT).unwrap();
    let machine = Machine::new("s27-machine-configuration").with_guest_channel().credential(credential);
    let network = Network::User { restricted: true, forwards: Vec::new() };
    let mut machine = machine.network(network).disk(Disk::raw(disk)).start().unwrap();
    machine.guest().unwrap().wait_for_hello(PATIENCE).unwrap();
    machine
}

fn shell(machine: &mut Running, line: &str) -> String {
    output(machine, &["/bin/bash", "-c", line])
}

/// Host name, address, key and kernel parameter of the document.
fn in_effect(machine: &mut Running, host_name: &str, address: &str) {
    shell(machine, &format!("until [[ $(</proc/net/fib_trie) == *' {address}'* ]]; do sleep 0.5; done"));
    let facts = "cat /proc/sys/kernel/hostname /etc/hostname /proc/sys/net/core/somaxconn; \
        cut -d' ' -f3 /run/slipway/authorized_keys.d/root; cat /etc/hosts";
    let facts = shell(machine, facts);
    assert!(facts.starts_with(&format!("{host_name}\n{host_name}\n4321\nme@example.com\n")), "{facts}");
    assert!(facts.contains(&format!("\n127.0.1.1\t{host_name}\n")), "{facts}");
}

fn problems(machine: &mut Running) -> String {
    shell(machine, "slipway-agent status --json || [[ $? == 3 ]]")
}

fn restart(machine: &mut Running) {
    let before = machine.events().len();
    match machine.guest().unwrap().run(&["systemctl", "reboot"], PATIENCE) {
        Ok(_) | Err(QemuError::Guest { error: GuestError::Restarted(_), .. }) => {}
        Err(error) => panic!("{error}"),
    }
    machine.wait_for_reset(before, PATIENCE).unwrap();
    machine.guest().unwrap().wait_for_hello(PATIENCE).unwrap();
}

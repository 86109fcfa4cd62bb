#![allow(clippy::unwrap_used)]

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEl0 me@example.com";

fn known() -> (tempfile::TempDir, Known) {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000::/var/home/core:/bin/bash\n");
    write("usr/share/zoneinfo/Europe/Berlin", "TZif");
    let known = Known::of_host(root.path());
    (root, known)
}

fn full() -> String {
    format!(
        "# Hall 3, rack 7.\nhostname = \"edge-17\"\ntimezone = \"Europe/Berlin\"\nntp = [\"ntp.example.com\", \"192.0.2.5\"]\n\n\
         [[network]]\nname = \"en*\"\naddresses = [\"192.0.2.10/24\"]\ngateways = [\"192.0.2.1\"]\n\n\
         [[user]]\nname = \"core\"\nauthorized-keys = [\"{KEY}\"]\n\n\
         [sysctl]\nnet.core.somaxconn = 4096\n\"kernel.panic\" = \"20\"\n\n\
         [update]\nchannel = \"testing\"\nrestart = false\n"
    )
}

/// What is wrong with a document, in words.
fn told(text: &str) -> Vec<String> {
    let (_root, known) = known();
    let problems = match MachineConfig::read(text, &known) {
        Ok(reading) => reading.problems,
        Err(problems) => problems,
    };
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_document_with_everything() {
    let (_root, known) = known();
    let config = MachineConfig::check(&full(), &known).unwrap();
    assert_eq!(config.hostname.unwrap().as_str(), "edge-17");
    assert_eq!(config.timezone.unwrap().as_str(), "Europe/Berlin");
    assert_eq!(config.ntp.len(), 2);
    assert!(config.networks[0].to_unit().contains("Address=192.0.2.10/24"));
    assert_eq!((config.users[0].name.as_str(), config.users[0].authorized_keys[0].as_str()), ("core", KEY));
    let sysctl: Vec<(&str, &str)> = config.sysctl.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(sysctl, [("kernel.panic", "20"), ("net.core.somaxconn", "4096")]);
    assert_eq!(config.update.channel.unwrap().as_str(), "testing");
    assert_eq!(config.update.restart, Some(false));
    assert_eq!(MachineConfig::check("", &known).unwrap(), MachineConfig::default());
}

#[test]
fn a_slip_is_shown_with_its_line_and_what_to_write() {
    for (text, words) in [
        ("\nhostnam = \"x\"", "line 2: `hostnam` is not a key: write `hostname`"),
        ("hostname = \"a b\"", "line 1: `hostname`: cannot be `a b`, which is no host name: write letters"),
        ("hostname = 3", "`hostname`: invalid type: integer `3`, expected a host name"),
        ("ntp = [\"a\",\n\"b c\"]", "line 2: `ntp`: cannot be `b c`"),
        ("timezone = \"Europe/Berlln\"", "the image has no time zone `Europe/Berlln`"),
        ("timezone = \"../../etc/passwd\"", "cannot be `../../etc/passwd`"),
        (
            "[[user]]\nname = \"cora\"\nauthorized-keys = []",
            "line 2: `user`: the image has no user `cora`: write `core`",
        ),
        ("[[user]]\nname = \"core\"", "line 1: `user` has no `authorized-keys`"),
        (
            "[[user]]\nname = \"core\"\nauthorized_keys = []",
            "line 3: `user.authorized_keys` is not a key: write `authorized-keys`",
        ),
        ("[[user]]\nname = \"core\"\nauthorized-keys = [\"ssh-rsa no\"]", "holds no public key"),
        ("[update]\nchanel = \"x\"", "line 2: `update.chanel` is not a key: write `channel`"),
        ("[update]\nurls = [\"ftp://b\"]", "`update.urls`: \"ftp://b\" is no URL"),
        ("[update]\nwindows = [\"2-4\"]", "`update.windows`: `2-4`"),
        ("[update.fleet-lock]\ngrup = \"x\"", "line 2: `update.fleet-lock.grup` is not a key: write `group`"),
        ("[sysctl]\nsomaxconn = 1", "line 2: `sysctl` has `somaxconn`, which is no kernel parameter"),
        ("[sysctl]\nnet.a = true", "expected a number or a text"),
        ("[sysctl]\n\"net.*.a\" = 1", "must name one parameter"),
        ("[sysctl]\nnet.a = \"1\\n2\"", "must be one line"),
        ("[[network]]\nmtu = 1500", "line 1: `network` says no card"),
        ("[[network]]\nname = \"a\"\n[[network]]\nname = \"a\"", "line 3: `network` has this card a second time"),
        ("[network]\nname = \"a\"", "`network`: invalid type: map, expected a sequence"),
        ("hostname", "this is not TOML"),
    ] {
        let told = told(text);
        assert!(told.iter().any(|problem| problem.contains(words)), "{text}\n{told:?}");
    }
    let twice =
        format!("[[user]]\nname = \"core\"\nauthorized-keys = []\n{}", &full()[full().find("[[user]]").unwrap()..]);
    assert!(told(&twice)[0].contains("`core` a second time"), "{:?}", told(&twice));
}

/// Scenario 28 for configurations: version N+1 has keys and values that this one doesn't know, and went back.
#[test]
fn what_a_later_version_wrote_is_used_as_far_as_it_is_known() {
    let (_root, known) = known();
    let later = full()
        .replace("gateways =", "wake-on-lan = true\ngateways =")
        .replace("[[user]]", "[[tunnel]]\nkind = \"wireguard\"\n\n[[network]]\ntunnel = \"wg0\"\n\n[[user]]")
        .replace("restart = false", "restart = \"when-idle\"\nmesh = { peers = 3 }")
        .replace("hostname =", "locale = \"de\"\nhostname =");
    assert!(MachineConfig::check(&later, &known).is_err());
    let reading = MachineConfig::read(&later, &known).unwrap();
    let mut expected = MachineConfig::check(&full(), &known).unwrap();
    expected.update.restart = None;
    assert_eq!(reading.config, expected);
    let told: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 7, "{told:#?}");
}

#[test]
fn a_network_of_which_the_addresses_are_not_understood_falls_back_to_dhcp() {
    let (_root, known) = known();
    let reading = MachineConfig::read("[[network]]\nname = \"en*\"\naddresses = [{ pool = \"x\" }]\n", &known).unwrap();
    assert!(reading.config.networks[0].to_unit().contains("DHCP=yes"));
    let reading = MachineConfig::read("[[network]]\nname = \"en*\"\ndhcp = false\naddresses = [3]\n", &known).unwrap();
    assert_eq!(reading.config.networks, [], "the image's own configuration is used for that card");
}

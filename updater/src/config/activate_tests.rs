#![allow(clippy::unwrap_used)]

use std::cell::RefCell;

use super::super::Known;
use super::*;

#[derive(Default)]
struct Recorded {
    said: RefCell<Vec<String>>,
    broken: bool,
}

impl System for Recorded {
    fn set_host_name(&self, name: &str) -> io::Result<()> {
        self.said.borrow_mut().push(format!("sethostname {name}"));
        if self.broken { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn systemctl(&self, verb: &str, unit: &str) -> Result<(), String> {
        self.said.borrow_mut().push(format!("{verb} {unit}"));
        if self.broken { Err(format!("{unit} is broken")) } else { Ok(()) }
    }
}

const DOCUMENT: &str = "hostname = \"edge-1.example.com\"\ntimezone = \"Europe/Berlin\"\nntp = [\"a\"]\n\
    [[network]]\nname = \"en*\"\n[[network]]\nname = \"eth*\"\n\
    [[user]]\nname = \"core\"\nauthorized-keys = [\"ssh-rsa AAAA a\"]\n[sysctl]\nnet.core.somaxconn = 4096\n";

fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/hostname", "image\n");
    write("etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\timage\n::1\t\tlocalhost\n");
    write("etc/passwd", "core:x:1000:1000::/:/bin/sh\n");
    write("usr/share/zoneinfo/Europe/Berlin", "TZif");
    write("proc/sys/net/core/somaxconn", "128\n");
    root
}

fn config(root: &Path, text: &str) -> MachineConfig {
    MachineConfig::check(text, &Known::of_host(root)).unwrap()
}

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn at_boot_all_is_in_place_and_no_service_is_told() {
    let (root, system) = (host(), Recorded::default());
    let root = root.path();
    let came = activate(root, &config(root, DOCUMENT), When::Boot, &system);
    assert_eq!(came.failed, [""; 0]);
    assert_eq!(*system.said.borrow(), ["sethostname edge-1.example.com"]);
    assert_eq!(text(root, "etc/hostname"), "edge-1.example.com\n");
    assert_eq!(
        text(root, "etc/hosts"),
        "127.0.0.1\tlocalhost\n127.0.1.1\tedge-1.example.com edge-1\n::1\t\tlocalhost\n"
    );
    assert_eq!(fs::read_link(root.join("etc/localtime")).unwrap(), Path::new("../usr/share/zoneinfo/Europe/Berlin"));
    assert_eq!(text(root, "proc/sys/net/core/somaxconn"), "4096\n");
    assert!(text(root, "run/systemd/network/00-slipway-01.network").contains("Name=eth*"));
    assert_eq!(text(root, "run/slipway/authorized_keys.d/core"), "ssh-rsa AAAA a\n");
    // A second time nothing is left to do.
    let again = activate(root, &config(root, DOCUMENT), When::Now, &system);
    assert_eq!(again, Activation::default());
}

#[test]
fn later_only_what_changed_is_told_and_what_is_gone_is_removed() {
    let (root, system) = (host(), Recorded::default());
    let root = root.path();
    activate(root, &config(root, DOCUMENT), When::Boot, &system);
    system.said.borrow_mut().clear();
    let came = activate(root, &config(root, "ntp = [\"a\"]\n[[network]]\nname = \"en*\"\n"), When::Now, &system);
    assert_eq!(*system.said.borrow(), ["try-reload-or-restart systemd-networkd.service"]);
    assert!(!root.join("run/systemd/network/00-slipway-01.network").exists());
    assert!(!root.join("run/slipway/authorized_keys.d/core").exists(), "a key that was taken out logs nobody in");
    assert!(!root.join("run/sysctl.d/99-slipway.conf").exists());
    assert_eq!(came.done, ["the network is configured anew", "other keys may log in"]);
    let later = [
        "the host name is the image's",
        "the time zone is the image's",
        "net.core.somaxconn is the image's, or the kernel's",
    ];
    assert_eq!(came.later, later);
    let came = activate(root, &MachineConfig::default(), When::Now, &system);
    assert_eq!(came.later, later, "it still waits");
    assert_eq!(
        system.said.borrow()[1..],
        ["try-reload-or-restart systemd-networkd.service", "try-restart systemd-timesyncd.service"]
    );
}

#[test]
fn what_fails_holds_back_nothing_else() {
    let (root, system) = (host(), Recorded { broken: true, ..Recorded::default() });
    let root = root.path();
    let document = DOCUMENT.replace("[sysctl]", "[sysctl]\nnet.no.such = 1");
    let came = activate(root, &config(root, &document), When::Now, &system);
    assert_eq!(came.failed.len(), 4, "{came:?}");
    assert!(came.failed[0].starts_with("the host name can't be set: "), "{came:?}");
    assert!(came.failed[3].starts_with("can't set net.no.such: "), "{came:?}");
    assert_eq!(failures(root), came.failed);
    assert_eq!(text(root, "run/slipway/authorized_keys.d/core"), "ssh-rsa AAAA a\n");
    assert_eq!(text(root, "proc/sys/net/core/somaxconn"), "4096\n");
}

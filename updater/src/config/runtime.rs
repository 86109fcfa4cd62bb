//! What a configuration comes to on a running machine: files below `/run`, made anew at every boot, and nothing that lasts but the
//! document itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use slipway_images::host::{MACHINE_KEYS_PATH, SysctlName};

use super::document::MachineConfig;

/// The part of the system that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// systemd-networkd.
    Network,
    /// sshd.
    Keys,
    /// systemd-timesyncd.
    Clock,
    /// Kernel parameters, for cards that appear later: udev sets them by these files.
    Sysctl,
}

/// Paths are from the root, without a `/` at the start.
pub type Files = BTreeMap<String, (Part, String)>;

/// The folders, what the names of our files in them begin with, and the part. Before the image's network files, behind the image's
/// settings: each is what takes precedence.
pub const PLACES: [(Part, &str, &str); 4] = [
    (Part::Network, "run/systemd/network", "00-slipway-"),
    (Part::Keys, "run/slipway/authorized_keys.d", ""),
    (Part::Clock, "run/systemd/timesyncd.conf.d", "99-slipway.conf"),
    (Part::Sysctl, "run/sysctl.d", "99-slipway.conf"),
];

/// All files of a configuration.
pub fn files(config: &MachineConfig) -> Files {
    let mut files = Files::new();
    for (index, network) in config.networks.iter().enumerate() {
        files.insert(format!("run/systemd/network/00-slipway-{index:02}.network"), (Part::Network, network.to_unit()));
    }
    for user in &config.users {
        let path = format!("{}/{}", MACHINE_KEYS_PATH.trim_start_matches('/'), user.name);
        let keys = user.authorized_keys.iter().flat_map(|key| [key.as_str().trim_end(), "\n"]).collect();
        files.insert(path, (Part::Keys, keys));
    }
    if !config.ntp.is_empty() {
        let servers: Vec<&str> = config.ntp.iter().map(super::NtpServer::as_str).collect();
        // The empty one takes away what the image says.
        let text = format!("[Time]\nNTP=\nNTP={}\n", servers.join(" "));
        files.insert("run/systemd/timesyncd.conf.d/99-slipway.conf".to_owned(), (Part::Clock, text));
    }
    if !config.sysctl.is_empty() {
        let mut text = String::new();
        for (name, value) in &config.sysctl {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name} = {value}");
        }
        files.insert("run/sysctl.d/99-slipway.conf".to_owned(), (Part::Sysctl, text));
    }
    files
}

/// The file of a kernel parameter. Whichever of `.` and `/` comes first stands between parts, and the other for itself
/// (sysctl.d(5)).
pub fn sysctl_path(name: &SysctlName) -> String {
    let name = name.as_str();
    let dots_between = name.find(['.', '/']).is_none_or(|at| name[at..].starts_with('.'));
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if dots_between { name.chars().map(swapped).collect() } else { name.to_owned() };
    format!("proc/sys/{path}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use slipway_images::host::FromText as _;

    use super::super::Known;
    use super::*;

    #[test]
    fn all_files_are_where_activation_looks_for_old_ones() {
        let text = "ntp = [\"a\", \"b\"]\n[[network]]\nname = \"en*\"\n[[network]]\nname = \"eth0\"\n[sysctl]\nnet.a.b = 1\n\
            [[user]]\nname = \"core\"\nauthorized-keys = [\"ssh-rsa AAAA1 a\", \"ssh-rsa AAAA2 b\"]\n";
        let files = files(&MachineConfig::check(text, &Known::default()).unwrap());
        for (path, (part, _)) in &files {
            let (folder, name) = path.rsplit_once('/').unwrap();
            assert!(
                PLACES.iter().any(|place| place.0 == *part && place.1 == folder && name.starts_with(place.2)),
                "{path}"
            );
        }
        assert_eq!(files["run/slipway/authorized_keys.d/core"].1, "ssh-rsa AAAA1 a\nssh-rsa AAAA2 b\n");
        assert_eq!(files["run/systemd/timesyncd.conf.d/99-slipway.conf"].1, "[Time]\nNTP=\nNTP=a b\n");
        assert_eq!(files["run/sysctl.d/99-slipway.conf"].1, "net.a.b = 1\n");
        assert_eq!(files.len(), 5);
    }

    #[test]
    fn a_parameter_of_a_card_with_a_dot_in_its_name() {
        let path = |name| sysctl_path(&SysctlName::from_text(name).unwrap());
        assert_eq!(path("net.core.somaxconn"), "proc/sys/net/core/somaxconn");
        assert_eq!(path("net.ipv4.conf.eth0/5.forwarding"), "proc/sys/net/ipv4/conf/eth0.5/forwarding");
        assert_eq!(path("net/ipv4/conf/eth0.5/forwarding"), "proc/sys/net/ipv4/conf/eth0.5/forwarding");
    }
}

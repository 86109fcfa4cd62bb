//! What runs on this host, from what the system itself says: os-release, the kernel command line, the initrd's facts,
//! the mount table. Everything is read anew; nothing is remembered.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use slipway_images::boot::{BOOT_FACTS_PATH, BootFacts, GptUsed};
use slipway_images::disk::Slot;
use slipway_images::verity::RootHash;

/// Where state is kept.
const STATE: &str = "/var";
/// Why nothing is known that lasts: the system is still starting, or could not mount it.
pub const STATE_NOT_MOUNTED: &str = "the state partition is not mounted, or not yet";

/// Why the host can't be described.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file of the system can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The initrd's facts make no sense.
    #[error("can't understand {path}: {source}")]
    Facts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// The image that runs (os-release(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Image {
    /// `IMAGE_ID`
    pub id: Option<String>,
    /// `IMAGE_VERSION`
    pub version: Option<String>,
}

/// The file system that state is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// What is mounted: `/dev/vda6`.
    pub source: String,
    /// Its type: `ext4`.
    pub file_system: String,
    /// Bytes of the file system.
    pub size: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Whether it can be written to.
    pub writable: bool,
}

/// A host and what runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The image.
    pub image: Image,
    /// The root hash of the kernel command line.
    pub root_hash: Option<RootHash>,
    /// The slot that runs.
    pub slot: Option<Slot>,
    /// What the initrd left.
    pub boot: Option<BootFacts>,
    /// The state partition, if it is mounted.
    pub state: Option<State>,
    /// What is not as it should be, in words.
    pub problems: Vec<String>,
}

impl Host {
    /// Describes the host whose root is at `root`: `/`, or a copy for tests.
    pub fn read(root: &Path) -> Result<Self, HostError> {
        let os_release = read_first(root, &["etc/os-release", "usr/lib/os-release"])?;
        let cmdline = read_first(root, &["proc/cmdline"])?;
        let boot = read_facts(&below(root, BOOT_FACTS_PATH))?;
        let mounts = read_first(root, &["proc/self/mountinfo"])?;
        let state = find_mount(&mounts, STATE).map(|mount| mount.measure(&below(root, STATE)));
        let image = Image {
            id: os_release_value(&os_release, "IMAGE_ID"),
            version: os_release_value(&os_release, "IMAGE_VERSION"),
        };
        let root_hash = cmdline.split_ascii_whitespace().find_map(|word| word.strip_prefix("roothash=")?.parse().ok());
        let mut host =
            Self { image, root_hash, slot: boot.as_ref().map(|boot| boot.slot), boot, state, problems: Vec::new() };
        host.problems = host.find_problems();
        Ok(host)
    }

    fn find_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.image.id.is_none() || self.image.version.is_none() {
            problems.push("os-release has no IMAGE_ID or IMAGE_VERSION: this is no Slipway image".to_owned());
        }
        match (self.root_hash, &self.boot) {
            (None, _) => problems.push("the kernel command line has no roothash=: the root is not verified".to_owned()),
            (Some(_), None) => {
                problems.push(format!("{BOOT_FACTS_PATH} is missing: the root was not opened by Slipway's initrd"));
            }
            (Some(named), Some(boot)) if named != boot.root_hash => problems.push(format!(
                "the kernel command line names root hash {named}, and the initrd opened {}",
                boot.root_hash
            )),
            _ => {}
        }
        if self.boot.as_ref().is_some_and(|boot| boot.gpt_used == GptUsed::Backup) {
            problems.push("the primary partition table is damaged; the host started from the backup".to_owned());
        }
        match &self.state {
            None => problems.push(format!("{STATE_NOT_MOUNTED}: what is written on {STATE} is lost")),
            Some(state) if !state.writable => {
                problems.push(format!("the state partition {} is mounted read-only", state.source));
            }
            Some(_) => {}
        }
        problems
    }
}

/// Where an absolute path is on the host whose root is at `root`.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The first of these files that is there.
fn read_first(root: &Path, paths: &[&str]) -> Result<String, HostError> {
    let mut missing = io::Error::from(io::ErrorKind::NotFound);
    for path in paths.iter().map(|path| root.join(path)) {
        match std::fs::read(&path) {
            Ok(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
            Err(source) => return Err(HostError::Read { path, source }),
        }
    }
    Err(HostError::Read { path: root.join(paths.first().copied().unwrap_or_default()), source: missing })
}

fn read_facts(path: &Path) -> Result<Option<BootFacts>, HostError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| HostError::Facts { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HostError::Read { path: path.to_owned(), source }),
    }
}

/// A value of an os-release file; quotes and the escapes within them taken off.
fn os_release_value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let Some(inner) = inner else { return Some(value.to_owned()) };
    let mut plain = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    Some(plain)
}

#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    source: &'a str,
    file_system: &'a str,
    writable: bool,
}

/// The topmost mount at exactly this path (`proc_pid_mountinfo(5)`): its columns up to ` - ` vary in number.
fn find_mount<'a>(mountinfo: &'a str, target: &str) -> Option<Mount<'a>> {
    let parse = |line: &'a str| {
        let (columns, rest) = line.split_once(" - ")?;
        let mut columns = columns.split(' ');
        let at = columns.nth(4)?;
        let mut rest = rest.split(' ');
        let (file_system, source, super_options) = (rest.next()?, rest.next()?, rest.next()?);
        // The options of the mount itself are those of whoever looks: a service may see all of it read-only.
        let writable = super_options.split(',').any(|option| option == "rw");
        (at == target).then_some(Mount { source, file_system, writable })
    };
    mountinfo.lines().rev().find_map(parse)
}

impl Mount<'_> {
    fn measure(&self, path: &Path) -> State {
        // A file system that can't be measured is there all the same.
        let (size, free) = rustix::fs::statvfs(path).map_or((0, 0), |stat| {
            (stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize))
        });
        let (source, file_system) = (self.source.to_owned(), self.file_system.to_owned());
        State { source, file_system, size, free, writable: self.writable }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use slipway_images::boot::BootPartitions;

    use super::*;

    const OS_RELEASE: &str = "NAME=\"Edge\"\nIMAGE_ID=edge-web\nIMAGE_VERSION=\"2026.11.22\"\nID=slipway\n";
    const STATE_MOUNT: &str = "21 1 254:0 / / ro shared:1 - erofs /dev/dm-0 ro\n\
        30 21 254:6 / /var rw,relatime shared:2 master:1 - ext4 /dev/vda6 rw,errors=remount-ro\n";

    fn host(cmdline: &str, boot: Option<&BootFacts>, mounts: &str) -> Host {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("usr/lib/os-release", OS_RELEASE);
        write("proc/cmdline", cmdline);
        write("proc/self/mountinfo", mounts);
        fs::create_dir(root.path().join("var")).unwrap();
        if let Some(boot) = boot {
            write("run/slipway/boot.json", &serde_json::to_string(boot).unwrap());
        }
        Host::read(root.path()).unwrap()
    }

    fn facts(gpt_used: GptUsed) -> BootFacts {
        BootFacts {
            disk: "vda".into(),
            slot: Slot::B,
            root_hash: RootHash::from_bytes([0xab; 32]),
            root_partition: 4,
            partitions: BootPartitions::default(),
            gpt_used,
            initrd_started_ms: 1,
            switch_root_ms: 2,
        }
    }

    fn cmdline(byte: &str) -> String {
        format!("quiet roothash={} panic=10\n", byte.repeat(32))
    }

    #[test]
    fn a_sound_host_has_no_problems() {
        let host = host(&cmdline("ab"), Some(&facts(GptUsed::Primary)), STATE_MOUNT);
        assert_eq!(host.problems, [""; 0]);
        assert_eq!((host.image.id.as_deref(), host.image.version.as_deref()), (Some("edge-web"), Some("2026.11.22")));
        assert_eq!(host.slot, Some(Slot::B));
        let state = host.state.unwrap();
        assert_eq!((state.source.as_str(), state.file_system.as_str(), state.writable), ("/dev/vda6", "ext4", true));
        assert!(state.size > 0);
        // As a service under `ProtectSystem=strict` sees it.
        let protected =
            self::host(&cmdline("ab"), Some(&facts(GptUsed::Primary)), &STATE_MOUNT.replace("/var rw", "/var ro"));
        assert_eq!(protected.problems, [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let problems = |cmdline: &str, boot: Option<&BootFacts>, mounts: &str| host(cmdline, boot, mounts).problems;
        let sound = facts(GptUsed::Primary);
        let cases = [
            (problems(&cmdline("cd"), Some(&sound), STATE_MOUNT), "and the initrd opened abab"),
            (problems("quiet", Some(&sound), STATE_MOUNT), "the root is not verified"),
            (problems(&cmdline("ab"), None, STATE_MOUNT), "not opened by Slipway's initrd"),
            (problems(&cmdline("ab"), Some(&facts(GptUsed::Backup)), STATE_MOUNT), "started from the backup"),
            (problems(&cmdline("ab"), Some(&sound), "1 1 0:1 / / ro - erofs /dev/dm-0 ro"), STATE_NOT_MOUNTED),
            (problems(&cmdline("ab"), Some(&sound), &STATE_MOUNT.replace("vda6 rw", "vda6 ro")), "read-only"),
        ];
        for (problems, expected) in cases {
            assert!(matches!(&problems[..], [one] if one.contains(expected)), "{expected}: {problems:?}");
        }
    }

    #[test]
    fn os_release_values_lose_their_quotes() {
        let text = "A=plain\nB=\"with \\\"quotes\\\" and \\$\"\nC='single'\nD=\n";
        let value = |key| os_release_value(text, key);
        assert_eq!(value("A").unwrap(), "plain");
        assert_eq!(value("B").unwrap(), "with \"quotes\" and $");
        assert_eq!((value("C").unwrap(), value("D").unwrap()), ("single".into(), String::new()));
        assert_eq!(value("E"), None);
    }
}

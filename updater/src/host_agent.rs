//! The agent on the host it runs on: the disk that was booted from, the ledger on the state partition, the journal.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use slipway_images::boot::{BOOT_FACTS_PATH, BootFacts};
use slipway_images::disk::Slot;
use slipway_images::verity::RootHash;
use slipway_trust::time::UnixTime;

use crate::agent::{Agent, AgentError, Outcome, Surroundings};
use crate::disk::Disk;
use crate::disk::device::FileDevice;
use crate::host::{Host, HostError, STATE_NOT_MOUNTED};
use crate::journal::{JOURNAL_SOCKET, News};
use crate::ledger::{BootId, CopyName, LedgerContents, LedgerFiles, LedgerStore, UnixSeconds};
use crate::machine::{Effect, Which};
use crate::process;
use crate::two_copies::Document as _;

/// Where the agent keeps what lasts.
const STATE: &str = "var/lib/slipway";
/// What names a boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Held by the agent that writes.
const LOCK: &str = "run/slipway/agent.lock";
/// Held while state is migrated.
const MIGRATION_LOCK: &str = "run/slipway/migrate.lock";
/// How long the journal may take to answer.
const JOURNAL_LIMIT: Duration = Duration::from_secs(20);
const JOURNAL_BYTES: usize = 64 << 10;
/// Boots before this one that are looked at for a version that failed, as `journalctl -b` counts them: its three tries, and one more.
const EARLIER_BOOTS: [&str; 4] = ["-1", "-2", "-3", "-4"];

/// The agent of a host.
pub type HostAgent = Agent<FileDevice, HostLedger, HostSurroundings>;

/// Why there can be no agent.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The host can't be described.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The initrd left no facts.
    #[error("{BOOT_FACTS_PATH} is missing: this system was not started by Slipway's initrd")]
    NoFacts,
    /// A device can't be opened.
    #[error("can't open {path}")]
    Device {
        /// The device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A partition is in use.
    #[error("{path} is in use: it must not be mounted while the agent writes to it")]
    InUse {
        /// The partition.
        path: PathBuf,
    },
    /// Another agent is at work.
    #[error("another slipway-agent is at work")]
    Locked,
    /// The agent itself.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// The clock and the journal, and the claims on what the agent writes to.
#[derive(Debug)]
pub struct HostSurroundings {
    /// Partitions that nobody else may mount or map meanwhile, and the lock. Let go when the agent ends.
    _claims: Vec<File>,
}

impl Surroundings for HostSurroundings {
    fn now(&self) -> UnixSeconds {
        now()
    }

    fn boot(&self) -> Option<BootId> {
        fs::read_to_string(BOOT_ID).ok().map(|id| BootId(id.trim().to_owned()))
    }

    fn log_tail(&self, of: Which, root_hash: RootHash) -> Vec<String> {
        // What is in the other slot ran before what runs now. A boot that ends before there is a state partition leaves no journal,
        // and this version may have been started once more since.
        let boot = match of {
            Which::Running => Some("0"),
            Which::Other => EARLIER_BOOTS.into_iter().find(|boot| is_boot_of(boot, root_hash)),
        };
        let Some(boot) = boot else { return vec!["none of its boots has left a journal".to_owned()] };
        match journal(&["-b", boot, "-n", "60", "-o", "short-monotonic"]) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(why) => vec![format!("no journal: {why}")],
        }
    }

    fn warn(&self, what: &str) {
        let _ = writeln!(io::stderr(), "slipway-agent: {what}");
    }

    fn tell(&self, news: &News) {
        // The ledger has it all: a journal that doesn't listen misses it.
        let _ = news.tell(Path::new(JOURNAL_SOCKET));
    }
}

/// Whether a boot's kernel was told to open this root.
fn is_boot_of(boot: &str, root_hash: RootHash) -> bool {
    // The kernel's command line is among the first that it says.
    let first = journal(&["-b", boot, "-k", "-n", "+100", "-o", "cat"]);
    first.is_ok_and(|text| opens(&text, root_hash))
}

fn opens(kernel_log: &str, root_hash: RootHash) -> bool {
    let word = format!("roothash={}", root_hash.to_hex());
    kernel_log.lines().any(|line| line.split(' ').any(|part| part == word))
}

fn journal(arguments: &[&str]) -> Result<String, String> {
    let argv = [&["journalctl", "-q", "--no-pager"], arguments].concat();
    match process::run(&argv, JOURNAL_LIMIT, JOURNAL_BYTES) {
        Ok(finished) if finished.succeeded() => Ok(finished.text()),
        Ok(finished) => Err(format!("journalctl {}", finished.failure())),
        Err(error) => Err(error.to_string()),
    }
}

/// The time of the host's clock.
pub fn now() -> UnixSeconds {
    UnixSeconds(UnixTime::now().as_secs())
}

/// The agent of the host whose root is at `root`, for writing: the interrupted is finished.
pub fn start(root: &Path) -> Result<(HostAgent, Outcome), OpenError> {
    let (facts, ledger) = find(root)?;
    let claims = claim(root, &facts)?;
    let disk = open_disk(root, &facts, true)?;
    Ok(Agent::start(disk, ledger, HostSurroundings { _claims: claims })?)
}

/// The same, once no other agent is at work, but for no longer than `patience`.
pub fn start_when_free(root: &Path, patience: Duration) -> Result<(HostAgent, Outcome), OpenError> {
    let deadline = Instant::now() + patience;
    loop {
        match start(root) {
            Err(OpenError::Locked) if Instant::now() < deadline => thread::sleep(Duration::from_millis(500)),
            started => return started,
        }
    }
}

/// The same for looking: nothing is written. Also gives what a start would do.
pub fn examine(root: &Path) -> Result<(HostAgent, Vec<Effect>), OpenError> {
    let (facts, ledger) = find(root)?;
    let disk = open_disk(root, &facts, false)?;
    Ok(Agent::examine(disk, ledger, HostSurroundings { _claims: Vec::new() })?)
}

/// Where the ledger of a host is.
#[derive(Debug)]
pub struct HostLedger {
    files: LedgerFiles,
    is_mounted: bool,
}

impl HostLedger {
    /// The ledger of this host, whose root is at `root`.
    pub fn of(host: &Host, root: &Path) -> Self {
        let files = LedgerFiles::new(&root.join(STATE), LedgerContents::NAME);
        Self { files, is_mounted: host.state.is_some() }
    }

    /// Without its partition a ledger would be that of a host on which nothing has happened.
    fn needs_state(&self) -> io::Result<()> {
        if self.is_mounted { Ok(()) } else { Err(io::Error::other(STATE_NOT_MOUNTED)) }
    }
}

impl LedgerStore for HostLedger {
    fn read(&self, copy: CopyName) -> io::Result<Option<Vec<u8>>> {
        self.needs_state()?;
        self.files.read(copy)
    }

    fn replace(&mut self, copy: CopyName, content: &[u8]) -> io::Result<()> {
        self.needs_state()?;
        self.files.replace(copy, content)
    }
}

/// What a host booted from, and its ledger.
fn find(root: &Path) -> Result<(BootFacts, HostLedger), OpenError> {
    let host = Host::read(root)?;
    let ledger = HostLedger::of(&host, root);
    Ok((host.boot.ok_or(OpenError::NoFacts)?, ledger))
}

fn open_disk(root: &Path, facts: &BootFacts, writable: bool) -> Result<Disk<FileDevice>, OpenError> {
    let path = root.join("dev").join(&facts.disk);
    let device = FileDevice::open(&path, writable).map_err(|source| OpenError::Device { path, source })?;
    Ok(Disk::new(device, facts.root_hash))
}

/// Takes a lock of this name below `root`, which ends with the file.
fn lock(root: &Path, name: &str) -> Result<File, OpenError> {
    let path = root.join(name);
    let failed = |source| OpenError::Device { path: path.clone(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let lock = File::options().create(true).append(true).open(&path).map_err(failed)?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Locked),
        Err(error) => return Err(failed(error.into())),
    }
    Ok(lock)
}

/// The lock of whoever migrates state.
pub fn lock_migrations(root: &Path) -> Result<File, OpenError> {
    lock(root, MIGRATION_LOCK)
}

/// Makes sure that nobody else writes: no second agent, no mounted ESP, nothing on the other slot.
fn claim(root: &Path, facts: &BootFacts) -> Result<Vec<File>, OpenError> {
    let lock = lock(root, LOCK)?;
    let parts = &facts.partitions;
    let other = match facts.slot {
        Slot::A => [&parts.root_b, &parts.verity_b],
        Slot::B => [&parts.root_a, &parts.verity_a],
    };
    let mut claims = vec![lock];
    for partition in [&parts.esp].into_iter().chain(other).flatten() {
        let path = root.join("dev").join(&partition.device);
        // On a block device, O_EXCL fails as long as it is mounted or mapped, and keeps it from becoming so.
        let flags = i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap_or(0);
        match File::options().read(true).custom_flags(flags).open(&path) {
            Ok(file) => claims.push(file),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Err(OpenError::InUse { path }),
            Err(source) => return Err(OpenError::Device { path, source }),
        }
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_known_by_the_root_hash_on_its_command_line() {
        let [one, other] = [1, 2].map(|byte| RootHash::from_bytes([byte; 32]));
        let log = format!("Linux version 6.12\nCommand line: roothash={} console=tty0\nKernel is fine\n", one.to_hex());
        assert!(opens(&log, one) && !opens(&log, other) && !opens("", one));
    }
}

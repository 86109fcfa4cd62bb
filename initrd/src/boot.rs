//! The order of things.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};
use slipway_images::boot::{BOOT_FACTS_PATH, BootFacts};
use slipway_images::disk::PartGuid;
use slipway_images::verity::RootHash;

use crate::cmdline;
use crate::efi::BootedFrom;
use crate::failure::{BootError, Context as _, Severity, say};
use crate::machine_id::{MachineId, REPART_DROP_IN, new_state_guid, repart_drop_in};
use crate::modules::Modules;
use crate::pick::{Disk, gpt_used, layout, next_partition_name, partitions};
use crate::root::{self, ETC_UPPER, SYSROOT};
use crate::scan::{add_missing_partitions, device_node, partition_device, partition_name, wait_for_disk};
use crate::verity::{START, Tree};
use crate::{ahead, dm, modules, state, tell};

/// The name of the verified device, as systemd's own generators call it.
const DEVICE_NAME: &str = "root";

const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// Some firmware takes long to list its variables; the disk can be found without them where there is only one.
const EFIVARS_LIMIT: Duration = Duration::from_secs(5);

/// From an initrd to a root that is ready for its init.
pub fn open_root() -> Result<(), BootError> {
    let initrd_started_ms = milliseconds_since_start();
    root::mount_kernel_file_systems()?;
    let cmdline = fs::read_to_string("/proc/cmdline").at("read", "/proc/cmdline")?;
    let root_hash = cmdline::root_hash(&cmdline)?;
    let disk = prepare(root_hash)?;
    let layout = layout(&disk, root_hash)?;
    let (data, hashes) = (partition_device(&disk, layout.root)?, partition_device(&disk, layout.verity)?);

    let mut start = [0; START];
    let mut verity = File::open(&hashes.node).at("open the verity partition", &hashes.node)?;
    verity.read_exact(&mut start).at("read the verity partition", &hashes.node)?;
    let tree = Tree::open(&start, layout.root.size, root_hash)
        .map_err(|source| BootError::Verity { partition: hashes.node.clone(), source })?;
    let control = File::options().read(true).write(true).open(dm::CONTROL).at("open", dm::CONTROL)?;
    let targets = tree.targets(&data.number, &hashes.number, root_hash);
    let device = dm::create(&control, DEVICE_NAME, &tree.dm_uuid(DEVICE_NAME), &targets)
        .at("set up dm-verity for", &data.node)?;
    root::name_device(DEVICE_NAME, &device)?;
    root::mount_root(&device)?;

    let (state, node) = match layout.state {
        Some(partition) => (partition.guid, partition_device(&disk, partition)?.node),
        None => (announce_state()?, device_node(&next_partition_name(&disk))),
    };
    thread::scope(|scope| {
        if layout.state.is_some() {
            scope.spawn(|| state::mount_if_clean(&node));
        }
        load_overlay()
    })?;
    root::prepare_etc()?;
    root::link(tell::DISK_LINK, &device_node(&disk.name))?;
    root::link(tell::STATE_LINK, &node)?;
    root::write_file(&format!("{ETC_UPPER}/machine-id"), &format!("{}\n", MachineId::of_state(state)), 0o444)?;
    let mut facts = BootFacts {
        disk: disk.name.clone(),
        slot: layout.slot,
        root_hash,
        root_partition: layout.root.number.0,
        partitions: partitions(&disk, |partition| partition_name(&disk, partition)),
        gpt_used: gpt_used(&disk),
        initrd_started_ms,
        switch_root_ms: 0,
    };
    root::write_file(tell::UDEV_RULES, &tell::udev_rules(&facts), 0o644)?;
    root::enter()?;
    ahead::start();
    facts.switch_root_ms = milliseconds_since_start();
    let json = serde_json::to_string(&facts).map_err(std::io::Error::from).at("write", BOOT_FACTS_PATH)?;
    root::write_file(BOOT_FACTS_PATH, &json, 0o644)?;
    say(Severity::Notice, &tell::summary(&facts));
    Ok(())
}

/// Finds the disk and, at the same time, loads what its root needs.
fn prepare(root_hash: RootHash) -> Result<Disk, BootError> {
    let modules = Modules::read()?;
    let for_firmware = modules.named("efivarfs");
    let for_root = modules.general().without(&for_firmware);
    thread::scope(|scope| {
        let root = scope.spawn(|| modules.load(&for_root));
        modules.load(&for_firmware)?;
        let booted = read_efivars();
        let disk = wait_for_disk(&modules, &booted, root_hash)?;
        add_missing_partitions(&disk)?;
        // It can't have panicked: that restarts the machine.
        root.join().unwrap_or(Ok(())).map(|()| disk)
    })
}

/// The overlay file system, from the root, which has been verified and has all modules: in the initrd, this one would be
/// a tenth of it.
fn load_overlay() -> Result<(), BootError> {
    const KNOWN: &str = "/proc/filesystems";
    let known = fs::read_to_string(KNOWN).at("read", KNOWN)?;
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        return Ok(());
    }
    let kernel = uname();
    let release = kernel.release().to_string_lossy();
    modules::load(Path::new(&format!("{SYSROOT}/usr/lib/modules/{release}/kernel/fs/overlayfs/overlay.ko")))
}

/// Draws the GUID of a state partition that isn't there yet, and has systemd-repart use it.
fn announce_state() -> Result<PartGuid, BootError> {
    const SOURCE: &str = "/dev/random";
    let mut random = [0; 16];
    // Unlike `/dev/urandom`, it waits until the kernel has gathered enough to make numbers that nobody else draws.
    File::open(SOURCE).and_then(|mut source| source.read_exact(&mut random)).at("read", SOURCE)?;
    let guid = new_state_guid(random);
    root::write_file(REPART_DROP_IN, &repart_drop_in(guid), 0o644)?;
    Ok(guid)
}

/// What the firmware knows of the boot; nothing on a machine without EFI, or if it takes too long.
fn read_efivars() -> BootedFrom {
    if !Path::new(EFIVARS).exists() {
        return BootedFrom::default();
    }
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        if let Err(error) = root::mount_efivars(Path::new(EFIVARS)) {
            say(Severity::Warning, &format!("can't mount {EFIVARS}: {error}"));
        }
        // Nobody listens any more when time was up.
        let _ = send.send(BootedFrom::read(Path::new(EFIVARS)));
    });
    receive.recv_timeout(EFIVARS_LIMIT).unwrap_or_else(|_| {
        say(Severity::Warning, "the firmware takes too long to list its variables; goes on without");
        BootedFrom::default()
    })
}

/// Milliseconds since the kernel started.
fn milliseconds_since_start() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let milliseconds = now.tv_sec.saturating_mul(1000) + now.tv_nsec / 1_000_000;
    u64::try_from(milliseconds).unwrap_or(0)
}

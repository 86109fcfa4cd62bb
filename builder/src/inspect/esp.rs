//! The EFI system partition: boot loader, boot entries, and the unified kernel image behind each of them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use slipway_images::digest::Digest;
use slipway_images::disk::Region;
use slipway_images::esp::{self, EspNeeds, FALLBACK_LOADER, LOADER_CONF, SYSTEMD_BOOT, check_budget};
use slipway_images::names::{BootEntryName, BootTries, ENTRY_FOLDER};
use slipway_images::uki;
use slipway_images::verity::RootHash;

use super::check::{Checks, chain};
use super::root::{OsRelease, RootFacts};
use super::table::{PartitionFacts, find};

/// The largest boot program that is read.
const PROGRAM_MAX: u64 = 512 << 20;
const TEXT_MAX: usize = 64 << 10;
/// More boot entries than this are not opened: each may be a large file.
const ENTRIES_MAX: usize = 16;

/// What is on an ESP.
#[derive(Debug, Serialize)]
pub struct EspFacts {
    /// All files, by path.
    pub files: Vec<FileFacts>,
    /// The boot entries, by name.
    pub entries: Vec<EntryFacts>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// Its path.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// A boot entry: a unified kernel image, and what it carries.
#[derive(Debug, Serialize)]
pub struct EntryFacts {
    /// Its file name.
    pub name: String,
    /// `ID_VERSION` by the name; `None` if it is not made like that.
    pub label: Option<String>,
    /// Tries left, if the boot loader counts; `None` once the entry was found good.
    pub tries_left: Option<u32>,
    /// Tries done, if the boot loader counts.
    pub tries_done: Option<u32>,
    /// Bytes.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Option<Digest>,
    /// The sections, in the order of the file.
    pub sections: Vec<SectionFacts>,
    /// Bytes of signatures.
    pub signature_size: u64,
    /// The kernel's command line.
    pub command_line: Option<String>,
    /// The root hash on it, 64 hexadecimal digits.
    pub root_hash: Option<String>,
    /// The kernel's release.
    pub kernel_release: Option<String>,
    /// What its os-release says.
    pub os_release: Option<OsRelease>,
    /// All of its os-release, to compare it with.
    #[serde(skip)]
    pub os_release_text: Option<String>,
}

/// A section of a unified kernel image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionFacts {
    /// Its name.
    pub name: String,
    /// Bytes of its content.
    pub size: u64,
}

/// Reads the ESP, if there is one.
pub fn read(disk: &Arc<File>, partitions: &[PartitionFacts], checks: &mut Checks) -> Option<EspFacts> {
    let partition = find(partitions, "esp")?;
    let end = partition.start.saturating_add(partition.size);
    let region = || Region::new(&**disk, partition.start..end);
    let files = match esp::list(&mut region()) {
        Ok(files) => files,
        Err(error) => {
            checks.note("ESP: file system", Err(chain(&error)));
            return None;
        }
    };
    checks.note("ESP: file system", Ok(format!("{} files", files.len())));
    let files: Vec<FileFacts> = files.into_iter().map(|file| FileFacts { path: file.path, size: file.size }).collect();
    let read = |path: &str| esp::read(&mut region(), path, PROGRAM_MAX).map_err(|error| chain(&error));
    check_loader(&read, checks);
    let entries = read_entries(&files, &read, checks);
    check_room(partition.size, &files, &entries, checks);
    Some(EspFacts { files, entries })
}

/// The boot loader must be at both places, a program, and the same.
fn check_loader(read: &impl Fn(&str) -> Result<Vec<u8>, String>, checks: &mut Checks) {
    let program = |path: &str| {
        let bytes = read(path)?;
        uki::sections(&bytes).map_err(|error| format!("{path}: {}", chain(&error)))?;
        Ok::<_, String>(bytes)
    };
    let outcome = program(FALLBACK_LOADER).and_then(|fallback| {
        let own = program(SYSTEMD_BOOT)?;
        if fallback == own { Ok(format!("{} bytes", own.len())) } else { Err("the two copies differ".into()) }
    });
    checks.note("ESP: boot loader", outcome);
    let conf = read(LOADER_CONF).and_then(|bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let closed = text.lines().any(|line| line.split_whitespace().eq(["editor", "no"]));
        if closed { Ok("the editor is off".to_owned()) } else { Err("the editor of the boot menu is on".to_owned()) }
    });
    checks.note(format!("ESP: {LOADER_CONF}"), conf);
}

fn read_entries(
    files: &[FileFacts],
    read: &impl Fn(&str) -> Result<Vec<u8>, String>,
    checks: &mut Checks,
) -> Vec<EntryFacts> {
    let folder = format!("{ENTRY_FOLDER}/");
    let found = |file: &&FileFacts| {
        let name = file.path.get(..folder.len()).filter(|start| start.eq_ignore_ascii_case(&folder));
        let rest = name.map(|_| &file.path[folder.len()..]);
        let is_program = |name: &str| Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("efi"));
        rest.is_some_and(|rest| is_program(rest) && !rest.contains('/'))
    };
    let entries: Vec<&FileFacts> = files.iter().filter(found).collect();
    if entries.is_empty() {
        checks.note("boot entries", Err(format!("none in {ENTRY_FOLDER}")));
    }
    if entries.len() > ENTRIES_MAX {
        let why = format!("{} of them, of which the first {ENTRIES_MAX} were looked at", entries.len());
        checks.note("boot entries", Err(why));
    }
    let taken = entries.into_iter().take(ENTRIES_MAX);
    taken.map(|file| EntryFacts::read(&file.path[folder.len()..], file, read, checks)).collect()
}

impl EntryFacts {
    fn read(
        name: &str,
        file: &FileFacts,
        read: &impl Fn(&str) -> Result<Vec<u8>, String>,
        checks: &mut Checks,
    ) -> Self {
        let parsed = name.parse::<BootEntryName>();
        let (tries_left, tries_done) = match parsed.as_ref().map(BootEntryName::tries) {
            Ok(BootTries::Counted { left, done }) => (Some(left.0), Some(done.0)),
            Ok(BootTries::Good) | Err(_) => (None, None),
        };
        let mut facts = Self {
            name: name.to_owned(),
            label: parsed.as_ref().ok().map(|entry| entry.label().to_string()),
            tries_left,
            tries_done,
            size: file.size,
            sha256: None,
            sections: Vec::new(),
            signature_size: 0,
            command_line: None,
            root_hash: None,
            kernel_release: None,
            os_release: None,
            os_release_text: None,
        };
        if let Err(error) = parsed {
            checks.note(format!("{name}: name"), Err(chain(&error)));
        }
        let outcome = read(&file.path).and_then(|bytes| facts.take_apart(&bytes));
        checks.note(format!("{name}: kernel image"), outcome);
        facts
    }

    fn take_apart(&mut self, bytes: &[u8]) -> Result<String, String> {
        self.sha256 = Some(Digest::of(bytes));
        let sections = uki::sections(bytes).map_err(|error| chain(&error))?;
        self.signature_size = sections.signatures;
        self.sections = sections
            .all
            .iter()
            .map(|section| SectionFacts { name: section.name.to_string(), size: section.data.len() as u64 })
            .collect();
        let text = |name| {
            let data = sections.find(name).map_err(|error| chain(&error))?;
            let text = std::str::from_utf8(data).ok().filter(|text| text.len() <= TEXT_MAX);
            Ok::<_, String>(text.ok_or_else(|| format!("section {name} is no short text"))?.trim_end_matches('\0'))
        };
        for name in [".linux", ".initrd"] {
            sections.find(name).map_err(|error| chain(&error))?;
        }
        let os_release = text(".osrel")?;
        self.os_release = Some(OsRelease::parse(os_release));
        self.os_release_text = Some(os_release.to_owned());
        self.kernel_release = Some(text(".uname")?.trim_end().to_owned());
        let command_line = text(".cmdline")?.trim_end();
        self.command_line = Some(command_line.to_owned());
        let mut hashes = command_line.split_whitespace().filter_map(|word| word.strip_prefix("roothash="));
        let (Some(hash), None) = (hashes.next(), hashes.next()) else {
            return Err("the command line has not exactly one `roothash=`".into());
        };
        let hash: RootHash = hash.parse().map_err(|error| chain(&error))?;
        self.root_hash = Some(hash.to_hex());
        Ok(format!("{} sections", self.sections.len()))
    }
}

/// The room that updates need: see [`check_budget`].
fn check_room(partition: u64, files: &[FileFacts], entries: &[EntryFacts], checks: &mut Checks) {
    let loader = files.iter().find(|file| file.path.eq_ignore_ascii_case(FALLBACK_LOADER)).map_or(0, |file| file.size);
    let uki = entries.iter().map(|entry| entry.size).max().unwrap_or(0);
    let outcome = match check_budget(partition, EspNeeds { uki, loader }) {
        Ok(left) => Ok(format!("for three kernels, and {} MiB to spare", left >> 20)),
        Err(error) => Err(error.to_string()),
    };
    checks.note("ESP: room", outcome);
}

/// Each entry must start a root that is there, and say of it what it says of itself.
pub fn compare_with_roots(esp: &EspFacts, roots: &[RootFacts], checks: &mut Checks) {
    for entry in &esp.entries {
        let name = |what: &str| format!("{}: {what}", entry.name);
        let Some(root_hash) = &entry.root_hash else { continue };
        let root = roots.iter().find(|root| root.root_hash == *root_hash);
        let outcome = match root {
            Some(root) => Ok(format!("that of slot {}, by the GUIDs of its partitions", root.slot)),
            None => Err(format!("no slot has partitions with the GUIDs that root hash {root_hash} gives")),
        };
        checks.note(name("root hash"), outcome);
        let Some(root) = root else { continue };
        if let Some(label) = &entry.label {
            checks.same(name("label"), label, &root.label, "the partition");
        }
        let same = entry.os_release_text == root.os_release_text;
        let outcome = if same { Ok("that of the root".into()) } else { Err("is not that of the root".into()) };
        checks.note(name("os-release"), outcome);
        if let Some(release) = &entry.kernel_release {
            let known = root.kernels.contains(release);
            let missing = || format!("the root has no modules for {release}");
            checks.note(name("kernel"), if known { Ok(release.clone()) } else { Err(missing()) });
        }
    }
}

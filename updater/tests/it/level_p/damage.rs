//! Disks, sources and offers that are not as they should be.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use slipway_images::disk::PartitionTable;
use slipway_images::verity::BlockIndex;
use slipway_updater::agent::{AgentError, Outcome};
use slipway_updater::disk::survey::TableState;
use slipway_updater::ledger::{CopyName, LedgerStore as _};
use slipway_updater::machine::{Refused, State, Stuck};
use slipway_updater::release::{Refusal, ReleaseSource, TakeBlock, Target, VerifiedRelease};

use super::firmware::{self, esp_of, with_fatfs};
use super::recorded::{Cursor, Image, RecordedDisk, RecordedLedger};
use super::scenarios::tell_checked;
use super::world::{LEDGER, MemorySource, Release, agent, factory, install};

/// A host that runs this version, in slot a, and has looked at its disk once.
fn settled(release: &Release) -> RecordedDisk {
    let disk = RecordedDisk::new(factory(release));
    agent(&disk, release.hash()).unwrap();
    disk
}

/// A host that has gone from one version to the next and committed it.
pub fn updated(from: &Arc<Release>, to: &Arc<Release>) -> RecordedDisk {
    let disk = settled(from);
    let (mut first, _) = agent(&disk, from.hash()).unwrap();
    install(&mut first, to).unwrap();
    let mut image = disk.image();
    firmware::boot(&mut image).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut second, _) = agent(&disk, to.hash()).unwrap();
    second.healthy().unwrap();
    disk
}

fn entry_names(image: &mut Image) -> Vec<String> {
    firmware::entries(image).unwrap().into_iter().map(|entry| entry.name.to_string()).collect()
}

#[test]
fn s02_killed_at_every_write_and_started_again() {
    let [v1, v2] = [1, 2].map(Release::new);
    let whole = settled(&v1);
    let begun = whole.log().len();
    let (mut first, _) = agent(&whole, v1.hash()).unwrap();
    install(&mut first, &v2).unwrap();
    let before = settled(&v1).image();
    let writes = whole.log().len() - begun;
    for ops in 0..writes {
        let disk = RecordedDisk::new(before.clone());
        disk.fail_after(ops);
        let (mut killed, _) = agent(&disk, v1.hash()).unwrap();
        install(&mut killed, &v2).unwrap_err();
        let mut image = disk.image();
        assert_eq!(firmware::would_boot(&mut image).unwrap().failures, [""; 0], "after {ops}");
        let disk = disk.with(image);
        let (mut next, _) = agent(&disk, v1.hash()).unwrap();
        let mut source = MemorySource::new(&v2);
        if next.state() != State::Armed {
            let admitted = next.admit(&v2.verified()).unwrap();
            next.install(admitted, &mut source).unwrap();
        }
        assert_eq!(firmware::boot(&mut disk.image()).unwrap().root_hash, v2.hash());
    }
    tell_checked("s02_killed_at_every_write_and_started_again", writes);
}

#[test]
fn what_is_there_is_not_fetched() {
    let [v1, v2, v3] = [1, 2, 3].map(Release::new);
    let disk = settled(&v1);
    let (mut first, _) = agent(&disk, v1.hash()).unwrap();
    let mut source = MemorySource::new(&v2);
    let admitted = first.admit(&v2.verified()).unwrap();
    first.install(admitted, &mut source).unwrap();
    let origin = first.origin().unwrap();
    assert_eq!((origin.kept, origin.copied, origin.fetched), (0, 21, 21));
    assert_eq!(source.asked, origin.fetched);
    // The same again, after the entry was lost: all blocks are in place.
    first.roll_back("").unwrap();
    first.allow(&v2.label).unwrap();
    install(&mut first, &v2).unwrap();
    assert_eq!((first.origin().unwrap().kept, first.origin().unwrap().fetched), (42, 0));
    install(&mut first, &v3).unwrap();
    assert_eq!(first.origin().unwrap().kept, 21);
}

#[test]
fn s05_a_damaged_partition_table_is_repaired_from_the_other_copy() {
    let v1 = Release::new(1);
    for (offset, expected) in [(512, TableState::PrimaryDamaged), (1024 + 60, TableState::PrimaryDamaged)] {
        let mut image = settled(&v1).image();
        image.write(&[0xa5; 8], offset).unwrap();
        repaired(image, &v1, expected);
        let mut image = settled(&v1).image();
        let backup = image.size - if offset == 512 { 512 } else { 33 * 512 - 60 };
        image.write(&[0xa5; 8], backup).unwrap();
        repaired(image, &v1, TableState::BackupDamaged);
    }
}

fn repaired(image: Image, running: &Release, expected: TableState) {
    let whole = PartitionTable::read(&mut Cursor::whole(&mut settled(running).image())).unwrap();
    let disk = RecordedDisk::new(image);
    let survey = slipway_updater::disk::Disk::new(disk.clone(), running.hash()).survey().unwrap();
    assert_eq!(survey.tables, expected);
    let (found, outcome) = agent(&disk, running.hash()).unwrap();
    assert_eq!((found.survey().unwrap().tables, outcome), (TableState::Same, Outcome::Done));
    let table = PartitionTable::read(&mut Cursor::whole(&mut disk.image())).unwrap();
    assert_eq!((&table.partitions, table.primary_fault), (&whole.partitions, None));
}

#[test]
fn s06_a_dirty_esp_with_stray_files_is_mended() {
    let [v1, v2] = [1, 2].map(Release::new);
    let mut image = settled(&v1).image();
    let (esp, stray) = (esp_of(&mut image).unwrap(), "edge-web_2025.1+3.efi");
    with_fatfs(esp, |folder| {
        folder.create_file("edge-web_2025.1+3.efi").map(drop)?;
        folder.create_file("memtest.efi").map(drop)
    })
    .unwrap();
    let mut esp = esp_of(&mut image).unwrap();
    {
        let file_system = fatfs::FileSystem::new(&mut esp, fatfs::FsOptions::new()).unwrap();
        let mut file = file_system.root_dir().create_file("FSCK0000.REC").unwrap();
        io::Write::write_all(&mut file, &[7; 5000]).unwrap();
    }
    let start = esp.start;
    image.write(&[1], start + 65).unwrap();
    let disk = RecordedDisk::new(image);
    let survey = slipway_updater::disk::Disk::new(disk.clone(), v1.hash()).survey().unwrap();
    assert!(survey.esp_needs_mending && survey.leftovers.iter().any(|name| name.to_string() == stray));
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    let survey = found.survey().unwrap();
    assert!(!survey.esp_needs_mending && survey.leftovers.is_empty());
    let mut image = disk.image();
    let files = slipway_images::esp::list(&mut esp_of(&mut image).unwrap()).unwrap();
    let names: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert!(names.contains(&"EFI/Linux/memtest.efi"), "what is somebody else's stays: {names:?}");
    assert!(!names.contains(&"FSCK0000.REC") && !names.iter().any(|name| name.contains("2025")), "{names:?}");
    install(&mut found, &v2).unwrap();
}

#[test]
fn s07_no_room_on_the_esp_is_told_before_anything_is_written() {
    let [v1, v2] = [1, 2].map(Release::new);
    let mut image = settled(&v1).image();
    let mut esp = esp_of(&mut image).unwrap();
    {
        let file_system = fatfs::FileSystem::new(&mut esp, fatfs::FsOptions::new()).unwrap();
        let free = file_system.stats().unwrap().free_clusters() - 3;
        let mut file = file_system.root_dir().create_file("big").unwrap();
        io::copy(&mut io::repeat(1).take(u64::from(free) * 512), &mut file).unwrap();
    }
    let disk = RecordedDisk::new(image);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    let before = disk.log().len();
    let error = install(&mut found, &v2).unwrap_err();
    assert!(matches!(&error, AgentError::Release(Refusal::TooLarge { part, .. }) if part == "kernel image"), "{error}");
    assert_eq!((disk.log().len(), entry_names(&mut disk.image())), (before, vec!["edge-web_2026.11.1.efi".to_owned()]));
}

#[test]
fn s07_a_disk_that_refuses_writes_is_an_error_and_what_runs_is_untouched() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = settled(&v1);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    disk.fail_after(0);
    let error = install(&mut found, &v2).unwrap_err();
    assert!(matches!(error, AgentError::Ledger(_)), "{error:?}");
    assert_eq!(firmware::would_boot(&mut disk.image()).unwrap().root_hash, v1.hash());
}

/// A source in which something is changed.
struct Bad {
    inner: MemorySource,
    tree: Option<usize>,
    kernel: Option<usize>,
    block: Option<(u64, Wrong)>,
}

#[derive(Clone, Copy)]
enum Wrong {
    Flipped,
    Left,
    Short,
    Swapped,
}

impl ReleaseSource for Bad {
    fn tree(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::Cursor::new(changed(&self.inner.release.tree_bytes, self.tree))))
    }

    fn kernel(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::Cursor::new(changed(&self.inner.release.kernel, self.kernel))))
    }

    fn blocks(&mut self, wanted: &[Range<u64>], take: &mut TakeBlock<'_>) -> io::Result<()> {
        let (bad, release) = (self.block, Arc::clone(&self.inner.release));
        self.inner.blocks(wanted, &mut |index, bytes| match bad {
            Some((place, wrong)) if place == index.0 => match wrong {
                Wrong::Flipped => take(index, &changed(bytes, Some(77))),
                Wrong::Left => Ok(()),
                Wrong::Short => take(index, &bytes[..4095]),
                Wrong::Swapped => take(index, &release.root[..4096]),
            },
            _ => take(index, bytes),
        })?;
        // Blocks that nobody asked for, and that are not there.
        take(BlockIndex(0), &release.root[..4096])?;
        if bad.is_none() { take(BlockIndex(1 << 40), &release.root[..4096]) } else { Ok(()) }
    }
}

fn changed(bytes: &[u8], place: Option<usize>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match place {
        Some(place) if place < bytes.len() => bytes[place] ^= 1,
        Some(place) => bytes.truncate(place - bytes.len()),
        None => {}
    }
    bytes
}

#[test]
fn s12_s20_whatever_a_source_delivers_only_signed_bytes_become_bootable() {
    let [v1, v2] = [1, 2].map(Release::new);
    let before = settled(&v1).image();
    let source = |tree, kernel, block| Bad { inner: MemorySource::new(&v2), tree, kernel, block };
    let (tree, kernel) = (v2.tree_bytes.len(), v2.kernel.len());
    let sources = [
        source(Some(4096 + 40), None, None),
        source(Some(72), None, None),
        source(Some(tree + 100), None, None),
        source(None, Some(30), None),
        source(None, Some(kernel + kernel - 1), None),
        source(None, None, Some((5, Wrong::Flipped))),
        source(None, None, Some((41, Wrong::Left))),
        source(None, None, Some((7, Wrong::Short))),
        source(None, None, Some((9, Wrong::Swapped))),
        source(None, None, None),
    ];
    for (number, mut source) in sources.into_iter().enumerate() {
        let disk = RecordedDisk::new(before.clone());
        let (mut found, _) = agent(&disk, v1.hash()).unwrap();
        let admitted = found.admit(&v2.verified()).unwrap();
        let error = format!("{:?}", found.install(admitted, &mut source).unwrap_err());
        let refused = ["not the signed one", "ForeignTree", "WrongContent", "Missing", "UnexpectedEof"];
        assert!(refused.iter().any(|words| error.contains(words)), "found before it was written: {error}");
        assert_eq!(found.state(), State::Idle { fallback: false });
        let survey = found.survey().unwrap();
        assert!(survey.other().entry.is_none() && !survey.esp_needs_mending, "source {number}");
        assert_eq!(entry_names(&mut disk.image()), ["edge-web_2026.11.1.efi"], "source {number}");
        let ledger = found.ledger().unwrap();
        assert!(ledger.trouble(v2.hash()).is_some() && ledger.failure(v2.hash()).is_none());
        // Not at once again, but later, from a source that is well.
        let waiting = install(&mut found, &v2).unwrap_err();
        assert!(matches!(waiting, AgentError::Release(Refusal::Waiting { attempts: 1, .. })), "{waiting:?}");
        found.allow(&v2.label).unwrap();
        install(&mut found, &v2).unwrap();
        assert_eq!(firmware::boot(&mut disk.image()).unwrap().root_hash, v2.hash());
    }
}

#[test]
fn s12_a_bit_that_flips_before_the_slot_is_read_back_is_found() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = settled(&v1);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    let survey = found.survey().unwrap();
    disk.flip_on_flush(survey.other().root.start + 5000);
    let error = install(&mut found, &v2).unwrap_err();
    assert!(error.to_string().contains("block 1 of the slot is not what was written"), "{error}");
    assert_eq!(entry_names(&mut disk.image()), ["edge-web_2026.11.1.efi"]);
}

#[test]
fn s17_a_blip_while_on_trial_is_no_reason_to_go_back() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = settled(&v1);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    install(&mut found, &v2).unwrap();
    let mut image = disk.image();
    for _ in 0..2 {
        assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label);
    }
    assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label);
    let disk = RecordedDisk::new(image);
    let (mut trial, _) = agent(&disk, v2.hash()).unwrap();
    assert_eq!(trial.state(), State::Trial { fallback: true });
    trial.healthy().unwrap();
    let mut image = disk.image();
    assert_eq!(entry_names(&mut image), ["edge-web_2026.11.1.efi", "edge-web_2026.11.2.efi"]);
    assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label);
}

#[test]
fn s18_a_version_that_used_up_its_tries_is_refused_and_the_next_one_is_taken() {
    let [v1, v2, v3] = [1, 2, 3].map(Release::new);
    let disk = settled(&v1);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    install(&mut found, &v2).unwrap();
    let mut image = disk.image();
    for _ in 0..3 {
        assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label);
    }
    let booted = firmware::boot(&mut image).unwrap();
    assert_eq!((booted.label, booted.failures.len()), (v1.label.clone(), 0));
    let disk = RecordedDisk::new(image);
    let (mut back, _) = agent(&disk, v1.hash()).unwrap();
    let error = install(&mut back, &v2).unwrap_err();
    assert!(matches!(&error, AgentError::Release(Refusal::Failed { .. })), "{error:?}");
    assert!(error.to_string().contains("did not come up in any of its tries"), "{error}");
    assert_eq!(back.ledger().unwrap().failure(v2.hash()).unwrap().log.len(), 2);
    let (again, _) = agent(&disk, v1.hash()).unwrap();
    assert_eq!(again.ledger().unwrap().failures.len(), 1);
    install(&mut back, &v3).unwrap();
    assert_eq!(firmware::boot(&mut disk.image()).unwrap().label, v3.label);
    // An operator may say so.
    let (mut back, _) = agent(&disk, v1.hash()).unwrap();
    assert!(back.allow(&v2.label).unwrap());
    back.roll_back("not yet").unwrap();
    install(&mut back, &v2).unwrap();
}

#[test]
fn s19_with_nothing_to_go_back_to_the_machine_stays_up_and_says_so() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = settled(&v1);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    install(&mut found, &v2).unwrap();
    let mut image = disk.image();
    firmware::boot(&mut image).unwrap();
    with_fatfs(esp_of(&mut image).unwrap(), |folder| folder.remove("edge-web_2026.11.1.efi")).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut trial, _) = agent(&disk, v2.hash()).unwrap();
    assert_eq!(trial.unhealthy("web").unwrap(), Outcome::Done);
    assert_eq!(trial.state(), State::Stuck { why: Stuck::NoFallback });
    assert!(trial.ledger().unwrap().failure(v2.hash()).is_some());
    let (mut again, outcome) = agent(&disk, v2.hash()).unwrap();
    assert_eq!((again.state(), outcome), (State::Stuck { why: Stuck::NoFallback }, Outcome::Done));
    // The next version helps without a person, and what failed is not booted again before it.
    let v3 = Release::new(3);
    install(&mut again, &v3).unwrap();
    assert_eq!(agent(&disk, v2.hash()).unwrap().1, Outcome::Restart);
    assert_eq!(firmware::boot(&mut disk.image()).unwrap().root_hash, v3.hash());
}

#[test]
fn s25_what_does_not_fit_is_refused_before_anything_is_written() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = settled(&v1);
    let (found, _) = agent(&disk, v1.hash()).unwrap();
    let before = disk.log().len();
    for (root, tree, kernel, part) in
        [(257, 12, 10, "root"), (256, 257, 10, "hash tree"), (256, 12, 35 << 20, "kernel image")]
    {
        let mut target = Target::of_manifest(&v2.manifest);
        (target.root_size, target.tree_size, target.kernel_size) = (root * 4096, tree * 4096, kernel);
        let release = VerifiedRelease::from_document_verified_by_caller(target);
        let error = found.admit(&release).unwrap_err();
        assert!(
            matches!(&error, AgentError::Release(Refusal::TooLarge { part: named, .. }) if named == part),
            "{error}"
        );
    }
    assert_eq!(disk.log().len(), before);
}

#[test]
fn s26_older_versions_are_refused_and_going_back_still_boots() {
    let [v1, v2, v3, v4] = [1, 2, 3, 4].map(Release::new);
    let disk = updated(&v2, &v3);
    let (mut found, _) = agent(&disk, v3.hash()).unwrap();
    assert!(matches!(install(&mut found, &v1), Err(AgentError::Release(Refusal::Older { .. }))));
    assert!(matches!(install(&mut found, &v3), Err(AgentError::Release(Refusal::Running(_)))));
    assert_eq!(found.roll_back("too slow").unwrap(), Outcome::Restart);
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().label, v2.label);
    let disk = RecordedDisk::new(image);
    let (mut back, _) = agent(&disk, v2.hash()).unwrap();
    assert_eq!(back.ledger().unwrap().floor.as_ref(), Some(v3.label.version()), "the floor stays");
    assert!(matches!(install(&mut back, &v3), Err(AgentError::Release(Refusal::Failed { .. }))));
    install(&mut back, &v4).unwrap();
}

#[test]
fn s26_a_version_below_the_floor_is_refused_even_after_going_back() {
    let [v1, v2, v4] = [1, 2, 4].map(Release::new);
    let disk = updated(&v1, &v4);
    let (mut found, _) = agent(&disk, v4.hash()).unwrap();
    found.roll_back("").unwrap();
    let mut image = disk.image();
    firmware::boot(&mut image).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut back, _) = agent(&disk, v1.hash()).unwrap();
    let refused = install(&mut back, &v2).unwrap_err();
    assert!(matches!(refused, AgentError::Release(Refusal::BelowFloor { .. })), "{refused}");
}

#[test]
fn nothing_is_installed_while_what_runs_is_on_trial() {
    let [v1, v2, v3] = [1, 2, 3].map(Release::new);
    let disk = settled(&v1);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    install(&mut found, &v2).unwrap();
    let mut image = disk.image();
    firmware::boot(&mut image).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut trial, _) = agent(&disk, v2.hash()).unwrap();
    let before = disk.log().len();
    assert!(matches!(install(&mut trial, &v3), Err(AgentError::Refused(Refused::OnTrial))));
    assert_eq!(disk.log().len(), before);
}

#[test]
fn a_fallback_that_would_not_boot_is_not_gone_back_to() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = updated(&v1, &v2);
    let (found, _) = agent(&disk, v2.hash()).unwrap();
    let mut image = disk.image();
    image.write(&[9; 512], found.survey().unwrap().other().root.start + 8192).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut found, _) = agent(&disk, v2.hash()).unwrap();
    let error = found.roll_back("").unwrap_err();
    assert!(error.to_string().contains("block 2"), "{error}");
    assert_eq!(firmware::would_boot(&mut disk.image()).unwrap().label, v2.label);
    assert!(found.ledger().unwrap().failures.is_empty());
}

#[test]
fn a_lost_ledger_stops_updates_and_nothing_else() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = settled(&v1);
    let mut store = RecordedLedger::new(disk.clone(), LEDGER);
    for copy in [CopyName::A, CopyName::B] {
        store.replace(copy, b"slipway-ledger-1 9 torn\n{}").unwrap();
    }
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    assert_eq!(found.state(), State::Stuck { why: Stuck::NoLedger });
    let before = disk.log().len();
    assert!(matches!(install(&mut found, &v2), Err(AgentError::Refused(Refused::Stuck))));
    assert!(matches!(found.roll_back(""), Err(AgentError::Refused(Refused::Stuck))));
    assert_eq!(disk.log().len(), before);
    assert_eq!(firmware::would_boot(&mut disk.image()).unwrap().label, v1.label);
}

#[test]
fn what_runs_and_its_entry_are_never_written_by_an_installation() {
    let [v1, v2] = [1, 2].map(Release::new);
    let disk = settled(&v1);
    let (mut found, _) = agent(&disk, v1.hash()).unwrap();
    let survey = found.survey().unwrap();
    let begun = disk.log().len();
    install(&mut found, &v2).unwrap();
    let running = survey.running();
    let own = [&running.root, &running.verity].map(slipway_updater::disk::bytes_of);
    for op in &disk.log()[begun..] {
        let super::recorded::Op::Write { offset, bytes } = op else { continue };
        let end = offset + bytes.len() as u64;
        assert!(own.iter().all(|own| end <= own.start || own.end <= *offset), "{offset}");
    }
}

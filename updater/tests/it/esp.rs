//! Boot entries on a FAT32 that others read too: `fatfs`, and `fsck.vfat` as the judge.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::process::Command;

use proptest::prelude::*;
use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::esp::{EspOptions, VolumeLabel, format, list, read};
use slipway_updater::disk::durable::DurableWriter;
use slipway_updater::esp::{Esp, EspError};

use crate::level_p::recorded::{Cursor, Image, RecordedDisk};

const SIZE: u64 = 34 << 20;

fn made() -> RecordedDisk {
    let mut image = Image::new(SIZE);
    let kernel = Content::from_bytes(vec![1; 3000]);
    let files = vec![
        ("EFI/Linux/edge-web_1.efi".to_owned(), kernel),
        ("loader/loader.conf".to_owned(), Content::from_bytes(*b"t")),
    ];
    format(&mut Cursor::whole(&mut image), SIZE, &EspOptions { serial: 7, label: VolumeLabel::ESP, files }).unwrap();
    RecordedDisk::new(image)
}

fn opened(disk: &RecordedDisk) -> (Esp, DurableWriter<RecordedDisk>) {
    let mut writer = DurableWriter::new(disk.clone());
    writer.permit(std::iter::once(0..SIZE).collect(), Vec::new());
    (Esp::open(disk, 0..SIZE).unwrap(), writer)
}

/// What `fsck.vfat` says; it must be content.
fn judge(disk: &RecordedDisk) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("esp");
    let mut bytes = vec![0; usize::try_from(SIZE).unwrap()];
    disk.image().read(&mut bytes, 0).unwrap();
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    let output = Command::new("fsck.vfat").arg("-nv").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("wrong") && !said.contains("differ") && !said.contains("Dirty"), "{said}");
}

/// The files in the folder of boot entries, as `fatfs` sees them.
fn seen(disk: &RecordedDisk) -> BTreeMap<String, Vec<u8>> {
    let mut image = disk.image();
    let mut cursor = Cursor::whole(&mut image);
    let files = list(&mut cursor).unwrap();
    let names = files.iter().filter_map(|file| file.path.strip_prefix("EFI/Linux/"));
    names.map(|name| (name.to_owned(), read(&mut cursor, &format!("EFI/Linux/{name}"), 1 << 20).unwrap())).collect()
}

#[derive(Clone, Debug)]
enum Act {
    Add(usize, usize),
    Remove(usize),
    Rename(usize, usize),
}

const NAMES: [&str; 9] = [
    "edge-web_1.efi",
    "edge-web_1+0-1.efi",
    "edge-web_2026.11.22+3.efi",
    "edge-web_2026.11.22.efi",
    "edge-web_2026.11.22+0-3.efi",
    "a_1.efi",
    "an-image-with-a-long-id_2026.11.22.1+2-1.efi",
    "an-image-with-a-long-id_2026.11.22.1.efi",
    "b_2+3.efi",
];

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let name = 0..NAMES.len();
    let act = prop_oneof![
        (name.clone(), 0..5000_usize).prop_map(|(name, size)| Act::Add(name, size)),
        name.clone().prop_map(Act::Remove),
        (name.clone(), name).prop_map(|(from, to)| Act::Rename(from, to)),
    ];
    proptest::collection::vec(act, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn others_see_what_was_done_and_find_no_fault(acts in acts()) {
        let disk = made();
        let mut model = seen(&disk);
        for act in acts {
            let (mut esp, mut writer) = opened(&disk);
            match act {
                Act::Add(name, size) if !model.contains_key(NAMES[name]) => {
                    let content: Vec<u8> = (0..size).map(|place| u8::try_from((place + name) % 251).unwrap()).collect();
                    let digest = Digest::of(&content);
                    esp.add(&mut writer, NAMES[name], content.len() as u64, digest, &mut content.as_slice()).unwrap();
                    prop_assert_eq!(esp.digest(&disk, NAMES[name]).unwrap(), (digest, content.len() as u64));
                    model.insert(NAMES[name].to_owned(), content);
                }
                Act::Remove(name) => {
                    let was_there = model.remove(NAMES[name]).is_some();
                    prop_assert_eq!(esp.remove(&mut writer, NAMES[name]).is_ok(), was_there);
                }
                Act::Rename(from, to) if !model.contains_key(NAMES[to]) => {
                    let content = model.remove(NAMES[from]);
                    prop_assert_eq!(esp.rename(&mut writer, NAMES[from], NAMES[to]).is_ok(), content.is_some());
                    model.extend(content.map(|content| (NAMES[to].to_owned(), content)));
                }
                _ => {}
            }
            prop_assert_eq!(&seen(&disk), &model);
            prop_assert!(!Esp::open(&disk, 0..SIZE).unwrap().condition(&disk).unwrap().needs_mending);
        }
        judge(&disk);
    }

    #[test]
    fn a_damaged_file_system_is_refused_or_read_and_never_panics(
        places in proptest::collection::vec((0..600_000_u64, any::<u8>()), 1..40),
    ) {
        let disk = made();
        let mut image = disk.image();
        for (place, byte) in places {
            image.write(&[byte], place).unwrap();
        }
        let disk = RecordedDisk::new(image);
        if let Ok(mut esp) = Esp::open(&disk, 0..SIZE) {
            let mut writer = DurableWriter::new(disk.clone());
            writer.permit(std::iter::once(0..SIZE).collect(), Vec::new());
            let _ = esp.entries(&disk);
            let _ = esp.condition(&disk);
            let _ = esp.mend(&mut writer);
            let _ = esp.add(&mut writer, NAMES[4], 5000, Digest::of(&[3; 5000]), &mut [3; 5000].as_slice());
            let _ = esp.remove(&mut writer, NAMES[0]);
        }
    }
}

#[test]
fn s07_a_full_esp_is_an_error_that_says_so_and_leaves_nothing_behind() {
    let disk = made();
    let before = disk.log().len();
    let (mut esp, mut writer) = opened(&disk);
    let room = esp.condition(&disk).unwrap().room;
    let error = esp.add(&mut writer, NAMES[4], room + 1, Digest::of(b""), &mut std::io::repeat(1)).unwrap_err();
    assert!(matches!(error, EspError::Full { .. }) && error.to_string().contains("the ESP is full"), "{error}");
    assert_eq!(disk.log().len(), before);
    judge(&disk);
}

#[test]
fn content_that_is_not_the_signed_one_never_gets_a_name() {
    let disk = made();
    let (mut esp, mut writer) = opened(&disk);
    for (size, content) in [(2000, vec![3; 2000]), (2000, vec![3; 2001]), (2000, vec![3; 1999])] {
        let digest = if content.len() == 2000 { Digest::of(b"other") } else { Digest::of(&[3; 2000]) };
        esp.add(&mut writer, NAMES[4], size, digest, &mut content.as_slice()).unwrap_err();
    }
    assert_eq!(seen(&disk).into_keys().collect::<Vec<_>>(), ["edge-web_1.efi"]);
    judge(&disk);
}

//! `slipway inspect` on a small image that is made here, whole and damaged.

use std::fs::{self, File};
use std::io::{BufWriter, Cursor};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use slipway_builder::inspect::{Inspection, inspect};
use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::disk::{
    DiskIdentity, DiskLayout, DiskSizes, FilledSlot, Part, PartGuid, Region, Slot, derived_uuid, write_table,
};
use slipway_images::erofs::{self, Layout, WriteOptions};
use slipway_images::esp::{self, EspOptions, FALLBACK_LOADER, LOADER_CONF, SYSTEMD_BOOT, VolumeLabel};
use slipway_images::manifest::{Components, Manifest, ManifestContents, ManifestPackage, PartFile, Parts, RootPart};
use slipway_images::names::{BootEntryName, PartitionLabel, TriesLeft};
use slipway_images::tree::{Origin, RootTree, TreePath};
use slipway_images::uki::{UkiParts, assemble};
use slipway_images::verity::{self, RootHash, Salt};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const OS_RELEASE: &str = "ID=debian\nPRETTY_NAME=\"Web\"\nIMAGE_ID=web\nIMAGE_VERSION=1\n";
const RELEASE: &str = "6.12.1-amd64";

/// What can be wrong with an image from the start.
struct Plan {
    kernel_os_release: &'static str,
    kernel_release: &'static str,
    root_hash: Option<RootHash>,
    entry: BootEntryName,
}

impl Plan {
    fn good() -> Self {
        let entry = BootEntryName::good(label());
        Self { kernel_os_release: OS_RELEASE, kernel_release: RELEASE, root_hash: None, entry }
    }
}

fn label() -> PartitionLabel {
    "web_1".parse().unwrap()
}

/// An output folder.
struct Image {
    folder: TempDir,
    layout: DiskLayout,
    root_len: u64,
    verity_len: u64,
}

impl Image {
    fn make(plan: &Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let id = label().id().clone();
        let mut root = Cursor::new(Vec::new());
        let options = WriteOptions {
            epoch: 1_790_000_000,
            uuid: derived_uuid("root", &["web"]),
            volume_name: "web".into(),
            layout: Layout::default(),
        };
        erofs::write(&tree(), &options, &mut root, &mut |_| {}).unwrap();
        let root = root.into_inner();
        let mut hashes = Vec::new();
        let uuid = derived_uuid("verity", &["web"]);
        let root_hash = verity::format(&root, root.len() as u64, &Salt::for_image(&id), uuid, &mut hashes).unwrap();
        let command_line = format!("roothash={} quiet", plan.root_hash.unwrap_or(root_hash));
        let uki = assemble(&UkiParts {
            stub: &pe(&[(".text", &[0xcc; 700]), (".sbat", b"sbat,1,a,sbat,1,b\n"), (".reloc", &[1; 12])]),
            kernel: &pe(&[(".text", &[0x90; 4000])]),
            initrd: &[7; 10_001],
            os_release: plan.kernel_os_release,
            command_line: &command_line,
            kernel_release: plan.kernel_release,
        })
        .unwrap();
        let layout = DiskLayout::plan(DiskSizes { disk: 46 * MIB, esp: 36 * MIB, slot: 2 * MIB }).unwrap();
        let disk = File::options().read(true).write(true).create_new(true).open(path("disk.raw")).unwrap();
        disk.set_len(layout.disk_bytes()).unwrap();
        let slot = FilledSlot {
            label: label(),
            root: PartGuid(root_hash.root_part_guid()),
            verity: PartGuid(root_hash.verity_part_guid()),
        };
        let identity = DiskIdentity::derive(&label());
        write_table(&mut &disk, layout, &identity, &slot).unwrap();
        let loader = Content::from_bytes(pe(&[(".text", &[0xcc; 900])]));
        let range = layout.span(Part::Esp).bytes();
        let options = EspOptions {
            serial: identity.esp_serial,
            label: VolumeLabel::ESP,
            files: vec![
                (FALLBACK_LOADER.into(), loader.clone()),
                (SYSTEMD_BOOT.into(), loader),
                (LOADER_CONF.into(), Content::from_bytes(*b"timeout 0\neditor no\n")),
                (plan.entry.path(), uki.clone().into_content()),
            ],
        };
        let size = range.end - range.start;
        esp::format(&mut BufWriter::new(Region::new(&disk, range)), size, &options).unwrap();
        disk.write_all_at(&root, layout.span(Part::Root(Slot::A)).bytes().start).unwrap();
        disk.write_all_at(&hashes, layout.span(Part::Verity(Slot::A)).bytes().start).unwrap();

        let part = |file: &str, bytes: &[u8]| {
            fs::write(path(file), bytes).unwrap();
            PartFile { file: file.into(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
        };
        let PartFile { file, size, sha256 } = part("root.erofs", &root);
        let bash = ManifestPackage {
            name: "bash".into(),
            version: "5.2".into(),
            architecture: "amd64".into(),
            source: "bash".into(),
            sha256: Digest::of(b"bash"),
        };
        let manifest = Manifest::new(ManifestContents {
            label: label(),
            description: "A web host".into(),
            epoch: 1_790_000_000,
            root_hash,
            salt: Salt::for_image(&id),
            kernel_release: RELEASE.into(),
            command_line,
            parts: Parts {
                root: RootPart { file, size, sha256, blocks: size / 4096 },
                verity: part("root.verity", &hashes),
                uki: part("uki.efi", uki.as_bytes()),
            },
            disk_guid: identity.disk,
            esp_guid: identity.esp,
            packages: vec![bash],
            recipe: Digest::of(b"recipe"),
            lock: Digest::of(b"lock"),
            components: Components { agent: Digest::of(b"agent"), initrd: Digest::of(b"initrd") },
        });
        fs::write(path("manifest.json"), manifest.unwrap().to_json().unwrap()).unwrap();
        let hash = Digest::of(b"bash").to_hex();
        let bill = format!(r#"{{"components":[{{"name":"bash","version":"5.2","hashes":[{{"content":"{hash}"}}]}}]}}"#);
        fs::write(path("sbom.cdx.json"), bill).unwrap();
        Self { folder, layout, root_len: root.len() as u64, verity_len: hashes.len() as u64 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, part: Part) -> u64 {
        self.layout.span(part).bytes().start
    }

    fn inspect(&self) -> Inspection {
        inspect(self.folder.path()).unwrap()
    }

    /// Names of the checks that fail, each with its reason.
    fn failures(&self) -> Vec<String> {
        failures(&self.inspect())
    }

    /// Alters bytes of the disk at the first place where `old` is found.
    fn replace(&self, old: &[u8], new: &[u8]) {
        let bytes = fs::read(self.path("disk.raw")).unwrap();
        let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
        self.write(at as u64, new);
    }

    fn flip(&self, at: u64) {
        flip(&self.path("disk.raw"), at);
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        File::options().write(true).open(self.path("disk.raw")).unwrap().write_all_at(bytes, at).unwrap();
    }
}

fn failures(found: &Inspection) -> Vec<String> {
    let failed = found.checks.iter().filter(|check| !check.ok);
    failed.map(|check| format!("{}: {}", check.name, check.detail)).collect()
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn tree() -> RootTree {
    let mut tree = RootTree::new();
    let origin = || Origin::Effect("test".into());
    let path = |text: &str| TreePath::new(text).unwrap();
    let folders =
        ["/", "/usr", "/usr/bin", "/usr/lib", "/usr/lib/slipway", "/usr/lib/modules", "/usr/lib/modules/6.12.1-amd64"];
    for folder in folders {
        tree.insert_folder(path(folder), 0o755, origin()).unwrap();
    }
    let packages = br#"[{"name":"bash","version":"5.2","architecture":"amd64"}]"#;
    tree.insert_file(path("/usr/lib/os-release"), 0o644, OS_RELEASE, origin()).unwrap();
    tree.insert_file(path("/usr/lib/slipway/packages.json"), 0o644, *packages, origin()).unwrap();
    let program: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    tree.insert_file(path("/usr/bin/bash"), 0o755, program, origin()).unwrap();
    tree.insert_symlink(path("/bin"), "usr/bin", origin()).unwrap();
    tree
}

/// A PE32+ EFI application for x86-64 with these sections, one page of addresses each.
fn pe(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let headers = 0x400;
    let mut file = vec![0; headers];
    let mut put = |offset: usize, bytes: &[u8]| file[offset..offset + bytes.len()].copy_from_slice(bytes);
    let count = u16::try_from(sections.len()).unwrap();
    put(0, b"MZ");
    put(0x3c, &0x80_u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x84, &0x8664_u16.to_le_bytes());
    put(0x86, &count.to_le_bytes());
    put(0x94, &240_u16.to_le_bytes());
    put(0x96, &0x22e_u16.to_le_bytes());
    let optional = 0x98;
    put(optional, &0x20b_u16.to_le_bytes());
    let words = [(16, 0x1000), (32, 0x1000), (36, 0x200), (56, 0x1000 * (u32::from(count) + 1)), (60, 0x400)];
    for (offset, value) in words {
        put(optional + offset, &u32::to_le_bytes(value));
    }
    put(optional + 68, &10_u16.to_le_bytes());
    put(optional + 108, &16_u32.to_le_bytes());
    let mut data = Vec::new();
    for (index, (name, content)) in sections.iter().enumerate() {
        let raw = content.len().next_multiple_of(0x200);
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let address = 0x1000 * (index + 1);
        for (offset, value) in [(8, content.len()), (12, address), (16, raw), (20, headers + data.len())] {
            header[offset..offset + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
        }
        header[36..40].copy_from_slice(&0x4000_0040_u32.to_le_bytes());
        put(optional + 240 + 40 * index, &header);
        data.extend_from_slice(content);
        data.resize(data.len().next_multiple_of(0x200), 0);
    }
    file.extend(data);
    file
}

fn slipway(arguments: &[&str], path: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_slipway")).arg("inspect").args(arguments).arg(path).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_whole_image_is_shown_and_found_sound() {
    let image = Image::make(&Plan::good());
    let (status, text, _) = slipway(&[], image.folder.path());
    assert_eq!(status, Some(0), "{text}");
    let manifest = Manifest::from_json(&fs::read(image.path("manifest.json")).unwrap()).unwrap();
    let expected = [
        "both copies good",
        "root-a",
        "verity-b",
        "_empty",
        &format!("root hash   {}", manifest.root_hash),
        "image       web 1",
        "4 files",
        "    bash 5.2\n",
        "boot entry web_1.efi (good)",
        ".osrel 57 B",
        "EFI/BOOT/BOOTX64.EFI",
        "ok      root.erofs",
        "ok      web_1.efi on the ESP",
        "sound: ",
    ];
    for words in expected {
        assert!(text.contains(words), "no `{words}` in {text}");
    }
    assert!(!text.contains("FAILED"), "{text}");
    let (_, text, _) = slipway(&["--packages"], image.folder.path());
    assert!(text.contains("    bash  5.2 amd64\n"), "{text}");

    let (status, json, _) = slipway(&["--json"], &image.path("disk.raw"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status, Some(0));
    assert_eq!(json["roots"][0]["packages"][0]["name"], "bash");
    assert_eq!(json["esp"]["entries"][0]["root_hash"], manifest.root_hash.to_hex());
    assert!(json["manifest"].is_null(), "only the disk was named");
}

#[test]
fn an_entry_on_trial_is_told_with_its_tries() {
    let image = Image::make(&Plan { entry: BootEntryName::on_trial(label(), TriesLeft(3)), ..Plan::good() });
    let (status, text, _) = slipway(&[], image.folder.path());
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("boot entry web_1+3.efi (on trial: 3 tries left, 0 done)"), "{text}");
}

#[test]
fn a_flipped_byte_of_root_or_hash_tree_is_found_and_placed() {
    let image = Image::make(&Plan::good());
    let at = image.start(Part::Root(Slot::A)) + image.root_len - 5000;
    image.flip(at);
    let failed = image.failures().join("\n");
    let block = (image.root_len - 5000) / 4096;
    assert!(failed.contains(&format!("slot a: hash tree: data block {block} doesn't match")), "{failed}");
    assert!(failed.contains(&format!("(partition 2 root-a, byte {} of the disk)", at / 4096 * 4096)), "{failed}");
    assert!(failed.contains("partition 2 root-a: doesn't hold root.erofs"), "{failed}");
    let (status, text, _) = slipway(&[], image.folder.path());
    assert_eq!(status, Some(8), "{text}");
    assert!(text.contains("NOT VERIFIED"), "{text}");
    let (_, end) = text.split_once("NOT SOUND").unwrap();
    assert!(end.contains(&format!("slot a: hash tree: data block {block} doesn't match")), "{end}");
    image.flip(at);

    image.flip(image.start(Part::Verity(Slot::A)) + image.verity_len - 4096 + 33);
    let failed = image.failures().join("\n");
    assert!(failed.contains("slot a: hash tree: block"), "{failed}");
    assert!(failed.contains("(partition 3 verity-a, byte"), "{failed}");
    assert!(failed.contains("partition 3 verity-a: doesn't hold root.verity"), "{failed}");
}

#[test]
fn a_kernel_image_that_was_altered_is_not_the_one_that_was_built() {
    let image = Image::make(&Plan::good());
    image.replace(b" quiet", b" init=");
    let failed = image.failures();
    assert!(failed.iter().any(|line| line.contains("web_1.efi on the ESP: is not uki.efi")), "{failed:?}");
    assert!(failed.iter().any(|line| line.starts_with("command line: is roothash=")), "{failed:?}");
    assert_eq!(failed.len(), 2, "{failed:?}");
}

#[test]
fn a_kernel_image_of_another_root_is_found_without_a_manifest() {
    let failures = |plan| {
        let image = Image::make(&plan);
        failures(&inspect(&image.path("disk.raw")).unwrap())
    };
    let other = RootHash::from_bytes([7; 32]);
    let failed = failures(Plan { root_hash: Some(other), ..Plan::good() });
    let expected = format!("web_1.efi: root hash: no slot has partitions with the GUIDs that root hash {other} gives");
    assert_eq!(failed, [expected]);
    let failed = failures(Plan { kernel_os_release: "IMAGE_ID=web\nIMAGE_VERSION=2\n", ..Plan::good() });
    assert_eq!(failed, ["web_1.efi: os-release: is not that of the root"]);
    let failed = failures(Plan { kernel_release: "6.12.2-amd64", ..Plan::good() });
    assert_eq!(failed, ["web_1.efi: kernel: the root has no modules for 6.12.2-amd64"]);
    let failed = failures(Plan { entry: BootEntryName::good("web_2".parse().unwrap()), ..Plan::good() });
    assert_eq!(failed, ["web_1.efi: label: is web_2, and the partition says web_1".replacen("web_1", "web_2", 1)]);
}

#[test]
fn one_damaged_partition_table_is_told_and_the_other_used() {
    let image = Image::make(&Plan::good());
    image.flip(512 + 60);
    let found = image.inspect();
    let failed = failures(&found);
    assert_eq!(failed, ["partition table at the start: header checksum doesn't match"]);
    let table = found.table.unwrap();
    assert_eq!((table.primary_good, table.backup_good, table.partitions.len()), (false, true, 5));
    image.flip(512 + 60);

    let backup = image.layout.disk_bytes() - 512 + 60;
    image.flip(backup);
    assert_eq!(image.failures(), ["partition table at the end: header checksum doesn't match"]);
    image.flip(1024 + 4);
    let failed = image.failures();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].contains("table checksum"), "{failed:?}");
}

#[test]
fn an_image_cut_short_says_so() {
    let image = Image::make(&Plan::good());
    let file = File::options().write(true).open(image.path("disk.raw")).unwrap();
    for (len, what) in [(40 * MIB, "on a device of 81920 sectors"), (700, "no signature"), (0, "no signature")] {
        file.set_len(len).unwrap();
        let failed = image.failures();
        assert!(failed[0].starts_with("partition table at the start") && failed[0].contains(what), "{failed:?}");
        assert!(image.inspect().roots.is_empty());
    }
}

#[test]
fn files_beside_the_disk_are_held_to_the_manifest() {
    let image = Image::make(&Plan::good());
    flip(&image.path("root.erofs"), 9000);
    let failed = image.failures();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].starts_with("root.erofs: SHA-256 is"), "{failed:?}");
    flip(&image.path("root.erofs"), 9000);

    fs::remove_file(image.path("root.verity")).unwrap();
    fs::write(image.path("uki.efi"), b"MZ").unwrap();
    let failed = image.failures();
    assert!(failed[0].starts_with("root.verity: No such file"), "{failed:?}");
    assert!(failed[1].starts_with("uki.efi: has 2 bytes"), "{failed:?}");

    let bill = fs::read_to_string(image.path("sbom.cdx.json")).unwrap();
    fs::write(image.path("sbom.cdx.json"), bill.replace("\"5.2\"", "\"5.1\"")).unwrap();
    let failed = image.failures().join("\n");
    assert!(failed.contains("sbom.cdx.json: lacks bash 5.2 as manifest.json has it"), "{failed}");
    fs::write(image.path("sbom.cdx.json"), &bill[1..]).unwrap();
    let failed = image.failures().join("\n");
    assert!(failed.contains("sbom.cdx.json: is malformed"), "{failed}");
    fs::write(image.path("sbom.cdx.json"), bill).unwrap();

    let json = fs::read_to_string(image.path("manifest.json")).unwrap();
    fs::write(image.path("manifest.json"), json.replace("\"5.2\"", "\"5.3\"")).unwrap();
    let failed = image.failures().join("\n");
    assert!(failed.contains("packages: bash 5.2 is not in manifest.json"), "{failed}");
    fs::write(image.path("manifest.json"), b"{").unwrap();
    assert!(image.failures()[0].starts_with("manifest.json: manifest is malformed"));
}

#[test]
fn what_is_no_image_is_told_apart_from_one_that_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, told) = slipway(&[], folder.path());
    assert_eq!(status, Some(1));
    assert!(told.contains("is no output folder of a build: it has no disk.raw"), "{told}");
    let (status, _, told) = slipway(&[], &folder.path().join("none.raw"));
    assert_eq!(status, Some(1));
    assert!(told.contains("can't open") && told.contains("none.raw"), "{told}");
    fs::write(folder.path().join("text"), "no image\n".repeat(9000)).unwrap();
    let (status, text, _) = slipway(&[], &folder.path().join("text"));
    assert_eq!(status, Some(8));
    assert!(text.contains("FAILED  partition table at the start  no signature"), "{text}");
}

#[test]
fn no_damage_makes_it_panic_and_none_to_the_root_goes_unseen() {
    let image = Image::make(&Plan::good());
    let starts = [0, MIB, image.start(Part::Root(Slot::A)), image.start(Part::Verity(Slot::A))];
    let lens = [17 * 1024, 3 * MIB, image.root_len, image.verity_len];
    let damage = (0_usize..4, any::<prop::sample::Index>(), any::<u8>(), 1_usize..40);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 60, ..ProptestConfig::default() });
    runner
        .run(&damage, |(area, place, byte, count)| {
            let path = image.path("disk.raw");
            let at = starts[area] + place.index(usize::try_from(lens[area]).unwrap()) as u64;
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let mut before = vec![0; count];
            file.read_exact_at(&mut before, at).unwrap();
            file.write_all_at(&vec![byte; count], at).unwrap();
            let found = inspect(&path).unwrap();
            // The superblock's unused bytes are the only ones of the hash device that no hash covers.
            let covered = (area == 2 && at + count as u64 <= starts[2] + lens[2])
                || (area == 3 && at >= starts[3] + 4096 && at + count as u64 <= starts[3] + lens[3]);
            let altered = before.iter().any(|&old| old != byte);
            file.write_all_at(&before, at).unwrap();
            prop_assert!(!(covered && altered && found.is_sound()), "unseen at {}", at);
            Ok(())
        })
        .unwrap();
    assert!(image.inspect().is_sound());
}

//! The shared image, before programs that know nothing of Slipway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;
use md5::{Digest as _, Md5};
use serde_json::Value;
use slipway_builder::deb::{Package, UnpackedCache};
use slipway_builder::fetch::Cache;
use slipway_builder::lock::Role;
use slipway_builder::progress::Silent;
use slipway_images::tree::TreePath;
use slipway_tests::image::{Image, data_from, docker_host, first_difference, minimal};
use slipway_tests::program::oracle;
use slipway_tests::workplace::{recipe_and_lock, scratch};

/// The partition `number` of the shared disk as sfdisk tells: its name, first byte and length in bytes.
fn partition(number: usize) -> (String, u64, u64) {
    let table = oracle("sfdisk", &[&"--json", &minimal().path("disk.raw")]).json();
    let sector = table["partitiontable"]["sectorsize"].as_u64().unwrap();
    let partition = &table["partitiontable"]["partitions"][number - 1];
    let of = |field: &str| partition[field].as_u64().unwrap() * sector;
    (partition["name"].as_str().unwrap().to_owned(), of("start"), of("size"))
}

/// Copies the first `len` bytes of one partition of the shared disk to `file`.
fn extract(number: usize, len: Option<u64>, file: &Path) {
    let (_, start, size) = partition(number);
    let mut disk = File::open(minimal().path("disk.raw")).unwrap();
    disk.seek(SeekFrom::Start(start)).unwrap();
    std::io::copy(&mut disk.take(len.unwrap_or(size)), &mut File::create(file).unwrap()).unwrap();
}

#[test]
fn fsck_erofs_finds_no_fault_in_the_root() {
    let _ = oracle("fsck.erofs", &[&"--extract", &minimal().path("root.erofs")]);
}

#[test]
fn veritysetup_verifies_the_root_by_its_hash() {
    let (root, tree) = (minimal().path("root.erofs"), minimal().path("root.verity"));
    let _ = oracle("veritysetup", &[&"verify", &root, &tree, &minimal().root_hash()]);
}

#[test]
fn sfdisk_finds_no_fault_in_the_partition_table() {
    let told = oracle("sfdisk", &[&"--verify", &minimal().path("disk.raw")]);
    assert!(told.stdout.contains("No errors detected"), "{told}");
}

#[test]
fn the_first_slot_holds_root_and_hash_tree_and_the_second_nothing() {
    let image = minimal();
    let place = scratch("slots");
    for (number, file) in [(2, "root.erofs"), (3, "root.verity")] {
        let (name, _, _) = partition(number);
        assert_eq!(name, "minimal_1");
        let (written, copy) = (image.path(file), place.join(file));
        extract(number, Some(fs::metadata(&written).unwrap().len()), &copy);
        assert_eq!(first_difference(&copy, &written), None, "partition {number} is not {file}");
    }
    for number in [4, 5] {
        let (name, start, len) = partition(number);
        assert_eq!(name, "_empty");
        let data = data_from(&File::open(image.path("disk.raw")).unwrap(), start);
        assert!(data.is_none_or(|at| at >= start + len), "partition {number} has something at byte {data:?}");
    }
    // UAPI Discoverable Partitions: the root hash gives both GUIDs.
    let table = oracle("sfdisk", &[&"--json", &image.path("disk.raw")]).json();
    let guids = [1, 2].map(|at| {
        let guid = &table["partitiontable"]["partitions"][at]["uuid"];
        guid.as_str().unwrap().to_lowercase().replace('-', "")
    });
    assert_eq!(guids.concat(), image.root_hash());
}

#[test]
fn fsck_vfat_finds_no_fault_in_the_esp_and_mtools_reads_the_kernel_image_from_it() {
    let place = scratch("esp");
    let esp = place.join("esp.img");
    extract(1, None, &esp);
    let _ = oracle("fsck.vfat", &[&"-n", &esp]);
    let copy = place.join("uki.efi");
    let _ = oracle("mcopy", &[&"-i", &esp, &"::/EFI/Linux/minimal_1.efi", &copy]);
    assert_eq!(first_difference(&copy, &minimal().path("uki.efi")), None);
    let loader = ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"].map(|path| {
        let copy = place.join("loader.efi");
        let _ = oracle("mcopy", &[&"-o", &"-i", &esp, &format!("::/{path}"), &copy]);
        fs::read(&copy).unwrap()
    });
    assert!(loader[0].starts_with(b"MZ") && loader[0] == loader[1]);
}

#[test]
fn ostree_finds_no_fault_in_the_store() {
    let repository = minimal().out.join("store");
    let _ = oracle("ostree", &[&"fsck", &format!("--repo={}", repository.display())]);
}

#[test]
fn sbverify_reads_the_kernel_image_and_finds_it_unsigned() {
    let told = oracle("sbverify", &[&"--list", &minimal().path("uki.efi")]);
    assert!((told.stdout.clone() + &told.stderr).contains("No signature table present"), "{told}");
}

#[test]
fn an_independent_reader_finds_every_file_as_its_package_has_it() {
    for image in [minimal(), docker_host()] {
        let bytes = fs::read(image.path("root.erofs")).unwrap();
        let erofs = EroFS::new(SliceImage::new(&bytes)).unwrap();
        let report: Value = serde_json::from_slice(&fs::read(image.path("report.json")).unwrap()).unwrap();
        let left_out: BTreeSet<&str> =
            report["pruned"].as_array().unwrap().iter().map(|pruned| pruned["path"].as_str().unwrap()).collect();
        let (mut same, mut composed, mut pruned, mut wrong) = (0, 0, 0, Vec::new());
        for (path, expected) in packaged_digests(image) {
            let mut content = Vec::new();
            match erofs.open(&path) {
                Ok(mut file) => {
                    file.read_to_end(&mut content).unwrap();
                    let found = hex::encode(Md5::digest(&content));
                    match found == expected {
                        true => same += 1,
                        false if is_composed(&path) => composed += 1,
                        false => wrong.push(format!("{path} has other bytes")),
                    }
                }
                Err(_) if is_left_out(&path, &left_out) => pruned += 1,
                Err(error) => {
                    wrong.push(format!("{path} can't be read, and nothing says that it was left out: {error}"));
                }
            }
        }
        let name = image.recipe.file_stem().unwrap().to_string_lossy();
        println!("{name}: {same} files as packaged, {composed} composed, {pruned} left out");
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        assert!(same > 500 && same > 20 * composed, "{same} files were compared");
    }
}

/// Files outside `/etc` that an effect makes anew.
const COMPOSED: [&str; 2] = ["/usr/lib/os-release", "/usr/lib/tmpfiles.d/provision.conf"];
/// Files whose work an effect does otherwise, and takes away.
const REPLACED: [&str; 1] = ["/usr/lib/systemd/system/sshd-keygen.service"];

/// Whether a file is made of several packages' and the recipe's.
fn is_composed(path: &str) -> bool {
    path.starts_with("/etc/") || path.ends_with("/modules.order") || COMPOSED.contains(&path)
}

/// Whether a file, or a folder it is in, is in the report's list of what was left out. Of the kernel, the image has the
/// modules that the recipe names, decompressed under other names, and its program is on the ESP.
fn is_left_out(path: &str, left_out: &BTreeSet<&str>) -> bool {
    let is_kernels = path.starts_with("/usr/lib/modules/") || path.starts_with("/boot/");
    is_kernels
        || REPLACED.contains(&path)
        || Path::new(path).ancestors().any(|path| left_out.contains(path.to_str().unwrap()))
}

/// The MD5 digest of every file that a package of the root lists, by path. Of two packages with one path, the first.
fn packaged_digests(image: &Image) -> BTreeMap<String, String> {
    let (_, lock) = recipe_and_lock(&image.recipe);
    let cache = Cache::of_user().unwrap();
    let unpacked = UnpackedCache::open(cache.root()).unwrap();
    let mut digests = BTreeMap::new();
    for locked in lock.packages.iter().filter(|package| package.role == Role::Root) {
        let deb = cache.get(&locked.sha256).unwrap();
        let package = Package::open(&deb, locked.sha256, &unpacked, &Silent).unwrap();
        let list = package.control_files.get("md5sums").map(String::as_str).unwrap_or_default();
        // The lists name a file where its archive had it; packages with merged `/usr` agree.
        let known: BTreeSet<_> = package.entries.iter().map(|(path, _)| path.to_string()).collect();
        for line in list.lines() {
            let (digest, path) = line.split_once("  ").expect("md5sums has two columns");
            let path = TreePath::new(&format!("/{path}")).unwrap().to_string();
            let merged = format!("/usr{path}");
            let path = if known.contains(&path) { path } else { merged };
            digests.entry(path).or_insert_with(|| digest.to_owned());
        }
    }
    digests
}

const INDEXES: [&str; 3] = ["modules.dep", "modules.alias", "modules.softdep"];

#[test]
fn depmod_finds_the_dependencies_of_modules_that_the_image_names() {
    let root = scratch("depmod").join("root");
    let extract = format!("--extract={}", root.display());
    let _ = oracle("fsck.erofs", &[&extract, &"--no-preserve-owner", &minimal().path("root.erofs")]);
    let release = minimal().manifest()["kernel_release"].as_str().unwrap().to_owned();
    let folder = root.join("usr/lib/modules").join(&release);
    let read = |name: &str| lines_sorted(&folder.join(name));
    let ours = INDEXES.map(read);
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let input = ["modules.order", "modules.builtin", "modules.builtin.modinfo"].contains(&name.as_str());
        if name.starts_with("modules.") && !input {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let _ = oracle("depmod", &[&"-b", &root, &release]);
    assert!(ours[0].len() > 20, "{ours:?}");
    for (name, ours) in INDEXES.iter().zip(&ours) {
        assert_eq!(ours, &read(name), "{name}");
    }
}

fn lines_sorted(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let sorted = |line: &str| {
        // Of a module's dependencies, any order will do that has each before what it needs.
        let Some((module, dependencies)) = line.split_once(".ko:") else { return line.to_owned() };
        let dependencies: BTreeSet<_> = dependencies.split_whitespace().collect();
        format!("{module}.ko: {dependencies:?}")
    };
    text.lines().filter(|line| !line.starts_with('#')).map(sorted).collect()
}

#[test]
fn the_bill_of_materials_names_every_package_of_the_lock() {
    let (_, lock) = recipe_and_lock(&minimal().recipe);
    let bill: Value = serde_json::from_slice(&fs::read(minimal().path("sbom.cdx.json")).unwrap()).unwrap();
    let named: BTreeSet<_> =
        bill["components"].as_array().unwrap().iter().filter_map(|part| part["name"].as_str()).collect();
    for package in lock.packages.iter().filter(|package| package.role == Role::Root) {
        assert!(named.contains(package.name.as_str()), "{} is not named", package.name);
    }
}

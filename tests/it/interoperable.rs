//! Programs that know nothing of Slipway see a host as its agent does: bootctl the boot loader and its entries, systemd-dissect the
//! partitions, veritysetup the hash trees and the device that the initrd opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use slipway_images::names::{BootEntryName, BootTries};
use slipway_images::verity::{RootHash, Superblock};
use slipway_tests::program::{Outcome, slipway};
use slipway_tests::updates::{Build, Edition, Host};

const NAME: &str = "interoperable";

/// The tools, without D-Bus, which one of their packages asks for and none of these programs needs; SASL's module needs a library that
/// the base image leaves out.
const TOOLS: &str = r#"[packages]
add = ["cryptsetup-bin", "dmsetup", "systemd-boot-tools", "systemd-container"]
drop = ["dbus", "dbus-bin", "dbus-daemon", "dbus-session-bus-common", "dbus-system-bus-common", "libsasl2-modules-db"]
"#;

/// Where the ESP is mounted for bootctl, and for no longer: the agent doesn't write to it meanwhile.
const ESP: &str = "/run/esp";

#[test]
#[ignore = "two images are locked and built, and one boots twice: `make scenarios` runs it"]
fn bootctl_dissect_and_veritysetup_agree_with_the_agent() {
    let builds = ["1.tools", "2.tools"].map(|version| Edition::new(version).locked_anew().with(TOOLS).build());
    let [old, new] = &builds;
    let (mut host, ..) = Host::offered(NAME, old, new);
    let _ = host.output(&["slipway-agent", "update", "--no-restart"]);
    let armed = Told::by_agent(&mut host);
    assert_eq!((armed.runs().label.as_str(), armed.state.as_str()), ("minimal_1.tools", "armed"));
    let entries = bootctl_agrees(&mut host, &armed, &old.path("sbom.cdx.json"));
    assert_eq!(tries(&entries), [("2.tools", Some(3)), ("1.tools", None)]);
    dissect_agrees(&mut host, &armed);
    for (slot, build) in armed.slots.iter().zip(&builds) {
        hash_tree_agrees(&mut host, slot, build);
    }
    mapping_agrees(&mut host, &armed);

    host.restart();
    host.wait_until_runs("2.tools");
    let kept = Told::by_agent(&mut host);
    assert_eq!((kept.runs().label.as_str(), kept.state.as_str()), ("minimal_2.tools", "idle"));
    let entries = bootctl_agrees(&mut host, &kept, &new.path("sbom.cdx.json"));
    assert_eq!(tries(&entries), [("2.tools", None), ("1.tools", None)]);
    let partitions = dissect_agrees(&mut host, &kept);
    mapping_agrees(&mut host, &kept);

    host.power_off();
    inspection_agrees(&host, &entries, &partitions);
}

/// What the agent tells.
struct Told {
    /// All of it.
    status: Value,
    /// How updates stand.
    state: String,
    /// Both slots, the older version first.
    slots: Vec<Slot>,
}

struct Slot {
    runs: bool,
    label: String,
    root_hash: RootHash,
    entry: BootEntryName,
    /// Device and number of its partitions.
    root: (String, u64),
    verity: (String, u64),
}

impl Told {
    fn by_agent(host: &mut Host) -> Self {
        let status: Value = serde_json::from_str(&host.output(&["slipway-agent", "status", "--json"])).unwrap();
        let slot = |name: &str| {
            let slot = &status["update"][name];
            let partition = |kind: &str| {
                let partition = &status["boot"]["partitions"][format!("{kind}-{}", text(&slot["slot"]))];
                (format!("/dev/{}", text(&partition["device"])), partition["number"].as_u64().unwrap())
            };
            Slot {
                runs: name == "running",
                label: text(&slot["label"]).to_owned(),
                root_hash: text(&slot["root_hash"]).parse().unwrap(),
                entry: text(&slot["entry"]).parse().unwrap(),
                root: partition("root"),
                verity: partition("verity"),
            }
        };
        let mut slots = vec![slot("running"), slot("other")];
        slots.sort_by(|one, other| one.label.cmp(&other.label));
        Self { state: text(&status["update"]["state"]["state"]).to_owned(), slots, status }
    }

    fn runs(&self) -> &Slot {
        self.slots.iter().find(|slot| slot.runs).unwrap()
    }

    /// What the next boot starts.
    fn next(&self) -> &Slot {
        self.slots.iter().find(|slot| slot.runs != (self.state == "armed")).unwrap()
    }

    fn partition(&self, role: &str) -> &Value {
        &self.status["boot"]["partitions"][role]
    }
}

/// Gives the entries that bootctl lists, without those that the boot loader makes up.
fn bootctl_agrees(host: &mut Host, told: &Told, bill: &Path) -> Vec<Value> {
    let device = format!("/dev/{}", text(&told.partition("esp")["device"]));
    let mut bootctl = |words: &str| {
        let mounted = format!("mkdir -p {ESP}; mount -o ro {device} {ESP} && trap 'umount {ESP}' EXIT");
        host.shell(&format!("set -e; {mounted}; bootctl --esp-path={ESP} {words}"))
    };
    let listed: Vec<Value> = serde_json::from_str(&bootctl("list --json=short")).unwrap();
    let status = bootctl("status");
    let os_name = host.shell(". /usr/lib/os-release; echo -n \"$PRETTY_NAME\"");

    let entries: Vec<Value> = listed.into_iter().filter(|entry| entry["type"] == "type2").collect();
    let expected = |slot: &Slot| {
        let (label, left) = (slot.entry.label(), left(slot.entry.tries()));
        assert_eq!(label.to_string(), slot.label);
        json!({
            "id": format!("{label}.efi"), "path": format!("{ESP}/{}", slot.entry.path()), "title": os_name,
            "sortKey": label.id().as_str(), "version": label.version().as_str(), "triesLeft": left, "triesDone": null,
            "isDefault": slot.label == told.next().label, "isSelected": slot.runs,
        })
    };
    let fields = ["id", "path", "title", "sortKey", "version", "triesLeft", "triesDone", "isDefault", "isSelected"];
    let seen: Vec<Value> = entries.iter().map(|entry| picked(entry, &fields)).collect();
    // The boot loader's order: the newest first.
    assert_eq!(seen, told.slots.iter().rev().map(expected).collect::<Vec<_>>());
    for (entry, slot) in entries.iter().zip(told.slots.iter().rev()) {
        let authentic = format!("roothash={} ", slot.root_hash);
        assert!(text(&entry["options"]).starts_with(&authentic), "{entry}");
    }

    let bill: Value = serde_json::from_slice(&fs::read(bill).unwrap()).unwrap();
    let mut packages = bill["components"].as_array().unwrap().iter();
    let loader = text(&packages.find(|package| package["name"] == "systemd-boot-efi").unwrap()["version"]);
    let said = |section: &str, key: &str| value_in(&status, section, key);
    let esp = format!("/dev/disk/by-partuuid/{}", text(&told.partition("esp")["guid"]));
    assert_eq!(said("Current Boot Loader", "Product"), format!("systemd-boot {loader}"));
    assert_eq!(said("Current Boot Loader", "Partition"), esp);
    assert_eq!(said("Current Boot Loader", "Current Entry"), format!("{}.efi", told.runs().label));
    assert_eq!(said("Current Stub", "Product"), format!("systemd-stub {loader}"));
    assert_eq!(said("Current Stub", "Partition"), esp);
    assert_eq!(said("Boot Loader Entries", "$BOOT"), format!("{ESP} ({esp})"));
    assert_eq!(said("Default Boot Loader Entry", "id"), format!("{}.efi", told.next().label));
    // Our images are not signed, and the firmware has no keys.
    assert_eq!(said("System", "Secure Boot"), "disabled (setup)");
    let disk = format!("/dev/{}", text(&told.status["boot"]["disk"]));
    assert_eq!(host.output(&["bootctl", "-RR"]).trim(), disk);
    entries
}

/// Gives the partitions that systemd-dissect tells of, by number.
fn dissect_agrees(host: &mut Host, told: &Told) -> BTreeMap<u64, Value> {
    let disk = format!("/dev/{}", text(&told.status["boot"]["disk"]));
    let mut dissect = |more: &[&str]| -> Value {
        let command = [&["systemd-dissect", "--json=short"], more, &[&disk]].concat();
        serde_json::from_str(&host.output(&command)).unwrap()
    };
    let fields =
        ["designator", "partition_uuid", "partition_label", "fstype", "architecture", "verity", "node", "partno"];
    let partitions = |dissected: &Value| -> Vec<Value> {
        dissected["mounts"].as_array().unwrap().iter().map(|mount| picked(mount, &fields)).collect()
    };
    let root = |slot: &Slot, verity: &str| {
        json!({
            "designator": "root", "partition_uuid": slot.root_hash.root_part_guid().to_string(), "partition_label": slot.label,
            "fstype": "erofs", "architecture": "x86-64", "verity": verity, "node": slot.root.0, "partno": slot.root.1,
        })
    };
    let mut all = BTreeMap::new();
    for slot in &told.slots {
        let dissected = dissect(&["--root-hash", &slot.root_hash.to_hex()]);
        let found = partitions(&dissected);
        let mut hashes = root(slot, "");
        hashes["designator"] = "root-verity".into();
        hashes["partition_uuid"] = slot.root_hash.verity_part_guid().to_string().into();
        hashes["fstype"] = "DM_verity_hash".into();
        hashes["verity"] = Value::Null;
        (hashes["node"], hashes["partno"]) = (slot.verity.0.clone().into(), slot.verity.1.into());
        assert_eq!((&found[0], &found[2]), (&root(slot, "yes"), &hashes));
        let names: Vec<&str> = found.iter().map(|partition| text(&partition["designator"])).collect();
        assert_eq!(names, ["root", "esp", "root-verity", "var"]);
        assert_eq!(found[1]["partition_uuid"], told.partition("esp")["guid"]);
        assert_eq!(found[3]["node"], told.status["state"]["source"]);
        // What runs is in use, and its os-release isn't looked at.
        if !slot.runs {
            let release = dissected["osRelease"].as_array().unwrap();
            let label = slot.entry.label();
            for line in [format!("IMAGE_ID={}", label.id()), format!("IMAGE_VERSION={}", label.version())] {
                assert!(release.contains(&line.as_str().into()), "no {line}: {dissected}");
            }
        }
        all.extend(found.into_iter().map(|partition| (partition["partno"].as_u64().unwrap(), partition)));
    }
    // Without a root hash it takes the newest version by the labels, and says that nobody has verified it.
    assert_eq!(partitions(&dissect(&[]))[0], root(&told.slots[1], "no"));
    all
}

/// The hash tree on the disk is the one that was built, and the root is what it says.
fn hash_tree_agrees(host: &mut Host, slot: &Slot, build: &Build) {
    assert_eq!(slot.label, build.label);
    let dump = host.output(&["veritysetup", "dump", &slot.verity.0]);
    let tree = fs::read(build.path("root.verity")).unwrap();
    let built = Superblock::parse(&tree).unwrap();
    let said = |key: &str| value_in(&dump, &format!("VERITY header information for {}", slot.verity.0), key);
    assert_eq!(said("UUID"), built.uuid.to_string());
    assert_eq!(said("Hash algorithm"), "sha256");
    assert_eq!(said("Salt"), built.salt.to_hex());
    assert_eq!(said("Data blocks"), built.data_blocks.to_string());
    assert_eq!(said("Hash device size"), format!("{} [bytes]", tree.len()));
    let _ = host.output(&["veritysetup", "verify", &slot.root.0, &slot.verity.0, &slot.root_hash.to_hex()]);
}

/// The device of the running root is what veritysetup makes of the other slot, but for one option.
fn mapping_agrees(host: &mut Host, told: &Told) {
    let other = told.slots.iter().find(|slot| !slot.runs).unwrap();
    let Slot { root: (root, _), verity: (verity, _), root_hash, .. } = other;
    let device = |host: &mut Host, name: &str, slot: &Slot| {
        let numbers = host.output(&["stat", "--format=%Hr:%Lr", &slot.root.0, &slot.verity.0]).replace('\n', " ");
        let said = host.shell(&format!("dmsetup table {name}; dmsetup info -c --noheadings -o uuid,attr {name}"));
        let own = [(numbers, "NUMBERS "), (slot.root_hash.to_hex(), "HASH"), (format!("-{name}:"), "-NAME:")];
        own.iter().fold(said, |said, (own, common)| {
            assert!(said.contains(own), "no {own}: {said}");
            said.replace(own, common)
        })
    };
    let ours = device(host, "root", told.runs());
    host.shell(&format!("veritysetup open --restart-on-corruption {root} probe {verity} {root_hash}"));
    let theirs = device(host, "probe", other);
    let told = host.output(&["veritysetup", "status", "probe"]);
    host.shell("veritysetup close probe");

    let said = |key: &str| value_in(&told, "/dev/mapper/probe is active", key);
    assert_eq!((said("status"), said("mode")), ("verified", "readonly"));
    assert_eq!((said("data device"), said("hash device")), (root.as_str(), verity.as_str()));
    assert_eq!(said("root hash"), root_hash.to_hex());
    let (both, more) = (" 1 restart_on_corruption\n", " 2 restart_on_corruption restart_on_error\n");
    assert!(ours.contains(more), "{ours}");
    assert_eq!(ours.replace(more, both), theirs);
    // Debian 13's kernel has the option and its veritysetup, 2.7.5, doesn't know it; 2.8 does.
    let status = host.run(&["veritysetup", "status", "root"]);
    assert!(status.stderr.contains("Failed to query dm-verity segment"), "docs/guide.md says otherwise: {status:?}");
}

/// What the build machine says of the disk is what the tools said in the running host.
fn inspection_agrees(host: &Host, entries: &[Value], partitions: &BTreeMap<u64, Value>) {
    let inspected = Outcome::of(slipway().args(["--json", "inspect"]).arg(host.disk())).succeeded().json();
    let table = inspected["table"]["partitions"].as_array().unwrap();
    assert_eq!(table.len(), partitions.len());
    for partition in table {
        let seen = &partitions[&partition["number"].as_u64().unwrap()];
        let designator = match text(&partition["role"]) {
            "root-a" | "root-b" => "root",
            "verity-a" | "verity-b" => "root-verity",
            "state" => "var",
            role => role,
        };
        let expected = (designator.into(), &partition["guid"], &partition["label"]);
        assert_eq!((seen["designator"].clone(), &seen["partition_uuid"], &seen["partition_label"]), expected);
    }
    let mut names: Vec<&str> = entries.iter().map(|entry| text(&entry["path"]).rsplit('/').next().unwrap()).collect();
    names.sort_unstable();
    let inspected = inspected["esp"]["entries"].as_array().unwrap();
    assert_eq!(inspected.iter().map(|entry| text(&entry["name"])).collect::<Vec<_>>(), names);
    assert!(inspected.iter().all(|entry| entry["signature_size"] == 0));
}

fn left(tries: BootTries) -> Option<u32> {
    match tries {
        BootTries::Good => None,
        BootTries::Counted { left, .. } => Some(left.0),
    }
}

/// The versions that bootctl lists, with the tries that are left.
fn tries(entries: &[Value]) -> Vec<(&str, Option<u64>)> {
    entries.iter().map(|entry| (text(&entry["version"]), entry["triesLeft"].as_u64())).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The object with these fields alone; one that isn't there is null.
fn picked(object: &Value, fields: &[&str]) -> Value {
    fields.iter().map(|field| ((*field).to_owned(), object[field].clone())).collect()
}

/// The value of a line `KEY: VALUE` below the line `SECTION` and before an empty one.
fn value_in<'a>(said: &'a str, section: &str, key: &str) -> &'a str {
    let lines = said.lines().skip_while(|line| line.trim_end_matches(['.', ':']) != section).skip(1);
    let mut lines = lines.take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(':').map(str::trim));
    value.unwrap_or_else(|| panic!("no {key} of {section}: {said}"))
}

//! Files of a running host that others may have written: the ledger on the state partition, the machine's settings, what initrd
//! and kernel leave. The ledger, once it is read, takes changes and reads back as the same.
//!
//! The first byte says which file the rest is, or is the damage to.

#![no_main]

use std::fs;
use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use slipway_fuzz::{first, raw_or_damaged};
use slipway_images::digest::Digest;
use slipway_updater::checks;
use slipway_updater::host::Host;
use slipway_updater::ledger::{CopyName, Ledger, LedgerContents, LedgerStore};
use slipway_updater::update::{LastCheck, Settings};
use tempfile::TempDir;

const HASH: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// Each file below the root, and what is good in it.
const FILES: [(&str, &str); 8] = [
    ("etc/os-release", "ID=debian\nIMAGE_ID=\"web\"\nIMAGE_VERSION='2026.11.1'\n"),
    ("proc/cmdline", "quiet roothash=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb panic=10\n"),
    (
        "run/slipway/boot.json",
        r#"{"disk":"vda","slot":"a","root_hash":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","root_partition":2,"partitions":{"root-a":{"number":2,"device":"vda2","guid":"4d21b016-b534-45c2-a9fb-5c16e091fd2d"}},"gpt_used":"backup","initrd_started_ms":1,"switch_root_ms":2}"#,
    ),
    ("proc/self/mountinfo", "36 35 98:0 /m /var rw,noatime shared:1 master:2 - ext4 /dev/vda6 rw,errors=continue\n"),
    (
        "usr/lib/slipway/update.json",
        r#"{"urls":["https://updates.example.com/web/"],"channel":"stable","every_s":3600,"restart":true}"#,
    ),
    ("var/lib/slipway/config/host.toml", "hostname = \"edge-1\"\n[update]\nurls = [\"http://b/\"]\nchannel = \"testing\"\nenabled = true\n"),
    (
        "var/lib/slipway/last-check.json",
        r#"{"at":1795000000,"place":"http://b/","summary":"nothing newer","reasons":["2 is withdrawn"]}"#,
    ),
    (
        "usr/lib/slipway/checks.json",
        r#"{"health":{"soak_ms":1,"checks":[{"name":"c","what":"clock","within_ms":1}]},"smoke":{"soak_ms":0,"checks":[]}}"#,
    ),
];

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    first(|| {
        host(FILES[0].0, FILES[0].1.as_bytes(), true);
        assert!(ledger(&[1]));
    });
    match FILES.get(usize::from(kind % 9)) {
        Some((path, good)) => host(path, &raw_or_damaged(rest, &[good]), false),
        None => drop(ledger(rest)),
    }
});

fn host(damaged: &str, bytes: &[u8], all_good: bool) {
    // In memory, as nearly every machine has it.
    let folder = TempDir::new_in("/dev/shm").expect("there is a file system in memory");
    for (path, good) in FILES {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("the file system has room");
        fs::write(path, good).expect("the file system has room");
    }
    fs::write(folder.path().join(damaged), bytes).expect("the file system has room");
    let (found, settings) = (Host::read(folder.path()), Settings::load(folder.path()));
    let (last, checks) = (LastCheck::load(folder.path()), checks::load(folder.path()));
    assert!(!all_good || (found.is_ok() && settings.is_ok() && last.is_some() && checks.is_ok()));
    assert!(found.is_err() || found.is_ok_and(|host| host.boot.is_none_or(|boot| Some(boot.slot) == host.slot)));
    assert!(settings.into_iter().flat_map(|settings| settings.urls).all(|url| url.join("x").ends_with("/x")));
    if let Some(last) = last {
        last.keep(folder.path()).expect("the file system has room");
        assert_eq!(LastCheck::load(folder.path()), Some(last));
    }
}

/// Two copies with right checksums, whatever they say; whether all of them can be read.
fn ledger(input: &[u8]) -> bool {
    let good = format!(
        r#"{{"floor":"2026.1.1","failures":[{{"root_hash":"{HASH}","label":"web_2","reason":{{"kind":"health","detail":"x"}},"at":5,
        "log":["a"]}}],"troubles":[{{"root_hash":"{HASH}","label":"web_3","attempts":3,"reason":"no route","not_before":9}}],
        "resume":{{"root_hash":"{HASH}","label":"web_3","slot":"b","since":4}},"history":[{{"at":1,"what":"armed","label":"web_2"}}],"wave":7}}"#
    );
    let json = raw_or_damaged(input, &[good]);
    let copy = |generation: u64, json: &[u8]| {
        let sum = Digest::of(&[&generation.to_le_bytes(), json].concat());
        [format!("slipway-ledger-1 {generation} {sum}\n").as_bytes(), json].concat()
    };
    let half = &json[..json.len() / 2];
    let mut all = true;
    for copies in [
        [Some(copy(7, &json)), None],
        [Some(copy(3, b"{}")), Some(copy(4, &json))],
        [Some(copy(9, half)), Some(copy(8, &json))],
    ] {
        let Ok(mut ledger) = Ledger::load(Memory(copies)) else {
            all = false;
            continue;
        };
        let before = ledger.contents().clone();
        let floor = |contents: &mut LedgerContents| contents.floor = "9".parse().ok();
        ledger.change(floor).expect("memory takes it");
        let mut after = before;
        floor(&mut after);
        assert_eq!(*ledger.contents(), after);
    }
    all
}

struct Memory([Option<Vec<u8>>; 2]);

impl LedgerStore for Memory {
    fn read(&self, copy: CopyName) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0[usize::from(copy == CopyName::B)].clone())
    }

    fn replace(&mut self, copy: CopyName, content: &[u8]) -> io::Result<()> {
        self.0[usize::from(copy == CopyName::B)] = Some(content.to_vec());
        Ok(())
    }
}

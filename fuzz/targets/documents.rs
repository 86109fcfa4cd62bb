//! The JSON documents that hosts and builders read: whatever is taken makes a document again that reads as the same.

#![no_main]

use std::fmt::Debug;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use slipway_fuzz::raw_or_damaged;
use slipway_images::boot::BootFacts;
use slipway_images::checks::ImageChecks;
use slipway_images::manifest::Manifest;
use slipway_images::release::{ChannelDocument, ReleaseDocument};
use slipway_images::update::UpdateSettings;
use slipway_images::verity::tree_len;

fuzz_target!(|input: &[u8]| {
    let json = raw_or_damaged(input, good());
    if let Ok(channel) = ChannelDocument::from_json(&json) {
        let again = channel.to_json().expect("it is not too long");
        assert_eq!(ChannelDocument::from_json(&again).expect("it was written here"), channel);
    }
    if let Ok(release) = ReleaseDocument::from_json(&json) {
        assert!(release.all_parts().all(|part| part.size > 0));
        let again = release.to_json().expect("it is not too long");
        assert_eq!(ReleaseDocument::from_json(&again).expect("it was written here"), release);
    }
    if let Ok(manifest) = Manifest::from_json(&json) {
        assert!(!manifest.parts.root.file.contains('/'));
        let again = manifest.to_json().expect("it can be written");
        assert_eq!(Manifest::from_json(&again).expect("it was written here"), manifest);
    }
    same::<ImageChecks>(&json);
    same::<UpdateSettings>(&json);
    same::<BootFacts>(&json);
});

fn same<T: DeserializeOwned + Serialize + PartialEq + Debug>(json: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(json) else { return };
    let again = serde_json::to_vec(&read).expect("it can be written");
    assert_eq!(serde_json::from_slice::<T>(&again).expect("it was written here"), read);
}

fn good() -> &'static [String] {
    static GOOD: OnceLock<Vec<String>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let hash = |digit: char| digit.to_string().repeat(64);
        let part = |size: u64| format!(r#"{{"size":{size},"sha256":"{}"}}"#, hash('a'));
        let channel = format!(
            r#"{{"schema":1,"id":"web","channel":"stable","floor":"2026.10.1","offers":[{{"version":"2026.11.22","root_hash":"{}",
            "release":"web_2026.11.22.release.json","rollout":{{"start":"2026-11-22T17:00:00Z","stages":[{{"percent":5,"after":0}},
            {{"percent":100,"after":86400}}],"paused":false,"immediate":false}},"min_from":"2026.1.1","withdrawn":{{"reason":"late"}}}}]}}"#,
            hash('b')
        );
        let root = 50 * 4096;
        let release = format!(
            r#"{{"schema":1,"id":"web","version":"2026.11.22","architecture":"x86-64","created":"2026-11-22T16:40:05Z",
            "root":{{"root_hash":"{}","salt":"00ff","size":{root},"blocks":50}},"verity":{},"uki":{},"manifest":{},
            "parts":{{"verity":{},"uki":{},"blocks":{{"index":{},"frames":{}}}}},
            "patches":[{{"from":{{"version":"2026.11.1","root_hash":"{}","uki":"{}"}},
            "root":{{"size":5000,"sha256":"{}","head":{}}}}}]}}"#,
            hash('b'), part(tree_len(root)), part(30_000), part(400), part(2000), part(29_000), part(200), part(70_000),
            hash('c'), hash('d'), hash('e'), part(300)
        );
        let checks = r#"{"health":{"soak_ms":30000,"checks":[{"name":"web","what":{"http":"http://127.0.0.1/healthz"},"within_ms":60000},
            {"name":"disk","what":{"disk":{"path":"/var","free":1073741824}},"within_ms":1}]},"smoke":{"soak_ms":0,"checks":[]}}"#;
        let update =
            r#"{"urls":["https://updates.example.com/web/"],"channel":"stable","every_s":3600,"restart":true}"#;
        let boot = format!(
            r#"{{"disk":"vda","slot":"a","root_hash":"{}","root_partition":2,"partitions":{{"root-a":{{"number":2,"device":"vda2",
            "guid":"4d21b016-b534-45c2-a9fb-5c16e091fd2d"}}}},"gpt_used":"primary","initrd_started_ms":1,"switch_root_ms":2}}"#,
            hash('b')
        );
        let guid = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb";
        let file = |name: &str| format!(r#"{{"file":"{name}","size":8192,"sha256":"{}"}}"#, hash('a'));
        let manifest = format!(
            r#"{{"manifest_version":1,"id":"web","version":"2026.11.22","description":"A host","epoch":1790000000,"root_hash":"{}",
            "salt":"00ff","kernel_release":"6.12","command_line":"quiet","parts":{{"root":{{"file":"root.erofs","size":8192,
            "sha256":"{}","blocks":2}},"verity":{},"uki":{}}},"guids":{{"disk":"{guid}","esp":"{guid}","root":"{guid}","verity":"{guid}"}},
            "packages":[{{"name":"bash","version":"5.2","architecture":"amd64","source":"bash","sha256":"{}"}}],
            "recipe":"{}","lock":"{}","components":{{"agent":"{}","initrd":"{}"}}}}"#,
            hash('b'), hash('a'), file("root.verity"), file("uki.efi"), hash('a'), hash('a'), hash('a'), hash('a'),
            hash('a')
        );
        let good = vec![channel, release, manifest, checks.to_owned(), update.to_owned(), boot];
        ChannelDocument::from_json(good[0].as_bytes()).expect("the channel is good");
        ReleaseDocument::from_json(good[1].as_bytes()).expect("the release is good");
        Manifest::from_json(good[2].as_bytes()).expect("the manifest is good");
        good
    })
}

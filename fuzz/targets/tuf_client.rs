//! A client whose server or whose own store is an attacker's, who has no key: what it believes in the end is what was signed.
//!
//! The first byte says which document is damaged, and whether on the server or in the store.

#![no_main]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use slipway_fuzz::{damaged, first};
use slipway_trust::json::Object;
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::{Header, MetadataVersion, TargetFile, Targets};
use slipway_trust::tuf::sign::{RootBuilder, SigningKey, TopRole, UnsignedRole};
use slipway_trust::tuf::{
    Change, Client, ClientLimits, Clock, RemoteFile, RoleName, Store, StoreError, TargetPath, Transport, TransportError,
};

const NOW: UnixTime = UnixTime::from_secs(1_795_000_000);
const CONTENT: &[u8] = b"{\"schema\":1}";

type Files = BTreeMap<String, Vec<u8>>;

fuzz_target!(|input: &[u8]| {
    let Some((kind, changes)) = input.split_first() else { return };
    first(|| assert!((0..4).all(|kind| downloads(kind, &[]))));
    downloads(*kind, changes);
});

/// Whether the client gets as far as to the content.
fn downloads(kind: u8, changes: &[u8]) -> bool {
    let good = good();
    let mut server = good.clone();
    let mut store = Files::from([("root".to_owned(), good["metadata/1.root.json"].clone())]);
    server.remove("metadata/1.root.json");
    if kind & 1 == 1 {
        for role in ["timestamp", "snapshot", "targets"] {
            let name = if role == "timestamp" {
                "metadata/timestamp.json".to_owned()
            } else {
                format!("metadata/1.{role}.json")
            };
            store.insert(role.to_owned(), good[&name].clone());
        }
    }
    let damaged_files = if kind & 2 == 2 { &mut store } else { &mut server };
    let number = usize::from(kind >> 2) % damaged_files.len();
    if let Some(bytes) = damaged_files.values_mut().nth(number) {
        *bytes = damaged(bytes, changes);
    }

    let clock = Clock::new(NOW, NOW);
    let Ok(client) = Client::open(Memory(store), Server(server), ClientLimits::default(), clock) else { return false };
    let Ok(mut repository) = client.refresh() else { return false };
    let path = TargetPath::new("web.stable.json").expect("the path is good");
    let target = repository.find(&path).expect("only what was signed is believed");
    assert_eq!(*target.file(), TargetFile::of(CONTENT));
    let versions = [repository.root().header.version, repository.timestamp().header.version];
    assert_eq!(versions, [MetadataVersion::FIRST; 2]);
    let mut found = Vec::new();
    let whole = repository.download(&target, &mut found).is_ok();
    assert!(!whole || found == CONTENT);
    whole
}

/// A repository of version 1, signed by one key for each role.
fn good() -> &'static Files {
    static GOOD: OnceLock<Files> = OnceLock::new();
    GOOD.get_or_init(|| {
        let later = NOW.after(86_400);
        let key = |number: u8| SigningKey::from_secret(&[number; 32]);
        let header = || Header::new(MetadataVersion::FIRST, NOW, later);
        let roles = [(TopRole::Root, 1), (TopRole::Targets, 2), (TopRole::Snapshot, 3), (TopRole::Timestamp, 4)];
        let root = roles
            .iter()
            .fold(RootBuilder::first(NOW, later), |root, (role, number)| root.add_key(*role, &key(*number).public()));
        let root = root.build().expect("each role has a key").sign(&key(1)).finish(None).expect("it is signed");
        let targets = BTreeMap::from([("web.stable.json".to_owned(), TargetFile::of(CONTENT))]);
        let targets = Targets { header: header(), targets, delegations: None, extra: Object::new() };
        let targets = UnsignedRole::new(targets).sign(&key(2)).finish(root.verified()).expect("it is signed");
        let snapshot = UnsignedRole::snapshot(header(), [(RoleName::targets(), &targets)]);
        let snapshot = snapshot.sign(&key(3)).finish(root.verified()).expect("it is signed");
        let timestamp = UnsignedRole::timestamp(header(), &snapshot);
        let timestamp = timestamp.sign(&key(4)).finish(root.verified()).expect("it is signed");
        let prefix = TargetFile::of(CONTENT).hashes.prefix().expect("it has a digest").to_string();
        Files::from([
            ("metadata/1.root.json".to_owned(), root.bytes().to_vec()),
            ("metadata/1.targets.json".to_owned(), targets.bytes().to_vec()),
            ("metadata/1.snapshot.json".to_owned(), snapshot.bytes().to_vec()),
            ("metadata/timestamp.json".to_owned(), timestamp.bytes().to_vec()),
            (format!("targets/{prefix}.web.stable.json"), CONTENT.to_vec()),
        ])
    })
}

struct Server(Files);

impl Transport for Server {
    fn open(&mut self, file: &RemoteFile) -> Result<Option<Box<dyn Read + '_>>, TransportError> {
        Ok(self.0.get(&file.to_string()).map(|bytes| Box::new(bytes.as_slice()) as Box<dyn Read>))
    }
}

struct Memory(Files);

impl Store for Memory {
    fn read(&self, role: &RoleName) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(role.as_str()).cloned())
    }

    fn roles(&self) -> Result<Vec<RoleName>, StoreError> {
        Ok(self.0.keys().filter_map(|role| RoleName::new(role).ok()).collect())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for Change { role, bytes } in changes {
            match bytes {
                Some(bytes) => self.0.insert(role.as_str().to_owned(), bytes.clone()),
                None => self.0.remove(role.as_str()),
            };
        }
        Ok(())
    }
}

//! A repository whose metadata each test writes as JSON and signs with whichever keys it likes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_trust::json::{Fields, Json, Limits, ShapeError};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::{Header, MetadataVersion, Role};
use slipway_trust::tuf::sign::{SigningKey, UnsignedRole};
use slipway_trust::tuf::{
    Client, ClientLimits, Clock, DirStore, RemoteFile, Repository, TargetPath, Transport, TransportError, TufError,
    VerifiedTarget,
};

/// The day on which all tests take place.
pub const TODAY: &str = "2026-11-22T12:00:00Z";
pub const NEXT_YEAR: &str = "2027-11-22T12:00:00Z";
pub const YESTERDAY: &str = "2026-11-21T12:00:00Z";

pub fn at(text: &str) -> UnixTime {
    UnixTime::from_iso(text).unwrap()
}

pub fn key(number: u8) -> SigningKey {
    SigningKey::from_secret(&[number; 32])
}

/// Any JSON as the signed part of a role.
struct Raw(Json, Header);

impl Role for Raw {
    const TYPE: &'static str = "any";

    fn from_fields(fields: Fields) -> Result<Self, ShapeError> {
        Err(fields.wrong("", "is never read"))
    }

    fn to_json(&self) -> Json {
        self.0.clone()
    }

    fn header(&self) -> &Header {
        &self.1
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.1
    }
}

/// The document that says `signed`, signed by these keys.
pub fn signed(signed: &Value, keys: &[&SigningKey]) -> Vec<u8> {
    let json = Json::parse(signed.to_string().as_bytes(), Limits::METADATA).unwrap();
    let header = Header::new(MetadataVersion::FIRST, at(TODAY), at(NEXT_YEAR));
    let unsigned = UnsignedRole::new(Raw(json, header));
    keys.iter().fold(unsigned, |unsigned, key| unsigned.sign(key)).to_draft()
}

pub fn key_json(key: &SigningKey) -> Value {
    serde_json::from_slice(&key.public().to_json().to_canonical()).unwrap()
}

/// `{"keys": …, "keyids": …}` of some keys.
pub fn keys_json(keys: &[&SigningKey]) -> (Value, Value) {
    let listed = keys.iter().map(|key| (key.id().to_string(), key_json(key)));
    let ids = keys.iter().map(|key| Value::from(key.id().to_string()));
    (Value::Object(listed.collect()), Value::Array(ids.collect()))
}

pub fn role_json(keys: &[&SigningKey], threshold: u64) -> Value {
    json!({"keyids": keys_json(keys).1, "threshold": threshold})
}

pub fn target_json(bytes: &[u8]) -> Value {
    json!({"length": bytes.len(), "hashes": {"sha256": hex::encode(Sha256::digest(bytes))}})
}

/// Keys 1 to 4 sign root, targets, snapshot, timestamp.
pub fn root_json(version: u64) -> Value {
    let keys = [key(1), key(2), key(3), key(4)];
    let (listed, _) = keys_json(&keys.each_ref());
    let [root, targets, snapshot, timestamp] = keys.each_ref().map(|key| role_json(&[key], 1));
    json!({
        "_type": "root", "spec_version": "1.0.34", "version": version, "expires": NEXT_YEAR, "consistent_snapshot": true,
        "keys": listed,
        "roles": {"root": root, "targets": targets, "snapshot": snapshot, "timestamp": timestamp},
    })
}

pub fn targets_json(version: u64) -> Value {
    json!({"_type": "targets", "spec_version": "1.0.34", "version": version, "expires": NEXT_YEAR, "targets": {}})
}

/// Lists these roles with these versions.
pub fn snapshot_json(version: u64, roles: &[(&str, u64)]) -> Value {
    let meta = roles.iter().map(|(role, version)| (format!("{role}.json"), json!({"version": version})));
    json!({
        "_type": "snapshot", "spec_version": "1.0.34", "version": version, "expires": NEXT_YEAR,
        "meta": Value::Object(meta.collect()),
    })
}

pub fn timestamp_json(version: u64, snapshot: u64) -> Value {
    json!({
        "_type": "timestamp", "spec_version": "1.0.34", "version": version, "expires": NEXT_YEAR,
        "meta": {"snapshot.json": {"version": snapshot}},
    })
}

/// A served repository: what lies at each URL, which bodies never end, and what was asked for.
#[derive(Clone, Default)]
pub struct Repo {
    files: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    endless: Rc<RefCell<BTreeSet<String>>>,
    asked: Rc<RefCell<Vec<String>>>,
    read: Rc<Cell<u64>>,
}

impl Repo {
    /// Version 1 of all roles, without targets.
    pub fn new() -> Self {
        let repo = Self::default();
        repo.put("metadata/1.targets.json", signed(&targets_json(1), &[&key(2)]));
        repo.put("metadata/1.snapshot.json", signed(&snapshot_json(1, &[("targets", 1)]), &[&key(3)]));
        repo.put("metadata/timestamp.json", signed(&timestamp_json(1, 1), &[&key(4)]));
        repo
    }

    pub fn put(&self, url: &str, bytes: Vec<u8>) {
        self.files.borrow_mut().insert(url.to_owned(), bytes);
    }

    /// The body at this URL never ends from now on.
    pub fn never_ends(&self, url: &str) {
        self.endless.borrow_mut().insert(url.to_owned());
    }

    /// Publishes top-level targets, a snapshot that lists them and these roles, and a timestamp, all of this version.
    pub fn publish(&self, version: u64, targets: &Value, roles: &[(&str, u64)]) {
        let roles: Vec<_> = [("targets", version)].into_iter().chain(roles.iter().copied()).collect();
        self.put(&format!("metadata/{version}.targets.json"), signed(targets, &[&key(2)]));
        self.put(&format!("metadata/{version}.snapshot.json"), signed(&snapshot_json(version, &roles), &[&key(3)]));
        self.put("metadata/timestamp.json", signed(&timestamp_json(version, version), &[&key(4)]));
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.take()
    }

    /// Bytes that were read of all bodies together.
    pub fn bytes_read(&self) -> u64 {
        self.read.replace(0)
    }
}

impl Transport for Repo {
    fn open(&mut self, file: &RemoteFile) -> Result<Option<Box<dyn Read + '_>>, TransportError> {
        let url = file.to_string();
        self.asked.borrow_mut().push(url.clone());
        let body: Box<dyn Read> = if self.endless.borrow().contains(&url) {
            Box::new(io::repeat(b' '))
        } else {
            match self.files.borrow().get(&url) {
                Some(bytes) => Box::new(io::Cursor::new(bytes.clone())),
                None => return Ok(None),
            }
        };
        Ok(Some(Box::new(Counted(body, Rc::clone(&self.read)))))
    }
}

struct Counted(Box<dyn Read>, Rc<Cell<u64>>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.set(self.1.get() + count as u64);
        assert!(self.1.get() < 64 << 20, "read without end");
        Ok(count)
    }
}

/// A host that trusts the root of [`root_json`], version 1.
pub struct Host {
    pub folder: tempfile::TempDir,
    pub clock: Clock,
}

impl Host {
    pub fn new() -> Self {
        Self::trusting(&signed(&root_json(1), &[&key(1)]))
    }

    pub fn trusting(root: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(DirStore::create(folder.path(), root).unwrap());
        Self { folder, clock: Clock::new(at(TODAY), at("2026-01-01T00:00:00Z")) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn open(&self, repo: &Repo) -> Result<Client<DirStore, Repo>, TufError> {
        self.open_within(repo, ClientLimits::default())
    }

    pub fn open_within(&self, repo: &Repo, limits: ClientLimits) -> Result<Client<DirStore, Repo>, TufError> {
        Client::open(DirStore::open(self.path())?, repo.clone(), limits, self.clock)
    }

    pub fn refresh(&self, repo: &Repo) -> Result<Repository<DirStore, Repo>, TufError> {
        self.open(repo)?.refresh()
    }

    pub fn find(&self, repo: &Repo, path: &str) -> Result<VerifiedTarget, TufError> {
        self.refresh(repo)?.find(&TargetPath::new(path).unwrap())
    }

    /// The file of a role, as it is kept.
    pub fn kept(&self, role: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path().join(format!("{role}.json"))).ok()
    }
}

/// The whole chain of an error, with colons between.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// That it fails, with these words somewhere in the chain.
#[track_caller]
pub fn fails<T>(result: Result<T, TufError>, words: &str) {
    let error = result.err().expect("it must fail");
    assert!(chain(&error).contains(words), "{}", chain(&error));
}

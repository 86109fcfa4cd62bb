//! Whole updates: a repository behind a server, a host with a disk, and power cuts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slipway_images::release::{Withdrawal, part_path};
use slipway_images::update::{StageWhen, TRUSTED_ROOT_PATH, UPDATE_PATH};
use slipway_trust::tuf::TufError;
use slipway_updater::agent::{AgentError, chain};
use slipway_updater::config::CONFIG_PATH;
use slipway_updater::machine::State;
use slipway_updater::net::{Client, ClientOptions};
use slipway_updater::source::{Patience, Place};
use slipway_updater::update::{CatalogError, Installed, Reason, Settings, SettingsError, UpdateError, Updater};
use tempfile::TempDir;

use super::publish::Repository;
use super::server::{Fault, Server};
use super::source::url;
use crate::level_p::firmware;
use crate::level_p::recorded::RecordedDisk;
use crate::level_p::world::{Release, TestAgent, agent, factory};

/// A repository, and the files of a host that trusts it.
pub struct World {
    folder: TempDir,
    root: TempDir,
    repository: Repository,
}

impl World {
    /// A repository with these releases.
    pub fn with<'a>(releases: impl IntoIterator<Item = &'a Arc<Release>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut repository = Repository::new(folder.path());
        for release in releases {
            repository.add(release);
        }
        Self { folder, root: tempfile::tempdir().unwrap(), repository }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn serve(&self, rule: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Server {
        Server::start(self.folder(), rule)
    }

    fn updater(&self, places: impl IntoIterator<Item = Place>) -> Updater {
        self.updater_at(self.root(), places)
    }

    /// The updater of another host.
    pub fn updater_at(&self, root: &Path, places: impl IntoIterator<Item = Place>) -> Updater {
        updater(root, &self.repository, places.into_iter().collect())
    }

    /// One that reads the folder itself.
    fn updater_by_folder(&self) -> Updater {
        self.updater([Place::Folder(self.folder().to_owned())])
    }
}

/// A host whose files are below `root`, which trusts the root of a repository.
pub fn updater(root: &Path, repository: &Repository, places: Vec<Place>) -> Updater {
    let anchor = root.join(TRUSTED_ROOT_PATH.trim_start_matches('/'));
    fs::create_dir_all(anchor.parent().unwrap()).unwrap();
    fs::write(anchor, repository.root()).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let settings = Settings {
        enabled: true,
        urls: Vec::new(),
        channel: "stable".parse().unwrap(),
        restart: true,
        windows: Vec::new(),
        stage: StageWhen::default(),
        fleet_lock: None,
    };
    let client = Client::new(ClientOptions { stall: Duration::from_millis(500), ..ClientOptions::default() });
    let patience = Patience { first: Duration::from_millis(2), longest: Duration::from_millis(8), attempts: 4 };
    Updater { root: root.to_owned(), places, settings, client, patience, by_hand: false }
}

/// Updates as far as a version that waits for the next boot; nothing if there is none.
pub fn update(updater: &Updater, agent: &mut TestAgent) -> Result<Option<Installed>, UpdateError> {
    let mut check = updater.check(agent)?;
    let Some(release) = updater.release(&mut check)? else { return Ok(None) };
    updater.install(agent, &check, &release).map(Some)
}

pub fn settled(release: &Release) -> RecordedDisk {
    let disk = RecordedDisk::new(factory(release));
    agent(&disk, release.hash()).unwrap();
    disk
}

/// Restarts the machine, which boots this release, and finds it good.
pub fn boots_and_commits(disk: &RecordedDisk, release: &Arc<Release>) -> RecordedDisk {
    let mut image = disk.image();
    let booted = firmware::boot(&mut image).unwrap();
    assert_eq!((booted.root_hash, booted.failures), (release.hash(), Vec::new()));
    let disk = RecordedDisk::new(image);
    let (mut agent, _) = agent(&disk, release.hash()).unwrap();
    assert!(matches!(agent.state(), State::Trial { .. }));
    agent.healthy().unwrap();
    disk
}

#[test]
fn s01_four_versions_in_a_row_from_a_server() {
    let first = Release::new(1);
    let mut world = World::with([&first]);
    let server = world.serve(|_, _| Fault::None);
    let updater = world.updater([url(&server)]);
    let mut disk = settled(&first);
    let mut running = first;
    for number in 2..6 {
        let next = Release::new(number);
        world.repository.add(&next);
        let (mut agent, _) = agent(&disk, running.hash()).unwrap();
        let installed = update(&updater, &mut agent).unwrap().unwrap();
        assert_eq!(&installed.version, next.label.version());
        // What all versions share is in one slot or the other.
        let blocks = installed.blocks;
        assert!(blocks.kept + blocks.copied >= 20 && blocks.fetched > 0, "{blocks:?}");
        agent.restart().unwrap();
        disk = boots_and_commits(&disk, &next);
        running = next;
    }
}

#[test]
fn nothing_new_costs_one_small_file() {
    let first = Release::new(1);
    let world = World::with([&first]);
    let server = world.serve(|_, _| Fault::None);
    let updater = world.updater([url(&server)]);
    let disk = settled(&first);
    let (mut agent, _) = agent(&disk, first.hash()).unwrap();
    assert_eq!(update(&updater, &mut agent).unwrap(), None);
    let before = server.log().len();
    assert_eq!(update(&updater, &mut agent).unwrap(), None);
    let log = server.log();
    let asked: Vec<&str> = log[before..].iter().map(|request| request.path.as_str()).collect();
    assert_eq!(asked, ["metadata/2.root.json", "metadata/timestamp.json"]);
    let sent: u64 = log[before..].iter().map(|request| request.sent).sum();
    assert!(sent < 1000, "{sent}");
}

#[test]
fn s02_cut_at_any_write_and_resumed_from_a_server() {
    let (first, second) = (Release::new(1), Release::new(2));
    let mut world = World::with([&first]);
    let document = world.repository.add(&second);
    let frames = part_path(&document.parts.blocks.frames.sha256);
    let before = settled(&first).image();
    let disk = RecordedDisk::new(before.clone());
    let (mut whole, _) = agent(&disk, first.hash()).unwrap();
    update(&world.updater_by_folder(), &mut whole).unwrap().unwrap();
    let ops = disk.log().len();
    let mut kept_some = 0;
    for cut in (0..ops).step_by(3) {
        let disk = RecordedDisk::new(before.clone());
        disk.fail_after(cut);
        let (mut killed, _) = agent(&disk, first.hash()).unwrap();
        update(&world.updater_by_folder(), &mut killed).unwrap_err();
        let mut image = disk.image();
        assert_eq!(firmware::would_boot(&mut image).unwrap().failures, [""; 0], "after {cut}");
        // What came up to the cut isn't fetched again.
        let server = world.serve(|_, _| Fault::None);
        let disk = RecordedDisk::new(image);
        let (mut next, _) = agent(&disk, first.hash()).unwrap();
        let mut again = world.updater([url(&server)]);
        // The wait after a failure is the operator's to end.
        again.by_hand = true;
        if let Some(installed) = update(&again, &mut next).unwrap() {
            let blocks = installed.blocks;
            let total = second.root.len() as u64 / 4096;
            assert_eq!(blocks.kept + blocks.copied + blocks.fetched, total, "after {cut}");
            let ranged = server.log().iter().filter(|request| request.path == frames).count();
            assert_eq!(ranged > 0, blocks.fetched > 0, "after {cut}: {blocks:?}");
            kept_some += usize::from(blocks.kept > 30);
        }
        next.restart().unwrap();
        boots_and_commits(&disk, &second);
    }
    assert!(kept_some > 3, "{kept_some} of {ops}");
}

#[test]
fn s20_the_second_place_helps_out_and_a_dead_repository_is_an_error() {
    let (first, second) = (Release::new(1), Release::new(2));
    let world = World::with([&first, &second]);
    let down = world.serve(|_, _| Fault::Status(500));
    let partly = world.serve(|path, number| match number {
        _ if path.starts_with("metadata/") || path.starts_with("targets/") => Fault::None,
        number if number % 2 == 0 => Fault::Cut(1500),
        _ => Fault::Status(502),
    });
    let good = world.serve(|_, _| Fault::None);
    let disk = settled(&first);
    let (mut agent, _) = agent(&disk, first.hash()).unwrap();
    let dead = world.updater([url(&down)]);
    let error = update(&dead, &mut agent).unwrap_err();
    assert!(matches!(error, UpdateError::Catalog(CatalogError::Tuf { .. })), "{error:?}");
    assert_eq!(agent.state(), State::Idle { fallback: false });
    let helped = world.updater([url(&down), url(&partly), url(&good)]);
    let installed = update(&helped, &mut agent).unwrap().unwrap();
    assert!(installed.traffic.requests > 4, "{installed:?}");
    agent.restart().unwrap();
    boots_and_commits(&disk, &second);
}

#[test]
fn s20_metadata_is_asked_for_again_and_every_place_is_named() {
    let first = Release::new(1);
    let world = World::with([&first]);
    let disk = settled(&first);
    let (agent, _) = agent(&disk, first.hash()).unwrap();
    // Root, timestamp, snapshot, targets, channel: each fails at its first request.
    let asked = Mutex::new(BTreeSet::new());
    let flaky = world.serve(move |path, _| match asked.lock().unwrap().insert(path.to_owned()) {
        true if path.starts_with("targets/") => Fault::Cut(3),
        true if path.ends_with("timestamp.json") => Fault::Status(503),
        _ => Fault::None,
    });
    world.updater([url(&flaky)]).check(&agent).unwrap();
    let count = |part: &str| flaky.log().iter().filter(|request| request.path.contains(part)).count();
    assert_eq!((count("timestamp.json"), count("stable")), (2, 2));

    let servers = [500, 502].map(|status| world.serve(move |_, _| Fault::Status(status)));
    let gone = world.folder().join("gone");
    let places = servers.iter().map(url).chain([Place::Folder(gone.clone())]);
    let error = chain(&world.updater(places).check(&agent).unwrap_err());
    for (place, said) in
        [(servers[0].url(), "answers 500"), (servers[1].url(), "answers 502"), (gone.display().to_string(), "")]
    {
        assert!(error.contains(&place) && error.contains(said), "{error}");
    }
    // Once, and three times more.
    assert_eq!(servers.map(|server| server.log().len()), [4, 4]);
    // What won't be better isn't asked again.
    let refuses = world.serve(|_, _| Fault::Status(401));
    world.updater([url(&refuses)]).check(&agent).unwrap_err();
    assert_eq!(refuses.log().len(), 1);
}

#[test]
fn s21_what_others_have_signed_is_refused() {
    let [first, second] = [1, 2].map(Release::new);
    let mut world = World::with([&first]);
    let disk = settled(&first);
    let (agent, _) = agent(&disk, first.hash()).unwrap();
    // Of the four roles, the keys of one are others. With the right ones, the same is taken.
    for (refused, seeds) in
        [("targets", [1, 9, 3, 4]), ("snapshot", [1, 2, 9, 4]), ("timestamp", [1, 2, 3, 9]), ("", [1, 2, 3, 4])]
    {
        // Each time a host that knows nothing yet.
        let forged = tempfile::tempdir().unwrap();
        world.root = tempfile::tempdir().unwrap();
        let look = |folder: &Path| world.updater([Place::Folder(folder.to_owned())]).check(&agent);
        assert_eq!(look(world.folder()).unwrap().choice().version, None);
        let mut other = Repository::signed_by(forged.path(), seeds);
        other.add(&first);
        other.add(&second);
        match look(forged.path()) {
            Ok(check) => {
                assert_eq!(refused, "");
                assert_eq!(check.choice().version.as_ref(), Some(second.label.version()));
            }
            Err(UpdateError::Catalog(CatalogError::Tuf { source, .. })) => {
                let TufError::Refused { role, .. } = &*source else { panic!("{refused}: {source:?}") };
                assert_eq!(role.to_string(), refused);
            }
            Err(error) => panic!("{refused}: {error:?}"),
        }
    }
}

#[test]
fn a_folder_needs_a_channel_and_no_urls() {
    let (first, second) = (Release::new(1), Release::new(2));
    let world = World::with([&first, &second]);
    world.updater([]);
    let write = |path: &str, text: &str| {
        let path = world.root().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let of_host = |offline| Updater::of_host(world.root(), offline, false);
    assert!(matches!(of_host(None), Err(SettingsError::NoRepository)));
    let error = of_host(Some(world.folder())).unwrap_err().to_string();
    assert!(error.contains("no channel is known") && !error.contains("urls"), "{error}");
    // The channel is the machine's, or the image's.
    for (path, text) in [
        (CONFIG_PATH, "update.channel = \"stable\"\n"),
        (UPDATE_PATH, r#"{"urls":[],"channel":"stable","every_s":60,"restart":true}"#),
    ] {
        write(CONFIG_PATH, "");
        write(path, text);
        assert!(matches!(of_host(None), Err(SettingsError::NoRepository)), "{path}");
        let updater = of_host(Some(world.folder())).unwrap();
        let disk = settled(&first);
        let (mut agent, _) = agent(&disk, first.hash()).unwrap();
        let installed = update(&updater, &mut agent).unwrap().unwrap();
        assert_eq!(&installed.version, second.label.version(), "{path}");
    }
}

#[test]
fn s22_an_older_repository_is_refused_and_the_host_recovers_with_it() {
    let (first, second) = (Release::new(1), Release::new(2));
    let mut world = World::with([&first]);
    let timestamp = world.folder().join("metadata/timestamp.json");
    let old_timestamp = fs::read(&timestamp).unwrap();
    world.repository.add(&second);
    let disk = settled(&first);
    let (agent, _) = agent(&disk, first.hash()).unwrap();
    let updater = world.updater_by_folder();
    assert_eq!(updater.check(&agent).unwrap().choice().version.as_ref(), Some(second.label.version()));
    let new = fs::read(&timestamp).unwrap();
    fs::write(&timestamp, old_timestamp).unwrap();
    assert!(matches!(updater.check(&agent), Err(UpdateError::Catalog(CatalogError::Tuf { .. }))));
    fs::write(&timestamp, new).unwrap();
    assert!(updater.check(&agent).unwrap().choice().version.is_some());
}

#[test]
fn s18_a_version_that_was_rolled_back_is_not_taken_again_and_the_next_is() {
    let [first, second, third] = [1, 2, 3].map(Release::new);
    let mut world = World::with([&first, &second]);
    let updater = world.updater_by_folder();
    let disk = settled(&first);
    let (mut before, _) = agent(&disk, first.hash()).unwrap();
    update(&updater, &mut before).unwrap().unwrap();
    let mut image = disk.image();
    firmware::boot(&mut image).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut trial, _) = agent(&disk, second.hash()).unwrap();
    trial.unhealthy("web: no answer").unwrap();
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().root_hash, first.hash());
    let disk = RecordedDisk::new(image);
    let (mut back, _) = agent(&disk, first.hash()).unwrap();
    let check = updater.check(&back).unwrap();
    let Some(Reason::Failed { reason }) = &check.choice().considered[0].reason else { panic!("{check:?}") };
    assert!(reason.contains("web: no answer"), "{reason}");
    drop(check);
    world.repository.add(&third);
    let installed = update(&updater, &mut back).unwrap().unwrap();
    assert_eq!(&installed.version, third.label.version());
    back.restart().unwrap();
    boots_and_commits(&disk, &third);
}

#[test]
fn a_host_leaves_what_was_withdrawn_even_for_an_older_version() {
    let (older, bad) = (Release::new(2), Release::new(4));
    let mut world = World::with([&older, &bad]);
    let updater = world.updater_by_folder();
    let disk = settled(&bad);
    let (mut agent_of_bad, _) = agent(&disk, bad.hash()).unwrap();
    assert_eq!(update(&updater, &mut agent_of_bad).unwrap(), None);
    world.repository.floor = Some(older.label.version().clone());
    world.repository.change(&bad, |offer| offer.withdrawn = Some(Withdrawal { reason: "eats data".into() }));
    let installed = update(&updater, &mut agent_of_bad).unwrap().unwrap();
    assert_eq!(&installed.version, older.label.version());
    agent_of_bad.leave_withdrawn("eats data").unwrap();
    // The boot loader would prefer the newer one, were it not marked.
    let disk = boots_and_commits(&disk, &older);
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().root_hash, older.hash());
    let (agent, _) = agent(&disk, older.hash()).unwrap();
    let ledger = agent.ledger().unwrap();
    assert!(ledger.failure(bad.hash()).unwrap().reason.to_string().contains("eats data"));
    assert!(matches!(agent.state(), State::Idle { .. }));
}

#[test]
fn s23_a_host_trusts_no_repository_but_the_image_s() {
    let first = Release::new(1);
    let world = World::with([&first]);
    let disk = settled(&first);
    let (agent, _) = agent(&disk, first.hash()).unwrap();
    let updater = world.updater_by_folder();
    fs::write(world.root().join(TRUSTED_ROOT_PATH.trim_start_matches('/')), "{}").unwrap();
    assert!(matches!(updater.check(&agent), Err(UpdateError::Catalog(CatalogError::BadRoot { .. }))));
    fs::remove_file(world.root().join(TRUSTED_ROOT_PATH.trim_start_matches('/'))).unwrap();
    assert!(matches!(updater.check(&agent), Err(UpdateError::Catalog(CatalogError::NoRoot { .. }))));
}

#[test]
fn an_update_is_refused_on_trial() {
    let [first, second, third] = [1, 2, 3].map(Release::new);
    let mut world = World::with([&first, &second]);
    let updater = world.updater_by_folder();
    let disk = settled(&first);
    let (mut before, _) = agent(&disk, first.hash()).unwrap();
    update(&updater, &mut before).unwrap().unwrap();
    let mut image = disk.image();
    firmware::boot(&mut image).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut trial, _) = agent(&disk, second.hash()).unwrap();
    world.repository.add(&third);
    assert!(matches!(update(&updater, &mut trial), Err(UpdateError::Agent(AgentError::Refused(_)))));
}

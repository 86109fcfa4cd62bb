//! Versions that are installed and wait: for a window, for their publisher, for the lock. The tests' clock stands still at
//! 2026-11-18 11:06:40 UTC, a Wednesday.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slipway_images::release::Withdrawal;
use slipway_images::update::StageWhen;
use slipway_images::verity::RootHash;
use slipway_updater::agent::{Agent, Surroundings};
use slipway_updater::disk::Disk;
use slipway_updater::journal::{MessageId, News};
use slipway_updater::ledger::{BootId, UnixSeconds};
use slipway_updater::machine::{State, Which};
use slipway_updater::net::{Client, ClientOptions};
use slipway_updater::restart::{LockNote, Permit, Restarts, Wait, release_locks};
use slipway_updater::source::{Patience, Place};
use slipway_updater::update::{
    CatalogError, FleetLock, LastCheck, Passed, Then, UpdateError, Updater, look, prepare, proceed,
};

use super::fleet_lock::address;
use super::lock_server::LockServer;
use super::publish::Repository;
use super::run::{boots_and_commits, settled, updater};
use crate::level_p::firmware;
use crate::level_p::recorded::{RecordedDisk, RecordedLedger};
use crate::level_p::world::{LEDGER, Release, TestAgent, agent};

const NOW: UnixSeconds = UnixSeconds(1_795_000_000);

/// A repository with two versions, and a host that runs the first.
struct World {
    _folder: tempfile::TempDir,
    root: tempfile::TempDir,
    repository: Repository,
    updater: Updater,
    first: Arc<Release>,
    second: Arc<Release>,
    disk: RecordedDisk,
}

impl World {
    fn new(windows: &[&str]) -> Self {
        let (folder, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut repository = Repository::new(folder.path());
        let (first, second) = (Release::new(1), Release::new(2));
        repository.add(&first);
        repository.add(&second);
        let mut updater = updater(root.path(), &repository, vec![Place::Folder(folder.path().to_owned())]);
        updater.settings.windows = windows.iter().map(|text| text.parse().unwrap()).collect();
        let mark = root.path().join("run/systemd/timesync/synchronized");
        fs::create_dir_all(mark.parent().unwrap()).unwrap();
        fs::write(mark, "").unwrap();
        let disk = settled(&first);
        Self { _folder: folder, root, repository, updater, first, second, disk }
    }

    fn root(&self) -> &Path {
        self.root.path()
    }

    fn agent(&self) -> TestAgent {
        agent(&self.disk, self.first.hash()).unwrap().0
    }

    /// A pass, to the restart.
    fn pass(&self) -> (TestAgent, Passed) {
        let mut agent = self.agent();
        let updater = &self.updater;
        let restarts =
            Restarts::of_host(&updater.root, &updater.settings, &updater.client, NOW, updater.by_hand).unwrap();
        let mut check = look(updater, &agent).unwrap();
        let release = prepare(updater, &mut agent, &mut check).unwrap();
        let passed = proceed(updater, &mut agent, &restarts, &check, release.as_ref()).unwrap();
        (agent, passed)
    }

    fn last(&self) -> LastCheck {
        LastCheck::load(self.root()).unwrap()
    }
}

#[test]
fn a_version_is_installed_at_any_time_and_started_in_a_window() {
    let mut world = World::new(&["12:00-13:00"]);
    let wait = Wait::Window { from: Some("2026-11-18T12:00:00Z".parse().unwrap()) };
    let (agent, passed) = world.pass();
    assert!(passed.installed.is_some());
    assert_eq!((passed.then, agent.state()), (Then::Waits(wait.clone()), State::Armed));
    assert_eq!(world.last().waits, Some(wait.clone()));
    // The next pass finds it installed, and goes on waiting.
    let (_, passed) = world.pass();
    assert_eq!((passed.installed, passed.then), (None, Then::Waits(wait)));
    // Another process in the window, which begins with what is on the disk.
    world.updater.settings.windows = vec!["11:00-12:00".parse().unwrap()];
    let (agent, passed) = world.pass();
    assert_eq!((passed.installed, passed.then), (None, Then::Restart(Permit::NotNeeded)));
    assert_eq!((agent.state(), world.last().waits), (State::Leaving, None));
    boots_and_commits(&world.disk, &world.second);
}

#[test]
fn an_installation_waits_too_where_the_settings_say_so() {
    let mut world = World::new(&["Thu 12:00-13:00"]);
    world.updater.settings.stage = StageWhen::InWindows;
    let (agent, passed) = world.pass();
    assert!(passed.installed.is_none() && matches!(passed.then, Then::Waits(Wait::Window { from: Some(_) })));
    assert_eq!(agent.state(), State::Idle { fallback: false });
    world.updater.by_hand = true;
    let (_, passed) = world.pass();
    assert!(passed.installed.is_some() && passed.then == Then::Restart(Permit::NotNeeded));
}

#[test]
fn neither_an_operator_nor_an_urgent_version_waits_for_a_window() {
    let mut world = World::new(&["Thu 12:00-13:00"]);
    let (_, passed) = world.pass();
    assert!(matches!(passed.then, Then::Waits(Wait::Window { .. })));
    world.updater.by_hand = true;
    let (_, passed) = world.pass();
    assert_eq!(passed.then, Then::Restart(Permit::NotNeeded));
    world.updater.by_hand = false;
    world.repository.change(&world.second, |offer| offer.rollout.immediate = true);
    // It waits already, and became urgent.
    let (_, passed) = world.pass();
    assert_eq!((passed.installed, passed.then), (None, Then::Restart(Permit::NotNeeded)));
    let mut fresh = World::new(&["Thu 12:00-13:00"]);
    fresh.repository.change(&fresh.second, |offer| offer.rollout.immediate = true);
    let (_, passed) = fresh.pass();
    assert!(passed.installed.is_some() && passed.then == Then::Restart(Permit::NotNeeded));
}

#[test]
fn a_version_that_waits_is_not_started_while_its_rollout_is_paused() {
    let mut world = World::new(&["12:00-13:00"]);
    world.pass();
    world.updater.settings.windows.clear();
    world.repository.change(&world.second, |offer| offer.rollout.paused = true);
    let (agent, passed) = world.pass();
    assert_eq!((passed.then, agent.state()), (Then::Waits(Wait::Paused), State::Armed));
    world.repository.change(&world.second, |offer| offer.rollout.paused = false);
    assert_eq!(world.pass().1.then, Then::Restart(Permit::NotNeeded));
}

#[test]
fn a_version_that_waits_is_recalled_when_it_is_withdrawn() {
    let mut world = World::new(&["12:00-13:00"]);
    world.pass();
    world.repository.change(&world.second, |offer| offer.withdrawn = Some(Withdrawal { reason: "eats data".into() }));
    let (agent, passed) = world.pass();
    assert_eq!((passed.then, agent.state()), (Then::Nothing, State::Idle { fallback: false }));
    let failure = &agent.ledger().unwrap().failures[0];
    assert_eq!(failure.reason.to_string(), "withdrawn by its publisher: eats data");
    // Whatever starts the machine now, it is the first version.
    let booted = firmware::boot(&mut world.disk.image()).unwrap();
    assert_eq!(booted.root_hash, world.first.hash());
}

#[test]
fn a_version_that_is_withdrawn_while_it_waits_goes_before_there_is_room_for_the_next() {
    let mut world = World::new(&["12:00-13:00"]);
    assert!(matches!(world.pass().1.then, Then::Waits(_)));
    let third = Release::new(3);
    world.repository.add(&third);
    world.repository.change(&world.second, |offer| offer.withdrawn = Some(Withdrawal { reason: "eats data".into() }));
    world.updater.settings.stage = StageWhen::InWindows;
    let (agent, passed) = world.pass();
    assert!(matches!(passed.then, Then::Waits(_)) && passed.installed.is_none());
    assert_eq!(agent.state(), State::Idle { fallback: false });
    assert_eq!(firmware::boot(&mut world.disk.image()).unwrap().root_hash, world.first.hash());
}

#[test]
fn a_version_that_is_withdrawn_while_it_waits_goes_though_the_next_cannot_be_had() {
    let mut world = World::new(&["12:00-13:00"]);
    world.pass();
    let third = Release::new(3);
    world.repository.add(&third);
    world.repository.change(&world.second, |offer| offer.withdrawn = Some(Withdrawal { reason: "eats data".into() }));
    let mut agent = world.agent();
    let mut check = look(&world.updater, &agent).unwrap();
    fs::remove_dir_all(world.repository.folder.join("targets")).unwrap();
    prepare(&world.updater, &mut agent, &mut check).unwrap_err();
    assert_eq!(agent.state(), State::Idle { fallback: false });
}

#[test]
fn no_window_opens_before_the_clock_is_known() {
    let world = World::new(&["00:00-24:00"]);
    assert!(matches!(world.pass().1.then, Then::Restart(_)));
    let built = world.root().join("usr/lib/os-release");
    fs::create_dir_all(built.parent().unwrap()).unwrap();
    let file = fs::File::create(built).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(NOW.0 + 1)).unwrap();
    let Then::Waits(wait) = world.pass().1.then else { panic!() };
    let words = "waits for a window, and none opens before the clock is set: it shows 2026-11-18 11:06:40 UTC, and this \
                 image was made at 2026-11-18 11:06:41 UTC";
    assert_eq!(wait.to_string(), words);
}

#[test]
fn the_lock_is_taken_in_the_window_and_kept_through_the_trial() {
    let mut world = World::new(&["12:00-13:00"]);
    let server = LockServer::start(1);
    let group = "web".to_owned().try_into().unwrap();
    world.updater.settings.fleet_lock = Some(FleetLock { url: address(&server), group, without_server_after: None });
    world.updater.client = Client::new(ClientOptions { stall: Duration::from_secs(5), ..ClientOptions::default() });
    world.pass();
    assert!(server.log().is_empty(), "outside of the window nobody is asked");
    world.updater.settings.windows.clear();
    assert_eq!(world.pass().1.then, Then::Restart(Permit::Locked));
    let settles = |state| {
        let settings = Some(&world.updater.settings);
        release_locks(world.root(), &world.updater.client, NOW, Some(state), settings).unwrap()
    };
    // The machine starts the second version, which is on trial.
    let mut image = world.disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().root_hash, world.second.hash());
    let (mut second, _) = agent(&RecordedDisk::new(image), world.second.hash()).unwrap();
    assert!(!settles(second.state()));
    assert_eq!(server.holders().len(), 1);
    second.healthy().unwrap();
    assert!(settles(second.state()));
    assert!(server.holders().is_empty() && LockNote::load(world.root()) == LockNote::default());
}

#[test]
fn the_lock_is_given_back_once_the_host_is_back() {
    let mut world = World::new(&[]);
    let server = LockServer::start(1);
    let group = "web".to_owned().try_into().unwrap();
    world.updater.settings.fleet_lock = Some(FleetLock { url: address(&server), group, without_server_after: None });
    world.updater.client = Client::new(ClientOptions { stall: Duration::from_secs(5), ..ClientOptions::default() });
    assert_eq!(world.pass().1.then, Then::Restart(Permit::Locked));
    let settles = |state| {
        let settings = Some(&world.updater.settings);
        release_locks(world.root(), &world.updater.client, NOW, Some(state), settings).unwrap()
    };
    let mut image = world.disk.image();
    firmware::boot(&mut image).unwrap();
    let disk = RecordedDisk::new(image);
    let (mut second, _) = agent(&disk, world.second.hash()).unwrap();
    // Going back asks nobody, and keeps the lock until it is over.
    second.unhealthy("web: down").unwrap();
    assert!(!settles(second.state()));
    let mut image = disk.image();
    assert_eq!(firmware::boot(&mut image).unwrap().root_hash, world.first.hash());
    let (first, _) = agent(&RecordedDisk::new(image), world.first.hash()).unwrap();
    assert!(settles(first.state()));
    assert!(server.holders().is_empty());
}

/// Surroundings that remember what they were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<News>>>);

impl Surroundings for Told {
    fn now(&self) -> UnixSeconds {
        NOW
    }

    fn boot(&self) -> Option<BootId> {
        None
    }

    fn log_tail(&self, _: Which, _: RootHash) -> Vec<String> {
        Vec::new()
    }

    fn tell(&self, news: &News) {
        self.0.lock().unwrap().push(news.clone());
    }
}

#[test]
fn the_journal_is_told_what_happens_and_a_wait_only_once() {
    let world = World::new(&["12:00-13:00"]);
    let told = Told::default();
    let pass = || {
        let store = RecordedLedger::new(world.disk.clone(), LEDGER);
        let disk = Disk::new(world.disk.clone(), world.first.hash());
        let (mut agent, _) = Agent::start(disk, store, told.clone()).unwrap();
        let updater = &world.updater;
        let restarts = Restarts::of_host(&updater.root, &updater.settings, &updater.client, NOW, false).unwrap();
        let mut check = look(updater, &agent).unwrap();
        let release = prepare(updater, &mut agent, &mut check).unwrap();
        proceed(updater, &mut agent, &restarts, &check, release.as_ref()).unwrap();
    };
    pass();
    pass();
    let label = world.second.label.to_string();
    let news: Vec<(MessageId, String, Option<String>)> = told
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|news| (news.id, news.version.clone(), news.slot.map(|slot| slot.to_string())))
        .collect();
    let slot = Some("b".to_owned());
    // Before the installation nothing is in the other slot.
    assert_eq!(
        news,
        [
            (MessageId::InstallBegun, label.clone(), None),
            (MessageId::Installed, label.clone(), slot.clone()),
            (MessageId::Waits, label, slot),
        ]
    );
}

#[test]
fn what_goes_wrong_with_the_version_that_was_chosen_is_kept_with_the_choice() {
    let world = World::new(&[]);
    let (mut agent, updater) = (world.agent(), &world.updater);
    let restarts = Restarts::of_host(&updater.root, &updater.settings, &updater.client, NOW, false).unwrap();
    let mut pass_without = |folder: &str| {
        let mut check = look(updater, &agent).unwrap();
        assert!(world.last().summary.ends_with("is to be taken"), "{:?}", world.last());
        let [here, away] = [folder, "away"].map(|name| world.repository.folder.join(name));
        fs::rename(&here, &away).unwrap();
        let passed = prepare(updater, &mut agent, &mut check).map(|release| {
            proceed(updater, &mut agent, &restarts, &check, release.as_ref()).unwrap_err();
        });
        fs::rename(&away, &here).unwrap();
        (passed.is_ok(), world.last().summary)
    };
    let (is_prepared, said) = pass_without("targets");
    assert!(
        !is_prepared && said.contains("and that went wrong: ") && said.contains("the repository can't be used"),
        "{said}"
    );
    let (is_prepared, said) = pass_without("parts");
    assert!(is_prepared && said.contains("is to be taken, and that went wrong: can't get the hash tree"), "{said}");
}

#[test]
fn a_look_while_another_is_under_way_says_so_and_forgets_nothing() {
    let world = World::new(&[]);
    let agent = world.agent();
    let check = look(&world.updater, &agent).unwrap();
    let before = world.last();
    let error = look(&world.updater, &agent).unwrap_err();
    assert!(matches!(error, UpdateError::Catalog(CatalogError::InUse)), "{error:?}");
    assert_eq!(world.last(), before);
    // One that ends soon is waited for.
    let patience = Patience { first: Duration::from_secs(1), longest: Duration::from_secs(8), attempts: 3 };
    let waiting = Updater { patience, ..world.updater.clone() };
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(check);
    });
    look(&waiting, &agent).unwrap();
    other.join().unwrap();
}

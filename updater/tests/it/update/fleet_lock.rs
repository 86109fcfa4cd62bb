//! The fleet's lock, with a real server: taken before the restart, kept through the trial, given back after; and whatever is cut
//! off, never for ever.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use slipway_images::update::StageWhen;
use slipway_updater::ledger::UnixSeconds;
use slipway_updater::machine::State;
use slipway_updater::net::{BaseUrl, Client, ClientOptions};
use slipway_updater::restart::{
    LOCK_NOTE_PATH, LockId, LockNote, NotNow, Permit, Restarts, Urgency, Wait, release_locks,
};
use slipway_updater::update::{FleetLock, Settings};

use super::lock_server::{LockFault, LockServer};

const START: u64 = 1_795_000_000;
const IDLE: State = State::Idle { fallback: true };
const TRIAL: State = State::Trial { fallback: true };

pub fn address(server: &LockServer) -> BaseUrl {
    BaseUrl::new(&server.url()).unwrap()
}

/// A host with a clock that was set.
struct Host {
    root: tempfile::TempDir,
    settings: Settings,
    client: Client,
    now: u64,
}

impl Host {
    fn new(server: &LockServer, digit: char) -> Self {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/machine-id", &format!("{}\n", digit.to_string().repeat(32)));
        write("run/systemd/timesync/synchronized", "");
        let group = "web".to_owned().try_into().unwrap();
        let lock = FleetLock { url: address(server), group, without_server_after: None };
        let settings = Settings {
            enabled: true,
            urls: Vec::new(),
            channel: "stable".parse().unwrap(),
            restart: true,
            windows: Vec::new(),
            stage: StageWhen::AnyTime,
            fleet_lock: Some(lock),
        };
        let client = Client::new(ClientOptions { stall: Duration::from_millis(400), ..ClientOptions::default() });
        Self { root, settings, client, now: START }
    }

    fn root(&self) -> &Path {
        self.root.path()
    }

    fn id(&self) -> String {
        LockId::of(&fs::read_to_string(self.root().join("etc/machine-id")).unwrap()).to_string()
    }

    /// Asks for a restart.
    fn asks(&self, by_hand: bool) -> Result<Permit, NotNow> {
        let now = UnixSeconds(self.now);
        let restarts = Restarts::of_host(self.root(), &self.settings, &self.client, now, by_hand).unwrap();
        restarts.permit(Urgency::default())
    }

    /// Why it has to wait.
    fn waits(&self) -> String {
        match self.asks(false) {
            Err(NotNow::Waits(Wait::Lock(delay))) => delay.words,
            other => panic!("{other:?}"),
        }
    }

    /// The end of a pass that doesn't restart.
    fn settles(&self, state: Option<State>) -> bool {
        release_locks(self.root(), &self.client, UnixSeconds(self.now), state, Some(&self.settings)).unwrap()
    }

    fn note(&self) -> LockNote {
        LockNote::load(self.root())
    }
}

#[test]
fn what_is_asked_for_is_what_the_protocol_says() {
    let server = LockServer::start(1);
    let host = Host::new(&server, 'a');
    assert_eq!(host.asks(false).unwrap(), Permit::Locked);
    assert!(host.settles(Some(IDLE)));
    let log = server.log();
    let paths: Vec<&str> = log.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, ["/base/v1/pre-reboot", "/base/v1/steady-state"]);
    let id = host.id();
    assert!(id.len() == 32 && id != "a".repeat(32));
    for asked in log {
        assert_eq!(asked.header.as_deref(), Some("true"));
        assert_eq!(asked.body, serde_json::json!({ "client_params": { "id": id, "group": "web" } }));
    }
}

#[test]
fn one_host_at_a_time_until_it_has_committed_or_is_back() {
    let server = LockServer::start(1);
    let (one, mut other) = (Host::new(&server, 'a'), Host::new(&server, 'b'));
    assert_eq!(one.asks(false).unwrap(), Permit::Locked);
    assert_eq!(other.waits(), "the lock manager says no (409): all slots are locked");
    assert_eq!(other.note().claims, []);
    for state in [State::Leaving, TRIAL, State::Committing { fallback: true }] {
        assert!(!one.settles(Some(state)));
        assert_eq!(server.holders(), [one.id()]);
    }
    assert!(one.settles(Some(IDLE)));
    other.now += 60;
    assert_eq!(other.asks(false).unwrap(), Permit::Locked);
    assert_eq!(server.holders(), [other.id()]);
    assert_eq!(other.note().delay, None);
}

#[test]
fn cut_off_between_lock_and_restart() {
    let server = LockServer::start(1);
    let host = Host::new(&server, 'a');
    host.asks(false).unwrap();
    // The next pass may restart: who has the lock gets it again.
    assert_eq!(host.asks(false).unwrap(), Permit::Locked);
    // The one after that may not, or not any more.
    assert!(host.settles(Some(State::Armed)));
    assert!(server.holders().is_empty() && host.note() == LockNote::default());
}

#[test]
fn cut_off_between_commit_and_release() {
    let server = LockServer::start(1);
    let mut host = Host::new(&server, 'a');
    host.asks(false).unwrap();
    server.set_fault(LockFault::Answer(503, ""));
    assert!(!host.settles(Some(IDLE)));
    let asked = server.log().len();
    // Not at once again, and then for as long as it takes.
    assert!(!host.settles(Some(IDLE)));
    assert_eq!(server.log().len(), asked);
    for _ in 0..30 {
        host.now += 15 * 60;
        assert!(!host.settles(Some(IDLE)));
    }
    assert_eq!(server.log().len(), asked + 30);
    assert_eq!(server.holders(), [host.id()]);
    server.set_fault(LockFault::None);
    host.now += 15 * 60;
    assert!(host.settles(Some(IDLE)));
    assert!(server.holders().is_empty());
}

#[test]
fn a_yes_that_was_lost_is_given_back() {
    let server = LockServer::start(1);
    let host = Host::new(&server, 'a');
    server.set_fault(LockFault::Mute);
    assert!(host.waits().starts_with("the lock manager can't be reached: no answer from the server"));
    assert_eq!(server.holders(), [host.id()]);
    assert!(!host.note().claims[0].certain);
    server.set_fault(LockFault::None);
    assert!(host.settles(Some(State::Armed)));
    assert!(server.holders().is_empty());
    // Why there was none is still told, as long as a version waits.
    assert!(host.note().delay.is_some());
    assert!(host.settles(Some(IDLE)));
    assert_eq!(host.note().delay, None);
}

#[test]
fn a_note_that_is_damaged_may_have_held_a_claim() {
    let server = LockServer::start(1);
    let host = Host::new(&server, 'a');
    host.asks(false).unwrap();
    fs::write(host.root().join(LOCK_NOTE_PATH), "{").unwrap();
    assert!(host.note().is_lost);
    assert!(host.settles(Some(IDLE)));
    assert!(server.holders().is_empty() && !host.note().is_lost);
}

#[test]
fn a_lock_is_given_back_to_whom_it_was_taken_from() {
    let (before, after) = (LockServer::start(1), LockServer::start(1));
    let mut host = Host::new(&before, 'a');
    host.asks(false).unwrap();
    host.settings.fleet_lock.as_mut().unwrap().url = address(&after);
    host.asks(false).unwrap();
    assert_eq!((before.holders(), after.holders()), (vec![host.id()], vec![host.id()]));
    host.settings.fleet_lock = None;
    assert!(host.settles(Some(IDLE)));
    assert!(before.holders().is_empty() && after.holders().is_empty());
}

#[test]
fn a_host_that_can_t_be_looked_at_keeps_a_lock_for_a_day() {
    let server = LockServer::start(1);
    let mut host = Host::new(&server, 'a');
    host.asks(false).unwrap();
    host.now += 86_400;
    assert!(!host.settles(None));
    host.now += 1;
    assert!(host.settles(None));
    assert!(server.holders().is_empty());
}

#[test]
fn whatever_is_no_yes_is_a_wait_and_is_told_in_words() {
    let server = LockServer::start(1);
    let words = |fault: LockFault| {
        let host = Host::new(&server, 'a');
        server.set_fault(fault);
        let began = Instant::now();
        let words = host.waits();
        assert!(began.elapsed() < Duration::from_secs(10));
        words
    };
    let away = "the lock manager can't be reached: ";
    assert_eq!(words(LockFault::Answer(500, "oops")), format!("{away}the server answers 500"));
    for fault in [LockFault::Garbage, LockFault::Hang] {
        let words = words(fault);
        assert!(words.starts_with(&format!("{away}no answer from the server: ")), "{words}");
    }
    let no = "the lock manager says no ";
    assert_eq!(words(LockFault::Answer(204, "")), format!("{no}(204): without a reason"));
    // Followed, it would end at a page that says 200 to everything.
    assert_eq!(words(LockFault::Answer(302, "")), format!("{no}(302): without a reason"));
    assert_eq!(words(LockFault::Answer(404, "<html>")), format!("{no}(404): without a reason"));
    let said = r#"{"kind":"failed_lock","value":"etcd\u001b[31m is\naway"}"#;
    assert_eq!(words(LockFault::Answer(500, said)), format!("{no}(500): etcd [31m is away"));
    assert!(server.log().iter().all(|asked| asked.path == "/base/v1/pre-reboot"));
    assert!(server.holders().is_empty());
}

#[test]
fn a_manager_that_said_no_is_asked_again_later_unless_an_operator_waits() {
    let server = LockServer::start(0);
    let mut host = Host::new(&server, 'a');
    let mut pauses = Vec::new();
    for _ in 0..6 {
        host.waits();
        let asked = server.log().len();
        let pause = host.note().delay.unwrap().not_before.0 - host.now;
        pauses.push(pause / 60);
        host.now += pause - 1;
        host.waits();
        assert_eq!(server.log().len(), asked, "too early");
        host.now += 1;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 15, 15]);
    host.waits();
    let asked = server.log().len();
    assert!(host.asks(true).is_err());
    assert_eq!(server.log().len(), asked + 1);
    // A clock that is put back by a year doesn't make the wait longer.
    host.now -= 365 * 86_400;
    host.waits();
    assert_eq!(server.log().len(), asked + 2);
}

#[test]
fn a_manager_that_is_away_is_passed_over_only_where_the_settings_say_so() {
    let server = LockServer::start(0);
    let mut host = Host::new(&server, 'a');
    server.set_fault(LockFault::Answer(502, ""));
    for _ in 0..100 {
        host.waits();
        host.now += 3600;
    }
    host.settings.fleet_lock.as_mut().unwrap().without_server_after = Some("3h".parse().unwrap());
    // Any answer of the manager's begins the time anew, and a no is a no.
    server.set_fault(LockFault::None);
    assert!(host.waits().starts_with("the lock manager says no"));
    server.set_fault(LockFault::Answer(502, ""));
    host.now += 3600;
    let since = host.now;
    while host.now < since + 3 * 3600 {
        host.waits();
        host.now += 1800;
    }
    assert_eq!(host.asks(false).unwrap(), Permit::WithoutServer);
    // The claim stays until it can be given back.
    assert!(!host.settles(Some(IDLE)));
    server.set_fault(LockFault::None);
    host.now += 3600;
    assert!(host.settles(Some(IDLE)));
}

#[test]
fn a_manager_that_is_away_is_never_passed_over_by_a_clock_that_nobody_has_set() {
    let server = LockServer::start(0);
    let mut host = Host::new(&server, 'a');
    host.settings.fleet_lock.as_mut().unwrap().without_server_after = Some("1h".parse().unwrap());
    server.set_fault(LockFault::Answer(502, ""));
    let built = host.root().join("usr/lib/os-release");
    fs::create_dir_all(built.parent().unwrap()).unwrap();
    let file = fs::File::create(built).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(START + 365 * 86_400)).unwrap();
    for _ in 0..5 {
        host.waits();
        host.now += 86_400;
    }
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(host.asks(false).unwrap(), Permit::WithoutServer);
}

#[test]
fn what_can_t_be_written_down_is_not_asked_for() {
    let server = LockServer::start(1);
    let host = Host::new(&server, 'a');
    fs::write(host.root().join("var"), "").unwrap();
    assert!(matches!(host.asks(false), Err(NotNow::Note(_))));
    assert!(server.log().is_empty() && server.holders().is_empty());
}

#[test]
fn a_no_that_is_not_the_manager_s_leaves_the_claim() {
    let server = LockServer::start(1);
    let mut host = Host::new(&server, 'a');
    host.asks(false).unwrap();
    // A proxy that knows nothing of the manager: the host may have the lock all the same.
    server.set_fault(LockFault::Answer(404, "<html>"));
    host.waits();
    assert!(!host.settles(Some(IDLE)));
    assert_eq!((host.note().claims.len(), server.holders()), (1, vec![host.id()]));
    server.set_fault(LockFault::None);
    host.now += 60;
    assert!(host.settles(Some(IDLE)));
    assert!(server.holders().is_empty());
}

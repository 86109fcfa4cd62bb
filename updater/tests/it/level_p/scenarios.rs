//! The tests.

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::Arc;

use slipway_images::verity::RootHash;
use slipway_updater::agent::{AgentError, Outcome};
use slipway_updater::disk::survey::TableState;
use slipway_updater::ledger::FailureReason;
use slipway_updater::machine::State;

use super::crash::each_crash;
use super::firmware;
use super::recorded::{Image, RecordedDisk};
use super::world::{Release, TestAgent, agent, factory, install};

/// How an agent goes about a goal after a start.
pub(super) enum Step {
    /// The goal is reached.
    Reached,
    /// The machine restarts now.
    Restart,
}

pub(super) type Act<'a> = &'a dyn Fn(&mut TestAgent) -> Result<Step, AgentError>;

/// Something that an agent does to a disk, cut at every write.
pub(super) struct Phase<'a> {
    pub name: &'a str,
    pub before: &'a Image,
    pub booted: RootHash,
    pub act: Act<'a>,
    /// What may run after a cut.
    pub may_boot: &'a [&'a Arc<Release>],
    /// What runs in the end.
    pub ends_with: &'a Arc<Release>,
    /// Of so many cut disks one is taken all the way to the goal.
    pub every: usize,
}

impl Phase<'_> {
    /// Does it, cuts it everywhere, and gives the disk as it is without a cut, and the number of cuts.
    pub fn run(&self) -> (Image, usize) {
        let disk = RecordedDisk::new(self.before.clone());
        let (mut agent, outcome) = agent(&disk, self.booted).unwrap();
        if outcome == Outcome::Done {
            (self.act)(&mut agent).unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
        }
        let states = RefCell::new(0);
        let count = each_crash(self.before, &disk.log(), &mut |image, how| {
            let number = states.replace_with(|number| *number + 1);
            if let Err(error) = self.check(image, number) {
                panic!("{}, cut number {number} ({how}): {error}", self.name);
            }
        });
        (disk.image(), count)
    }

    fn check(&self, cut: &Image, number: usize) -> Result<(), String> {
        let mut image = cut.clone();
        let booted = firmware::would_boot(&mut image)?;
        if !booted.failures.is_empty() {
            return Err(format!("boots failed: {:?}", booted.failures));
        }
        if !self.may_boot.iter().any(|release| release.hash() == booted.root_hash) {
            return Err(format!("boots {}", booted.label));
        }
        let broken = firmware::broken_entries(&mut image)?;
        if !broken.is_empty() {
            return Err(format!("could be started, and has no verified root: {broken:?}"));
        }
        if number.is_multiple_of(self.every) {
            self.converge(image)?;
        }
        Ok(())
    }

    /// Lets the machine go on from a cut until the goal is reached.
    fn converge(&self, mut image: Image) -> Result<(), String> {
        for _ in 0..6 {
            let booted = firmware::boot(&mut image)?;
            if !booted.failures.is_empty() {
                return Err(format!("boots failed: {:?}", booted.failures));
            }
            let disk = RecordedDisk::new(image.clone());
            let (mut agent, outcome) = agent(&disk, booted.root_hash).map_err(|error| format!("{error:?}"))?;
            floor_is_committed(&agent)?;
            let step = match outcome {
                Outcome::Restart => Step::Restart,
                Outcome::Done => (self.act)(&mut agent).map_err(|error| format!("{error:?}"))?,
            };
            floor_is_committed(&agent)?;
            image = disk.image();
            if matches!(step, Step::Restart) {
                continue;
            }
            let survey = agent.survey().map_err(|error| format!("{error:?}"))?;
            if survey.running_label != self.ends_with.label {
                return Err(format!("ends with {}", survey.running_label));
            }
            if survey.tables != TableState::Same || survey.esp_needs_mending || !survey.leftovers.is_empty() {
                return Err(format!("leaves something behind: {survey:?}"));
            }
            return Ok(());
        }
        Err("does not come to an end".to_owned())
    }
}

/// The floor is never above a version that was committed: one whose entry is good, or that ran when it rose.
fn floor_is_committed(agent: &TestAgent) -> Result<(), String> {
    let survey = agent.survey().map_err(|error| format!("{error:?}"))?;
    let ledger = agent.ledger().map_err(|error| format!("{error:?}"))?;
    let Some(floor) = &ledger.floor else { return Ok(()) };
    let known = |slot: &slipway_updater::disk::survey::SlotFound| {
        let label = slot.label.as_ref().filter(|label| label.version() == floor)?;
        let good = slot.entry.as_ref().is_some_and(|entry| entry.tries() == slipway_images::names::BootTries::Good);
        let failed = ledger.failures.iter().any(|failure| failure.label == label.to_string());
        Some(good || failed)
    };
    match survey.slots.iter().find_map(known) {
        Some(false) => Err(format!("the floor is {floor}, which was not found good")),
        _ => Ok(()),
    }
}

/// Installs a release, unless it is there, and restarts into it.
fn installing(release: &Arc<Release>) -> impl Fn(&mut TestAgent) -> Result<Step, AgentError> + '_ {
    |agent| {
        if agent.survey()?.running_label == release.label {
            return Ok(Step::Reached);
        }
        if agent.state() != State::Armed {
            install(agent, release)?;
        }
        agent.restart()?;
        Ok(Step::Restart)
    }
}

fn commit(agent: &mut TestAgent) -> Result<Step, AgentError> {
    if matches!(agent.state(), State::Trial { .. }) {
        agent.healthy()?;
    }
    let survey = agent.survey()?;
    let ledger = agent.ledger().unwrap();
    assert_eq!(ledger.floor.as_ref(), Some(survey.running_label.version()));
    Ok(Step::Reached)
}

/// Finds a version unhealthy, and goes back from it.
fn leaving(bad: &Arc<Release>) -> impl Fn(&mut TestAgent) -> Result<Step, AgentError> + '_ {
    |agent| {
        if agent.survey()?.running_label == bad.label {
            assert_eq!(agent.unhealthy("web.service is failed")?, Outcome::Restart);
            return Ok(Step::Restart);
        }
        let failure = agent.ledger().unwrap().failure(bad.hash()).expect("a reason");
        assert_eq!(failure.reason, FailureReason::Health("web.service is failed".into()));
        assert_eq!(failure.log.len(), 2);
        assert!(agent.admit(&bad.verified()).is_err());
        Ok(Step::Reached)
    }
}

fn going_back(from: &Arc<Release>) -> impl Fn(&mut TestAgent) -> Result<Step, AgentError> + '_ {
    |agent| {
        if agent.survey()?.running_label == from.label {
            assert_eq!(agent.roll_back("slow")?, Outcome::Restart);
            return Ok(Step::Restart);
        }
        let failure = agent.ledger().unwrap().failure(from.hash()).expect("a reason");
        assert_eq!(failure.reason, FailureReason::Operator("slow".into()));
        Ok(Step::Reached)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of several acts, which may fail")]
fn nothing(_: &mut TestAgent) -> Result<Step, AgentError> {
    Ok(Step::Reached)
}

/// Tells how much a test has checked, also where it passes: what is printed with `println!` is only shown of tests that fail.
pub(super) fn tell_checked(test: &str, states: usize) {
    let mut error = std::io::stderr();
    writeln!(error, "{test}: {states} crash states checked, and each boots a verified slot at the first try").unwrap();
}

/// Starts the machine for good: counts the try, and gives what runs.
fn boots(image: &mut Image, expected: &Arc<Release>) -> RootHash {
    let booted = firmware::boot(image).unwrap();
    assert_eq!((booted.root_hash, booted.failures), (expected.hash(), Vec::new()), "{}", booted.label);
    booted.root_hash
}

#[test]
fn s03_power_cut_at_every_write() {
    let [v1, v2, v3, v4, v5] = [1, 2, 3, 4, 5].map(Release::new);
    let mut total = 0;
    let mut cut = |name, before: &Image, booted, act: Act<'_>, may_boot: &[&Arc<Release>], ends_with, every| {
        let phase = Phase { name, before, booted, act, may_boot, ends_with, every };
        let (after, count) = phase.run();
        total += count;
        after
    };
    let image = factory(&v1);
    let image = cut("a first start", &image, v1.hash(), &nothing, &[&v1], &v1, 1);
    let first = image.clone();
    let mut image = cut("an installation", &image, v1.hash(), &installing(&v2), &[&v1, &v2], &v2, 16);
    let booted = boots(&mut image, &v2);
    let image = cut("a commit", &image, booted, &commit, &[&v2], &v2, 1);
    let mut image = cut("a second installation", &image, booted, &installing(&v3), &[&v2, &v3], &v3, 16);
    let booted = boots(&mut image, &v3);
    let mut image = cut("going back from an unhealthy version", &image, booted, &leaving(&v3), &[&v2, &v3], &v2, 1);
    let booted = boots(&mut image, &v2);
    let mut image = cut("an installation over a bad version", &image, booted, &installing(&v4), &[&v2, &v4], &v4, 16);
    let booted = boots(&mut image, &v4);
    let image = cut("a second commit", &image, booted, &commit, &[&v4], &v4, 1);
    let mut image = cut("going back by hand", &image, booted, &going_back(&v4), &[&v2, &v4], &v2, 1);
    boots(&mut image, &v2);

    // Cut once more while the agent goes on from a cut.
    for part in [3, 5, 8] {
        let disk = RecordedDisk::new(first.clone());
        let (mut agent, _) = agent(&disk, v1.hash()).unwrap();
        install(&mut agent, &v2).unwrap();
        let ops = disk.log().len();
        let disk = RecordedDisk::new(first.clone());
        disk.fail_after(ops * part / 10);
        let (mut agent, _) = super::world::agent(&disk, v1.hash()).unwrap();
        install(&mut agent, &v2).unwrap_err();
        cut("an installation after a cut", &disk.image(), v1.hash(), &installing(&v5), &[&v1, &v2, &v5], &v5, 32);
    }
    tell_checked("s03_power_cut_at_every_write", total);
    assert!(total > 20_000, "{total}");
}

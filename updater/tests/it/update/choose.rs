//! Which version a host takes: a table of cases, and what holds for all.

use std::time::Duration;

use proptest::prelude::*;
use slipway_images::calendar::Moment;
use slipway_images::names::PartitionLabel;
use slipway_images::release::{
    ChannelContents, ChannelDocument, HostPlace, Offer, Percent, Rollout, Stage, Withdrawal,
};
use slipway_images::verity::RootHash;
use slipway_images::version::Version;
use slipway_updater::ledger::{Failure, FailureReason, LedgerContents, UnixSeconds};
use slipway_updater::update::{Choice, Reason, Standing, choose};

const NOW: u64 = 1_795_000_000;
const MACHINE: &str = "0123456789abcdef0123456789abcdef\n";

fn version(number: u8) -> Version {
    format!("1.{number}").parse().unwrap()
}

fn hash(number: u8) -> RootHash {
    RootHash::from_bytes([number; 32])
}

fn offer(number: u8) -> Offer {
    Offer {
        version: version(number),
        root_hash: hash(number),
        rollout: Rollout::everybody(Moment::from_seconds(NOW - 1000)),
        min_from: None,
        withdrawn: None,
    }
}

fn withdrawn(number: u8) -> Offer {
    Offer { withdrawn: Some(Withdrawal { reason: "eats data".into() }), ..offer(number) }
}

fn staged(number: u8, stages: &[(u8, u64)]) -> Offer {
    let mut offer = offer(number);
    let stage = |(percent, after): &(u8, u64)| Stage {
        percent: Percent::new(*percent).unwrap(),
        after: Duration::from_secs(*after),
    };
    offer.rollout.stages = stages.iter().map(stage).collect();
    offer
}

fn channel(offers: Vec<Offer>, floor: Option<u8>) -> ChannelDocument {
    ChannelDocument::new(ChannelContents {
        id: "web".parse().unwrap(),
        channel: "stable".parse().unwrap(),
        floor: floor.map(version),
        offers,
    })
    .unwrap()
}

/// A host that runs version 5 and has committed it.
struct Host {
    ledger: LedgerContents,
    armed: Option<RootHash>,
    by_hand: bool,
    now: u64,
}

impl Default for Host {
    fn default() -> Self {
        let ledger = LedgerContents { floor: Some(version(5)), ..LedgerContents::default() };
        Self { ledger, armed: None, by_hand: false, now: NOW }
    }
}

impl Host {
    fn chooses(&self, channel: &ChannelDocument) -> Choice {
        let running: PartitionLabel = "web_1.5".parse().unwrap();
        let standing = Standing {
            running: &running,
            root_hash: hash(5),
            armed: self.armed,
            ledger: &self.ledger,
            machine_id: MACHINE,
            now: Moment::from_seconds(self.now),
            by_hand: self.by_hand,
        };
        choose(channel, &standing)
    }

    fn failed(number: u8) -> Self {
        let mut host = Self::default();
        host.ledger.record_failure(Failure {
            root_hash: hash(number),
            label: format!("web_1.{number}"),
            reason: FailureReason::TriesUsedUp,
            at: UnixSeconds(NOW - 100),
            log: Vec::new(),
        });
        host
    }

    fn troubled(number: u8) -> Self {
        let mut host = Self::default();
        let label = format!("web_1.{number}").parse().unwrap();
        host.ledger.record_trouble(hash(number), &label, "no route", UnixSeconds(NOW - 10));
        host
    }
}

fn reason(choice: &Choice, number: u8) -> Option<Reason> {
    let found = choice.considered.iter().find(|considered| considered.version == version(number)).unwrap();
    found.reason.clone()
}

#[test]
fn the_newest_that_may_be_taken_is() {
    let at = |seconds| Moment::from_seconds(seconds);
    let late = Offer { rollout: Rollout::everybody(at(NOW + 60)), ..offer(7) };
    let paused = Offer { rollout: Rollout { paused: true, ..Rollout::everybody(at(0)) }, ..offer(7) };
    let steps = Offer { min_from: Some(version(6)), ..offer(7) };
    let by_hand = || Host { by_hand: true, ..Host::default() };
    let cases: Vec<(&str, Host, Vec<Offer>, Option<u8>, Option<Reason>)> = vec![
        ("newest", Host::default(), vec![offer(5), offer(6), offer(7)], Some(7), None),
        ("1.10 is newer than 1.9", Host::default(), vec![offer(9), offer(10)], Some(10), None),
        ("nothing newer", Host::default(), vec![offer(4), offer(5)], None, Some(Reason::Running)),
        ("only older", Host::default(), vec![offer(4)], None, Some(Reason::Older)),
        ("not yet", Host::default(), vec![offer(6), late.clone()], Some(6), Some(Reason::NotYet { at: at(NOW + 60) })),
        ("not yet, but by hand", by_hand(), vec![offer(6), late], Some(7), None),
        ("paused", Host::default(), vec![offer(6), paused], Some(6), Some(Reason::Paused)),
        (
            "stepping stone",
            Host::default(),
            vec![offer(6), steps.clone()],
            Some(6),
            Some(Reason::SteppingStone { min_from: version(6) }),
        ),
        (
            "stepping stones count by hand",
            by_hand(),
            vec![steps],
            None,
            Some(Reason::SteppingStone { min_from: version(6) }),
        ),
        (
            "withdrawn",
            Host::default(),
            vec![offer(6), withdrawn(7)],
            Some(6),
            Some(Reason::Withdrawn { reason: "eats data".into() }),
        ),
        (
            "s18 failed here",
            Host::failed(7),
            vec![offer(6), offer(7)],
            Some(6),
            Some(Reason::Failed { reason: "it did not come up in any of its tries".into() }),
        ),
        ("s18 the next one is taken", Host::failed(7), vec![offer(7), offer(8)], Some(8), None),
        (
            "waits after trouble",
            Host::troubled(7),
            vec![offer(7)],
            None,
            Some(Reason::Waiting { attempts: 1, reason: "no route".into(), not_before: at(NOW + 50) }),
        ),
        ("trouble is over", Host { now: NOW + 50, ..Host::troubled(7) }, vec![offer(7)], Some(7), None),
        ("trouble, by hand", Host { by_hand: true, ..Host::troubled(7) }, vec![offer(7)], Some(7), None),
        (
            "what waits is not replaced by an older one",
            Host { armed: Some(hash(7)), ..Host::default() },
            vec![offer(6), offer(7)],
            None,
            Some(Reason::Armed),
        ),
    ];
    for (name, host, offers, expected, newest) in cases {
        let choice = host.chooses(&channel(offers, None));
        assert_eq!(choice.version, expected.map(version), "{name}: {choice:?}");
        assert_eq!(choice.considered[0].reason, newest, "{name}");
    }
}

#[test]
fn who_runs_what_was_withdrawn_goes_to_the_best_other_one() {
    let host = Host::default();
    let with = |offers, floor| host.chooses(&channel(offers, floor));
    let choice = with(vec![offer(3), offer(4), withdrawn(5)], Some(3));
    assert_eq!((choice.version, choice.running_withdrawn.as_deref()), (Some(version(4)), Some("eats data")));
    let choice = with(vec![offer(4), withdrawn(5), offer(6)], Some(3));
    assert_eq!(choice.version, Some(version(6)));
    // Without a lowered floor it stays, and says so.
    let choice = with(vec![offer(4), withdrawn(5)], None);
    assert_eq!((choice.version.clone(), reason(&choice, 4)), (None, Some(Reason::BelowFloor { floor: version(5) })));
    let choice = with(vec![offer(3), offer(4), withdrawn(5)], Some(4));
    assert_eq!(reason(&choice, 3), Some(Reason::BelowFloor { floor: version(4) }));
    // s26: a lowered floor is for those only that have to leave.
    let choice = with(vec![offer(4), offer(5)], Some(3));
    assert_eq!((choice.version.clone(), reason(&choice, 4)), (None, Some(Reason::Older)));
    // It doesn't wait for its turn.
    let choice = with(vec![withdrawn(5), staged(6, &[(1, 0), (100, 500_000)])], None);
    assert_eq!(choice.version, Some(version(6)));
}

#[test]
fn stages_reach_a_host_once_and_for_good() {
    let place = HostPlace::of(MACHINE, &version(6));
    let first = (1..=100).find(|percent| place.is_within(Percent::new(*percent).unwrap())).unwrap();
    assert!((2..100).contains(&first), "this machine's place is of use for the test: {first}");
    let offers = || vec![staged(6, &[(first - 1, 0), (first, 2000)])];
    let choice = Host::default().chooses(&channel(offers(), None));
    assert_eq!(reason(&choice, 6), Some(Reason::NotYet { at: Moment::from_seconds(NOW + 1000) }));
    let later = Host { now: NOW + 1000, ..Host::default() };
    assert_eq!(later.chooses(&channel(offers(), None)).version, Some(version(6)));
    let never = later.chooses(&channel(vec![staged(6, &[(first - 1, 0)])], None));
    assert_eq!(reason(&never, 6), Some(Reason::NoStage));
}

proptest! {
    #[test]
    fn what_is_chosen_may_be_taken_and_nothing_newer_may(
        flags in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0_u8..12), 1..10),
        floor in prop::option::of(0_u8..9),
        failed in 0_u8..12,
        by_hand: bool,
    ) {
        let offers = (0..).zip(&flags).map(|(number, (taken_back, late, paused, from))| {
            let mut offer = if *taken_back { withdrawn(number) } else { offer(number) };
            offer.rollout.paused = *paused;
            if *late {
                offer.rollout.start = Moment::from_seconds(NOW + 5);
            }
            offer.min_from = (*from < number).then(|| version(*from));
            offer
        });
        let document = channel(offers.collect(), floor);
        let host = Host { by_hand, ..Host::failed(failed) };
        let choice = host.chooses(&document);
        prop_assert_eq!(choice.considered.len(), document.offers.len());
        let newest = choice.considered.iter().find(|considered| considered.reason.is_none());
        prop_assert_eq!(newest.map(|considered| &considered.version), choice.version.as_ref());
        if let Some(chosen) = &choice.version {
            let offer = document.offer(chosen).unwrap();
            let leaves = choice.running_withdrawn.is_some();
            prop_assert!(offer.withdrawn.is_none() && offer.root_hash != hash(5) && offer.root_hash != hash(failed));
            prop_assert!(leaves || *chosen > version(5));
            let lowest = floor.map_or(version(5), |floor| version(floor).min(version(5)));
            prop_assert!(*chosen >= lowest);
            prop_assert!(offer.min_from.as_ref().is_none_or(|from| *from <= version(5)));
            prop_assert!(by_hand || !offer.rollout.paused && offer.rollout.start.seconds() <= NOW);
        }
        // The same question has the same answer.
        prop_assert_eq!(choice, host.chooses(&document));
    }
}

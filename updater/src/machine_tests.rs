use proptest::prelude::*;

use super::*;

fn situations() -> Vec<Situation> {
    let mut all = Vec::new();
    for running in [Running::Good, Running::OnTrial, Running::NoEntry] {
        for other in [Other::Closed, Other::Fallback, Other::Armed, Other::Spent] {
            for bits in 0..2048_u16 {
                let bit = |place: u16| bits & 1 << place != 0;
                all.push(Situation {
                    running,
                    other,
                    tables_need_repair: bit(0),
                    esp_needs_mending: bit(1),
                    leftovers: bit(2),
                    running_failed: bit(3),
                    other_failed: bit(4),
                    floor_is_lower: bit(5),
                    ledger_lost: bit(6),
                    passed_over: bit(7),
                    wait_unnoted: bit(8),
                    armed_damaged: bit(9),
                    left_before: bit(10),
                });
            }
        }
    }
    all
}

fn states() -> Vec<State> {
    let mut all = vec![State::Unknown, State::Staging, State::Armed, State::Leaving];
    for fallback in [false, true] {
        all.extend([State::Idle { fallback }, State::Trial { fallback }, State::Committing { fallback }]);
    }
    all.extend([Stuck::NoEntry, Stuck::NoFallback, Stuck::NoLedger].map(|why| State::Stuck { why }));
    all
}

fn events() -> Vec<Event> {
    let plain = [
        Event::Admitted,
        Event::Done,
        Event::Failed,
        Event::Healthy,
        Event::Unhealthy,
        Event::Rollback,
        Event::Withdrawn,
        Event::Recalled,
        Event::Restart,
    ];
    plain.into_iter().chain(situations().into_iter().map(Event::Start)).collect()
}

/// Every pair there is, with what follows.
fn all() -> impl Iterator<Item = (State, Event, State, Vec<Effect>)> {
    states().into_iter().flat_map(|state| {
        events().into_iter().map(move |event| {
            let (next, effects) = step(state, event);
            (state, event, next, effects)
        })
    })
}

fn place(effects: &[Effect], wanted: impl Fn(&Effect) -> bool) -> Option<usize> {
    effects.iter().position(wanted)
}

#[test]
fn a_refusal_comes_alone_and_changes_nothing() {
    let mut refusals = 0;
    for (state, event, next, effects) in all() {
        if place(&effects, |effect| matches!(effect, Effect::Refuse(_))).is_some() {
            assert_eq!((next, effects.len()), (state, 1), "{state:?} {event:?}");
            refusals += 1;
        }
    }
    assert!(refusals > 20, "{refusals}");
}

#[test]
fn the_other_slot_is_written_only_while_what_runs_is_committed() {
    for (state, event, _, effects) in all() {
        let Some(open) = place(&effects, |effect| *effect == Effect::OpenSlot) else { continue };
        if let Event::Start(found) = event {
            assert!((found.passed_over || found.armed_damaged) && !effects.contains(&Effect::ArmSlot), "{found:?}");
            continue;
        }
        let nothing_to_lose = state == State::Stuck { why: Stuck::NoFallback };
        assert!(nothing_to_lose || matches!(state, State::Idle { .. } | State::Armed), "{state:?} {event:?}");
        let writes = [Effect::WriteTree, Effect::WriteBlocks, Effect::VerifySlot, Effect::LabelSlot, Effect::ArmSlot];
        let places: Vec<_> = writes.iter().filter_map(|write| place(&effects, |effect| effect == write)).collect();
        assert!(places.iter().all(|place| *place > open) && places.is_sorted(), "{effects:?}");
        assert!(places.len() == writes.len() || matches!(event, Event::Rollback | Event::Recalled));
    }
}

#[test]
fn the_floor_rises_only_for_what_was_found_good() {
    for (state, event, _, effects) in all() {
        let Some(floor) = place(&effects, |effect| *effect == Effect::RaiseFloor) else { continue };
        match event {
            Event::Healthy => {
                assert!(matches!(state, State::Trial { .. }));
                assert!(place(&effects, |effect| *effect == Effect::Bless).is_some_and(|bless| bless < floor));
            }
            Event::Start(found) => assert!(found.running == Running::Good && !found.running_failed, "{found:?}"),
            _ => panic!("{state:?} {event:?}"),
        }
    }
}

#[test]
fn what_runs_is_given_up_only_for_something_to_go_back_to_and_with_a_reason() {
    for (state, event, next, effects) in all() {
        let Some(mark) = place(&effects, |effect| *effect == Effect::MarkRunningBad) else { continue };
        let fallback = match (state, event) {
            (_, Event::Start(found)) => matches!(found.other, Other::Fallback | Other::Armed),
            (State::Armed, Event::Withdrawn) => true,
            (State::Idle { fallback } | State::Trial { fallback }, _) => fallback,
            _ => false,
        };
        assert!(fallback && next == State::Leaving, "{state:?} {event:?}");
        let recorded = |effect: &Effect| {
            matches!(effect, Effect::RecordFailure(Which::Running, _) | Effect::TryToRecordFailure(_))
        };
        let known = matches!(event, Event::Start(found) if found.running_failed);
        assert!(known || place(&effects, recorded).is_some_and(|record| record < mark), "{effects:?}");
        assert_eq!(effects.last(), Some(&Effect::Restart));
    }
}

#[test]
fn a_version_that_is_blessed_was_healthy() {
    for (state, event, _, effects) in all() {
        if effects.contains(&Effect::Bless) {
            assert!(matches!((state, event), (State::Trial { .. }, Event::Healthy)), "{state:?} {event:?}");
        }
    }
}

#[test]
fn a_machine_restarts_only_to_change_what_runs() {
    for (state, event, next, effects) in all() {
        if effects.contains(&Effect::Restart) {
            let armed = state == State::Armed && event == Event::Restart;
            assert!(
                next == State::Leaving && (armed || effects.contains(&Effect::MarkRunningBad)),
                "{state:?} {event:?}"
            );
        }
    }
}

#[test]
fn nothing_restarts_for_a_version_that_would_not_be_started() {
    let passed_over = |found: &Situation| (found.passed_over || found.armed_damaged) && found.other == Other::Armed;
    let known = |found: &Situation| found.running != Running::NoEntry && !found.ledger_lost;
    for situation in situations().into_iter().filter(|found| passed_over(found) && known(found)) {
        let (next, effects) = step(State::Unknown, Event::Start(situation));
        assert!(!matches!(next, State::Armed | State::Leaving), "{situation:?}");
        let recorded = place(&effects, |effect| *effect == Effect::RecordFailure(Which::Other, Cause::PassedOver));
        let open = place(&effects, |effect| *effect == Effect::OpenSlot);
        assert_eq!(recorded.is_some(), !situation.armed_damaged, "{situation:?}");
        assert!(open.is_some() && recorded < open, "the reason comes first: {effects:?}");
    }
}

#[test]
fn what_could_not_be_left_is_not_left_again() {
    for situation in situations().into_iter().filter(|found| found.left_before && found.other == Other::Fallback) {
        let (next, effects) = step(State::Unknown, Event::Start(situation));
        assert!(next != State::Leaving && !effects.contains(&Effect::Restart), "{situation:?}");
        assert_ne!(next, State::Trial { fallback: true }, "{situation:?}");
    }
}

#[test]
fn that_nothing_can_be_written_down_keeps_nobody_on_a_version_on_trial() {
    let strict = |effect: &Effect| matches!(effect, Effect::RecordFailure(..));
    for event in [Event::Unhealthy, Event::Rollback] {
        let (next, effects) = step(State::Trial { fallback: true }, event);
        assert!(next == State::Leaving && place(&effects, strict).is_none(), "{effects:?}");
        let (_, effects) = step(State::Idle { fallback: true }, Event::Rollback);
        assert!(place(&effects, strict).is_some(), "what was kept is left with a reason: {effects:?}");
    }
}

#[test]
fn a_start_knows_where_the_host_stands() {
    for situation in situations() {
        let (next, effects) = step(State::Unknown, Event::Start(situation));
        assert_ne!(next, State::Unknown);
        assert!(!matches!(next, State::Staging | State::Committing { .. }));
        assert_eq!(effects.contains(&Effect::RepairTables), situation.tables_need_repair);
        if situation.running == Running::NoEntry {
            assert!(effects.iter().all(|effect| *effect == Effect::RepairTables), "touches nothing on the ESP");
        }
        if situation.ledger_lost {
            assert!(matches!(next, State::Stuck { .. }));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_start_leads_on(picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let events = events();
        let mut state = State::Unknown;
        for pick in picks {
            (state, _) = step(state, events[pick.index(events.len())]);
        }
        // Whatever went on before, a failure and a fresh look are never a dead end.
        let situation = Situation {
            running: Running::Good, other: Other::Fallback, tables_need_repair: false, esp_needs_mending: false,
            leftovers: false, running_failed: false, other_failed: false, floor_is_lower: false, ledger_lost: false,
            passed_over: false, wait_unnoted: false, armed_damaged: false, left_before: false,
        };
        let (state, _) = step(state, Event::Failed);
        let (state, _) = step(state, Event::Start(situation));
        prop_assert_eq!(state, State::Idle { fallback: true });
    }
}

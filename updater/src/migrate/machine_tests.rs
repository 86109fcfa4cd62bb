#![allow(clippy::unwrap_used)]

use std::time::Duration;

use slipway_images::digest::Digest;

use super::*;
use crate::migrate::journal::Original;

fn version(number: u32) -> Version {
    number.to_string().parse().unwrap()
}

fn name(text: &str) -> MigrationName {
    MigrationName::new(text).unwrap()
}

/// `a` and `b` lead to version 2, `c` to version 3; `b` and `c` by copies, and `c` without a program.
fn migrations() -> [Migration; 3] {
    let down = || Reverse::Down("/usr/lib/down".into());
    let copies = |paths: &[&str]| Reverse::CopyAside(paths.iter().map(ToString::to_string).collect());
    [
        ("a", 2, true, down()),
        ("b", 2, true, copies(&["/var/lib/b", "/var/lib/b2"])),
        ("c", 3, false, copies(&["/var/c"])),
    ]
    .map(|(text, since, has_up, reverse)| Migration {
        name: name(text),
        since: version(since),
        up: has_up.then(|| "/usr/lib/up".to_owned()),
        reverse,
        before: vec![format!("{text}.service")],
        within: Duration::from_secs(9),
    })
}

fn begun(migration: &Migration, from: u32, by: u32, progress: Progress, committed: Option<u32>) -> Step {
    Step {
        name: migration.name.clone(),
        since: migration.since.clone(),
        from: version(from),
        by: version(by),
        progress,
        committed: committed.map(version),
        way: match &migration.reverse {
            Reverse::Down(_) => Way::Program { sha256: Digest::of(b"") },
            Reverse::CopyAside(paths) => {
                Way::Copies(paths.iter().map(|path| Original { path: path.clone(), was_there: true }).collect())
            }
        },
        before: migration.before.clone(),
        within: migration.within,
    }
}

/// All that a journal can say: steps up to one that is at any point, the last of them by any version.
fn journals() -> Vec<Option<Journal>> {
    let mut all = vec![None, Some(Journal::default())];
    let [a, b, c] = migrations();
    for at in 1..=3 {
        for by in 2..=3 {
            for progress in [Progress::Saving, Progress::Forward, Progress::Done, Progress::Back] {
                for committed in [None, Some(2), Some(3)] {
                    let done = |migration| begun(migration, 1, by, Progress::Done, committed);
                    let last = |migration| begun(migration, 1, by, progress, None);
                    let steps = [vec![], vec![last(&a)], vec![done(&a), last(&b)], vec![done(&a), done(&b), last(&c)]];
                    all.extend(steps.map(|steps| Some(Journal { at: Some(version(at)), steps, ..Journal::default() })));
                }
            }
        }
    }
    all
}

fn situations() -> Vec<Situation> {
    let mut all = Vec::new();
    for journal in journals() {
        for running in 1..=3 {
            for (on_trial, other, carries) in [
                (false, None, true),
                (false, Some(1), true),
                (true, Some(1), true),
                (true, Some(2), true),
                (true, None, true),
                (true, Some(1), false),
                (false, Some(1), false),
            ] {
                let carried = migrations().into_iter().filter(|one| carries && one.since <= version(running)).collect();
                all.push(Situation {
                    running: version(running),
                    on_trial,
                    other: other.map(version),
                    carried: ImageMigrations { migrations: carried },
                    journal: journal.clone(),
                });
            }
        }
    }
    all
}

fn states() -> [State; 7] {
    let working = [true, false].map(|on_trial| State::Working { on_trial });
    [State::Unknown, working[0], working[1], State::Tidying, State::Settled, State::Leaving, State::Held]
}

/// What an effect makes of a journal.
fn noted(found: &Situation, effect: &Effect) -> Journal {
    let mut journal = found.journal.clone().unwrap_or_default();
    match effect {
        Effect::NoteAt(version) => journal.at = Some(version.clone()),
        Effect::Begin(name) => {
            let migration = found.carried.migrations.iter().find(|one| one.name == *name).unwrap();
            let mut step = begun(migration, 1, 1, Progress::Saving, None);
            (step.from, step.by) = (journal.at.clone().unwrap(), found.running.clone());
            journal.begin(step);
        }
        Effect::Note(name, progress) => journal.note(name, *progress),
        Effect::NoteUndone(name) => journal.undone(name),
        Effect::NoteCommitted => journal.commit(&found.running),
        _ => {}
    }
    journal
}

/// The situation after these effects.
fn after(found: &Situation, effects: &[Effect]) -> Situation {
    let mut found = found.clone();
    for effect in effects {
        found.journal = found.journal.is_some().then(|| noted(&found, effect));
    }
    found
}

/// Starts and carries out everything.
fn settled(found: &Situation) -> Situation {
    let (mut state, mut effects) = step(State::Unknown, &Event::Start(found.clone()));
    let mut found = found.clone();
    while state != State::Settled {
        found = after(&found, &effects);
        (state, effects) = step(state, &Event::Done);
    }
    found
}

fn is_known(found: &Situation) -> bool {
    found.journal.is_some()
}

#[test]
fn every_pair_of_state_and_event_is_decided_and_nothing_is_done_without_a_journal() {
    let mut pairs = 0;
    for state in states() {
        for found in situations() {
            for event in [Event::Start(found.clone()), Event::Committed(found.clone())] {
                let (next, effects) = step(state, &event);
                pairs += 1;
                if !is_known(&found) {
                    let harmless = |effect: &Effect| matches!(effect, Effect::Leave | Effect::Hold | Effect::Refuse(_));
                    assert!(effects.len() == 1 && effects.iter().all(harmless), "{effects:?}");
                }
                if let Some(Effect::Refuse(_)) = effects.first() {
                    assert_eq!((next, effects.len()), (state, 1));
                } else {
                    assert_ne!(next, State::Unknown, "{state:?}");
                }
                if effects.contains(&Effect::Leave) {
                    assert!(found.on_trial && next == State::Leaving);
                }
                if effects.contains(&Effect::Hold) {
                    assert!(!found.on_trial && next == State::Held);
                }
            }
        }
        for event in [Event::Done, Event::Failed] {
            let (next, effects) = step(state, &event);
            pairs += 1;
            assert_eq!(
                effects.contains(&Effect::Leave),
                state == State::Working { on_trial: true } && event == Event::Failed
            );
            assert!(matches!(next, State::Tidying) == matches!((state, &event), (State::Working { .. }, Event::Done)));
        }
    }
    assert!(pairs > 10_000, "{pairs}");
}

/// Wherever it is cut off, and whichever version comes up next.
#[test]
fn the_state_becomes_that_of_what_runs_whatever_was_cut_off_before() {
    let mut cuts = 0;
    for found in situations().into_iter().filter(is_known) {
        let (_, effects) = step(State::Unknown, &Event::Start(found.clone()));
        for cut in 0..=effects.len() {
            let cut_off = after(&found, &effects[..cut]);
            for running in 1..=3 {
                let mut next = cut_off.clone();
                next.running = version(running);
                next.carried.migrations = migrations().into_iter().filter(|one| one.since <= next.running).collect();
                let end = settled(&next).journal.unwrap();
                cuts += 1;
                if next.carried.migrations.is_empty() && end == Journal::default() {
                    // A host that never migrated.
                    continue;
                }
                assert_eq!(end.at, Some(next.running.clone()), "{next:?}");
                assert!(!end.is_unfinished() && end.steps.iter().all(|step| step.since <= next.running), "{end:?}");
            }
        }
    }
    assert!(cuts > 10_000, "{cuts}");
}

#[test]
fn a_second_start_does_nothing() {
    for found in situations().into_iter().filter(is_known) {
        let end = settled(&found);
        let (_, effects) = step(State::Unknown, &Event::Start(end.clone()));
        assert_eq!(effects, [], "{found:?} {end:?}");
    }
}

#[test]
fn the_way_back_is_on_the_disk_before_anything_is_changed_and_a_change_before_it_is_noted() {
    for found in situations().into_iter().filter(is_known) {
        let (_, effects) = step(State::Unknown, &Event::Start(found.clone()));
        for (index, effect) in effects.iter().enumerate() {
            let before = index.checked_sub(1).map(|index| &effects[index]);
            match effect {
                Effect::Note(_, Progress::Forward) | Effect::NoteUndone(_) if before != Some(&Effect::Sync) => {
                    // Only a step of which nothing was changed is forgotten just so.
                    let journal = after(&found, &effects[..index]).journal.unwrap();
                    let Effect::NoteUndone(name) = effect else { panic!("{effects:?}") };
                    assert_eq!(journal.step(name).unwrap().progress, Progress::Saving, "{effects:?}");
                }
                Effect::Up(name) => {
                    let journal = after(&found, &effects[..index]).journal.unwrap();
                    assert_eq!(journal.step(name).unwrap().progress, Progress::Forward);
                    assert_eq!(
                        effects[index + 1..index + 3],
                        [Effect::Sync, Effect::Note(name.clone(), Progress::Done)]
                    );
                }
                Effect::Down(name) | Effect::PutAway(name, _) | Effect::PutBack(name, _) => {
                    let journal = after(&found, &effects[..index]).journal.unwrap();
                    assert_eq!(journal.step(name).unwrap().progress, Progress::Back);
                }
                _ => {}
            }
        }
    }
}

/// The plan for version 3 on a host that is at version 1.
fn plan(running: u32, journal: Journal) -> Vec<Effect> {
    let carried = migrations().into_iter().filter(|one| one.since <= version(running)).collect();
    let found = Situation {
        running: version(running),
        on_trial: true,
        other: Some(version(1)),
        carried: ImageMigrations { migrations: carried },
        journal: Some(journal),
    };
    step(State::Unknown, &Event::Start(found)).1
}

#[test]
fn several_versions_at_once_run_every_migration_in_between_and_back_only_those_that_are_too_new() {
    let forward = plan(3, Journal::default());
    let begun_ones: Vec<_> = forward.iter().filter(|effect| matches!(effect, Effect::Begin(_))).cloned().collect();
    assert_eq!(begun_ones, ["a", "b", "c"].map(|text| Effect::Begin(name(text))));
    assert_eq!(forward.first(), Some(&Effect::NoteAt(version(1))), "whose state it was is noted before all");
    let [a, b, c] = migrations();
    let done = |migration| begun(migration, 1, 3, Progress::Done, None);
    let journal = Journal { at: Some(version(3)), steps: vec![done(&a), done(&b), done(&c)], ..Journal::default() };
    let note = |text, progress| Effect::Note(name(text), progress);
    assert_eq!(
        plan(2, journal.clone()),
        [
            note("c", Progress::Back),
            Effect::PutAway(name("c"), 0),
            Effect::PutBack(name("c"), 0),
            Effect::Sync,
            Effect::NoteUndone(name("c")),
            Effect::NoteAt(version(2)),
        ]
    );
    let undone: Vec<_> = plan(1, journal).into_iter().filter(|one| matches!(one, Effect::NoteUndone(_))).collect();
    assert_eq!(undone, ["c", "b", "a"].map(|text| Effect::NoteUndone(name(text))), "the newest first");
}

#[test]
fn a_host_that_is_new_or_runs_its_version_for_good_has_that_version_s_state() {
    for (on_trial, other, at) in [(false, None, 3), (false, Some(2), 3), (true, None, 3), (true, Some(2), 2)] {
        let carried = ImageMigrations { migrations: migrations().to_vec() };
        let journal = Some(Journal::default());
        let found = Situation { running: version(3), on_trial, other: other.map(version), carried, journal };
        let (_, effects) = step(State::Unknown, &Event::Start(found));
        assert_eq!(effects.first(), Some(&Effect::NoteAt(version(at))));
        assert_eq!(effects.contains(&Effect::Begin(name("c"))), at == 2);
        assert!(!effects.contains(&Effect::Begin(name("a"))));
    }
}

#[test]
fn a_commit_lets_copies_go_at_once_and_programs_when_nobody_can_go_back_to_before_them() {
    let [a, b, _] = migrations();
    let done = |migration| begun(migration, 1, 2, Progress::Done, None);
    let mut journal = Journal { at: Some(version(2)), steps: vec![done(&a), done(&b)], ..Journal::default() };
    journal.commit(&version(2));
    let left: Vec<_> = journal.steps.iter().map(|step| (step.name.as_str(), step.committed.clone())).collect();
    assert_eq!(left, [("a", Some(version(2)))]);
    let once = journal.clone();
    journal.commit(&version(2));
    assert_eq!(journal, once, "again at every boot");
    journal.commit(&version(3));
    assert_eq!(journal.steps, []);
}

#[test]
fn nothing_is_committed_that_is_half_done_or_of_another_version() {
    let [a, ..] = migrations();
    for progress in [Progress::Saving, Progress::Forward, Progress::Done, Progress::Back] {
        for at in [1, 2] {
            let steps = vec![begun(&a, 1, 2, progress, None)];
            let journal = Some(Journal { at: Some(version(at)), steps, ..Journal::default() });
            let carried = ImageMigrations { migrations: vec![a.clone()] };
            let found = Situation { running: version(2), on_trial: true, other: None, carried, journal };
            let (state, effects) = step(State::Unknown, &Event::Committed(found));
            let taken = progress == Progress::Done && at == 2;
            assert_eq!(taken, (state, &effects[..]) == (State::Tidying, &TIDY[..]), "{effects:?}");
        }
    }
}

#[test]
fn only_the_version_that_began_a_step_goes_on_with_it() {
    let [a, ..] = migrations();
    for by in [2, 3] {
        let steps = vec![begun(&a, 1, by, Progress::Forward, None)];
        let effects = plan(3, Journal { at: Some(version(1)), steps, ..Journal::default() });
        let goes_on = effects.first() == Some(&Effect::Up(name("a")));
        let undoes = effects.first() == Some(&Effect::Note(name("a"), Progress::Back));
        assert_eq!((goes_on, undoes), (by == 3, by == 2), "{effects:?}");
    }
}

//! Migrations of real files below a folder, cut off everywhere.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use slipway_images::migration::{Migration, Reverse};

use super::machine::{Event, State, step};
use super::*;

/// A host: `/usr` of the version that runs, `/var` of all of them.
struct World {
    root: tempfile::TempDir,
}

/// Turns `app/data` into `app/data2` and back, in parts, of which it is killed before the one that `stop` names.
const PROGRAM: &str = r#"#!/bin/sh
set -eu
root=${0%/usr/lib/app/migrate}
root=${root%/var/lib/slipway/migrations/keep/app/down}
app=$root/var/lib/app
echo "$*" >>"$root/calls"
part() { if [ -e "$root/stop-$1" ]; then rm "$root/stop-$1"; kill -9 $$; fi; }
case $1 in
up)
    part 1; if [ -e $app/data ]; then { cat $app/data; echo two; } >$app/data2.new; mv $app/data2.new $app/data2; fi
    part 2; rm -f $app/data
    part 3; mkdir -p $app/made
    ;;
down)
    part 1; if [ -e $app/data2 ]; then grep -v two $app/data2 >$app/data.new; mv $app/data.new $app/data; fi
    part 2; rm -f $app/data2 $app/data2.new
    part 3; rm -rf $app/made
    ;;
esac
"#;

const PARTS: [&str; 3] = ["1", "2", "3"];

fn version(number: u32) -> Version {
    number.to_string().parse().unwrap()
}

/// `app` by programs, `db` by copies: of a folder, of a file, and of what is not there in the old version.
fn migrations() -> Vec<Migration> {
    let program = "/usr/lib/app/migrate".to_owned();
    let copies = ["/var/lib/db", "/var/lib/db.conf", "/var/lib/db-cache"].map(str::to_owned).to_vec();
    let migration = |name: &str, up, reverse| Migration {
        name: MigrationName::new(name).unwrap(),
        since: version(2),
        up,
        reverse,
        before: vec![format!("{name}.service")],
        within: Duration::from_secs(30),
    };
    vec![
        migration("app", Some(program.clone()), Reverse::Down(program)),
        migration("db", None, Reverse::CopyAside(copies)),
    ]
}

impl World {
    /// With the state of version 1.
    fn new() -> Self {
        let world = Self { root: tempfile::tempdir().unwrap() };
        let write = |path: &str, text: &str| {
            let path = world.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("var/lib/app/data", "one\n");
        write("var/lib/db/table", "rows of one\n");
        write("var/lib/db/log/1", "");
        write("var/lib/db.conf", "size = 1\n");
        fs::hard_link(world.path("var/lib/db/table"), world.path("var/lib/db/same")).unwrap();
        std::os::unix::fs::symlink("table", world.path("var/lib/db/link")).unwrap();
        fs::set_permissions(world.path("var/lib/db/log"), fs::Permissions::from_mode(0o1770)).unwrap();
        world
    }

    fn copy_of(other: &Self) -> Self {
        let root = tempfile::tempdir().unwrap();
        assert!(Command::new("cp").arg("-aT").args([other.root.path(), root.path()]).status().unwrap().success());
        Self { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Starts a version. Version 1 knows nothing of migrations but how to undo them.
    fn boot(&self, running: u32, on_trial: bool) -> Migrations {
        self.boot_with(running, on_trial, &if running == 1 { Vec::new() } else { migrations() })
    }

    fn boot_with(&self, running: u32, on_trial: bool, migrations: &[Migration]) -> Migrations {
        let _ = fs::remove_dir_all(self.path("usr"));
        if !migrations.is_empty() {
            for folder in ["usr/lib/app", "usr/lib/slipway"] {
                fs::create_dir_all(self.path(folder)).unwrap();
            }
            let text = serde_json::to_string(&ImageMigrations { migrations: migrations.to_vec() }).unwrap();
            fs::write(self.path("usr/lib/slipway/migrations.json"), text).unwrap();
            self.program(PROGRAM);
        }
        let other = Some(version(if running == 1 { 2 } else { 1 }));
        Migrations::open(self.root.path(), Boot { running: version(running), on_trial, other }).unwrap()
    }

    /// Written by another process: as long as one that this one starts has it open, it can't be run.
    fn program(&self, text: &str) {
        let (draft, program) = (self.path("draft"), self.path("usr/lib/app/migrate"));
        fs::write(&draft, text).unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new("cp").arg(draft).arg(program).status().unwrap().success());
    }

    /// What the services of version 2 do.
    fn serve(&self) {
        for (path, text) in [("var/lib/db/table", "rows of two\n"), ("var/lib/db.conf", "size = 2\n")] {
            let mut file = fs::File::options().append(true).open(self.path(path)).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        }
        fs::create_dir_all(self.path("var/lib/db-cache/deep")).unwrap();
        fs::remove_file(self.path("var/lib/db/link")).unwrap();
    }

    /// All that is below `/var/lib` but the agent's own, with what would tell a copy from the original.
    fn state(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let base = self.path("var/lib");
        let mut waiting = vec![base.clone()];
        while let Some(path) = waiting.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let shown = path.strip_prefix(&base).unwrap().to_string_lossy().into_owned();
            let content = match meta.file_type() {
                kind if kind.is_dir() => {
                    let inner = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
                    waiting.extend(inner.filter(|path| !path.ends_with("lib/slipway")));
                    String::new()
                }
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().to_string_lossy().into_owned(),
                _ => fs::read_to_string(&path).unwrap(),
            };
            // Programs make files anew; copies have the times of the originals.
            let time =
                if shown.starts_with("db") { format!("{}.{}", meta.mtime(), meta.mtime_nsec()) } else { String::new() };
            let links = if meta.is_dir() { 0 } else { meta.nlink() };
            found.insert(shown, format!("{:o} {}:{} {links} {time} {content}", meta.mode(), meta.uid(), meta.gid()));
        }
        found
    }

    /// The old version comes to its state from here.
    fn comes_back(&self, old: &BTreeMap<String, String>, cut: &str) {
        settled(self.boot(1, false));
        assert_eq!(self.state(), *old, "{cut}");
        assert_eq!(self.put_by(), [""; 0], "{cut}");
    }

    /// The new version comes to its own, and leaves a way back.
    fn comes_on(&self, old: &BTreeMap<String, String>, cut: &str) {
        settled(self.boot(2, true));
        let state = self.state();
        assert!(state.contains_key("app/made") && !state.contains_key("app/data"), "{cut}: {state:?}");
        assert!(state.get("app/data2").is_some_and(|text| text.ends_with("one\ntwo\n")), "{cut}: {state:?}");
        self.comes_back(old, &format!("{cut}, on and back"));
    }

    fn stop_at(&self, part: &str) {
        fs::write(self.path(&format!("stop-{part}")), "").unwrap();
    }

    fn put_by(&self) -> Vec<String> {
        let keep = self.path("var/lib/slipway/migrations/keep");
        let mut names: Vec<String> = fs::read_dir(keep)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }
}

/// Carries out effects up to `limit`, as if the machine was cut off there. Says whether all came to an end.
fn cut_off(migrations: &mut Migrations, limit: usize) -> bool {
    let (mut state, mut effects) = step(State::Unknown, &Event::Start(migrations.situation()));
    let mut count = 0;
    while state != State::Settled {
        for effect in &effects {
            if count == limit || migrations.perform(effect).is_err() {
                return false;
            }
            count += 1;
        }
        (state, effects) = step(state, &Event::Done);
    }
    true
}

fn settled(mut migrations: Migrations) {
    assert_eq!(migrations.settle().unwrap(), Outcome::Settled { left_over: None });
}

fn left(mut migrations: Migrations) -> String {
    match migrations.settle().unwrap() {
        Outcome::Leave { why } => why,
        other => panic!("{other:?}"),
    }
}

fn held(mut migrations: Migrations) -> String {
    match migrations.settle().unwrap() {
        Outcome::Held { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

/// A host that version 2 has migrated and served on.
fn served() -> (World, BTreeMap<String, String>) {
    let world = World::new();
    let old = world.state();
    settled(world.boot(2, true));
    world.serve();
    (world, old)
}

#[test]
fn the_state_goes_forward_and_comes_back_as_it_was() {
    let (world, old) = served();
    assert_eq!(fs::read_to_string(world.path("var/lib/app/data2")).unwrap(), "one\ntwo\n");
    assert_eq!(world.put_by(), ["app", "db"]);
    settled(world.boot(2, true));
    assert_eq!(world.calls(), "up 1 2\n", "a second try does not migrate again");
    settled(world.boot(1, false));
    assert_eq!(world.state(), old);
    assert_eq!(world.calls(), "up 1 2\ndown 2 1\n");
    assert_eq!(world.put_by(), [""; 0]);
    assert!(fs::read_dir(world.path("var/lib/slipway/migrations/away")).unwrap().next().is_none());
}

/// Cut off before every effect of version 2, then before every effect of version 1, and then either of them comes up.
#[test]
fn whatever_is_cut_off_ends_with_the_old_state_under_the_old_version_or_the_new_one_under_the_new() {
    let base = World::new();
    let old = base.state();
    let (mut checked, mut finished) = (0, false);
    for first in 0.. {
        if finished {
            break;
        }
        let world = World::copy_of(&base);
        finished = cut_off(&mut world.boot(2, true), first);
        if finished {
            world.serve();
        }
        World::copy_of(&world).comes_on(&old, &format!("{first}"));
        let mut done = false;
        for second in 0.. {
            if done {
                break;
            }
            let world = World::copy_of(&world);
            done = cut_off(&mut world.boot(1, false), second);
            // What comes up in the end is the one or the other in turn: each run takes some dozen processes.
            let ends: fn(&World, &BTreeMap<String, String>, &str) =
                if (first + second) % 3 == 0 { World::comes_on } else { World::comes_back };
            ends(&world, &old, &format!("{first} {second}"));
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn a_program_that_is_killed_anywhere_is_resumed_or_undone() {
    let base = World::new();
    let old = base.state();
    for part in PARTS {
        let world = World::copy_of(&base);
        world.stop_at(part);
        assert!(!cut_off(&mut world.boot(2, true), usize::MAX));
        World::copy_of(&world).comes_on(&old, part);
        for back in PARTS {
            let world = World::copy_of(&world);
            world.stop_at(back);
            assert!(!cut_off(&mut world.boot(1, false), usize::MAX));
            World::copy_of(&world).comes_on(&old, &format!("{part} {back}"));
            world.comes_back(&old, &format!("{part} {back}"));
        }
    }
}

#[test]
fn a_program_that_fails_or_hangs_makes_the_version_be_left_and_nothing_of_it_stays() {
    for (text, why) in [
        ("#!/bin/sh\nrm -rf ${0%/usr/*}/var/lib/db/table\necho no such table >&2\nexit 3\n", "3: no such table"),
        ("#!/bin/sh\nsleep 60\n", "was killed when its time was up"),
    ] {
        let world = World::new();
        let old = world.state();
        let [_, db] = &migrations()[..] else { panic!() };
        let up = Some("/usr/lib/app/migrate".to_owned());
        let booted = world.boot_with(2, true, &[Migration { up, within: Duration::from_millis(500), ..db.clone() }]);
        world.program(text);
        let said = left(booted);
        assert!(said.starts_with("can't migrate db: migration db: `/usr/lib/app/migrate up 1 2` "), "{said}");
        assert!(said.ends_with(why), "{said}");
        settled(world.boot(1, false));
        assert_eq!(world.state(), old);
    }
}

#[test]
fn without_room_for_copies_nothing_is_changed() {
    let world = World::new();
    let old = world.state();
    let mut migrations = world.boot_with(2, true, &migrations()[1..]);
    migrations.keep.spare = u64::MAX >> 1;
    let why = left(migrations);
    assert!(why.starts_with("can't look for room for the copies of db: copies need "), "{why}");
    assert_eq!(world.state(), old);
    settled(world.boot(1, false));
    assert_eq!((world.state(), world.put_by()), (old, vec![]));
}

#[test]
fn what_is_elsewhere_is_not_copied() {
    let world = World::new();
    fs::rename(world.path("var/lib/db"), world.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(world.path("elsewhere"), world.path("var/lib/db")).unwrap();
    let why = left(world.boot_with(2, true, &migrations()[1..]));
    assert_eq!(
        why,
        "can't begin migration db: /var/lib/db is a symbolic link, and what it leads to would not be copied"
    );
    settled(world.boot(1, false));
    assert!(world.path("elsewhere/table").exists());
}

#[test]
fn a_journal_that_is_lost_fails_closed_and_nothing_is_deleted() {
    let (world, _) = served();
    let before = (world.state(), world.put_by());
    let files = ["a", "b"].map(|copy| world.path(&format!("var/lib/slipway/migrations/journal-{copy}")));
    for damage in [true, false] {
        for file in &files {
            if damage {
                fs::write(file, "slipway-migrations-1 9 0\n{}").unwrap();
            } else {
                fs::remove_file(file).unwrap();
            }
        }
        let words = if damage { "has a wrong checksum" } else { "copies or programs are there" };
        for why in [left(world.boot(2, true)), held(world.boot(2, false)), held(world.boot(1, false))] {
            assert!(why.contains(words), "{why}");
        }
        assert!(matches!(world.boot(2, true).commit(), Err(MigrateError::Refused(_))));
        assert!(!world.boot(2, true).are_settled());
        assert_eq!((world.state(), world.put_by()), before);
    }
}

#[test]
fn one_damaged_copy_of_the_journal_costs_nothing() {
    for copy in ["a", "b"] {
        let (world, old) = served();
        fs::write(world.path(&format!("var/lib/slipway/migrations/journal-{copy}")), "").unwrap();
        settled(world.boot(1, false));
        assert_eq!(world.state(), old);
    }
}

#[test]
fn a_kept_program_that_was_changed_does_not_run() {
    let (world, _) = served();
    let before = world.state();
    fs::write(world.path("var/lib/slipway/migrations/keep/app/down"), "#!/bin/sh\nrm -rf /\n").unwrap();
    let mut old = world.boot(1, false);
    let outcome = old.settle().unwrap();
    let Outcome::Held { why, units } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("the kept program is not the one"), "{why}");
    assert_eq!(units, ["app.service"], "what was undone may start");
    assert_eq!(world.state().get("app/data2"), before.get("app/data2"));
    assert_eq!(world.put_by(), ["app", "db"], "nothing is swept while something is half done");
}

#[test]
fn a_copy_that_is_gone_is_no_copy_that_was_put_back() {
    let (world, _) = served();
    let before = world.state();
    fs::remove_dir_all(world.path("var/lib/slipway/migrations/keep/db")).unwrap();
    let why = held(world.boot(1, false));
    assert!(why.ends_with("migration db: the copy of /var/lib/db is gone"), "{why}");
    assert_eq!(world.state(), before);
}

#[test]
fn what_could_not_be_undone_is_tried_again_at_the_next_boot() {
    let (world, old) = served();
    world.stop_at("2");
    let why = held(world.boot(1, false));
    assert!(why.starts_with("can't undo app: ") && why.ends_with("was ended by a signal"), "{why}");
    settled(world.boot(1, false));
    assert_eq!(world.state(), old);
}

#[test]
fn a_commit_lets_the_copies_go_and_an_operator_can_still_go_back() {
    let (world, _) = served();
    let mut migrations = world.boot(2, true);
    assert!(migrations.are_settled());
    assert_eq!(migrations.commit().unwrap(), Outcome::Settled { left_over: None });
    assert_eq!(world.put_by(), ["app"]);
    let served = world.state();
    settled(world.boot(2, false));
    assert_eq!((world.state(), world.put_by()), (served.clone(), vec!["app".to_owned()]));
    settled(world.boot(1, false));
    assert_eq!(fs::read_to_string(world.path("var/lib/app/data")).unwrap(), "one\n");
    assert_eq!(world.state().get("db/table"), served.get("db/table"), "what services wrote since is not thrown away");
    settled(world.boot(2, false));
    assert_eq!(world.state().get("app/data2"), served.get("app/data2"), "forward again, when it is started again");
    let mut third = world.boot(3, true);
    assert_eq!(third.settle().unwrap(), Outcome::Settled { left_over: None });
    assert_eq!(third.commit().unwrap(), Outcome::Settled { left_over: None });
    assert_eq!(world.put_by(), [""; 0], "nobody can go back to before version 2 any more");
}

#[test]
fn a_commit_that_was_cut_off_is_finished_by_the_next_boot() {
    let (world, _) = served();
    settled(world.boot(2, false));
    assert_eq!(world.put_by(), ["app"]);
}

#[test]
fn a_host_without_migrations_has_nothing_of_them() {
    let world = World::new();
    for on_trial in [true, false] {
        let mut migrations = world.boot(1, on_trial);
        assert!(migrations.are_settled());
        assert_eq!(migrations.settle().unwrap(), Outcome::Settled { left_over: None });
        assert_eq!(migrations.commit().unwrap(), Outcome::Settled { left_over: None });
    }
    assert!(!world.path("var/lib/slipway").exists());
}

#[test]
fn a_new_host_has_the_state_of_what_runs() {
    let world = World::new();
    let before = world.state();
    settled(world.boot(2, false));
    assert_eq!((world.state(), world.calls().as_str()), (before, ""));
    let migrations = world.boot(2, false);
    assert_eq!(migrations.journal().unwrap().at, Some(version(2)));
}

#[test]
fn a_declaration_that_makes_no_sense_is_named() {
    let world = World::new();
    fs::create_dir_all(world.path("usr/lib/slipway")).unwrap();
    fs::write(world.path("usr/lib/slipway/migrations.json"), "{}").unwrap();
    let error = load(world.root.path()).unwrap_err().to_string();
    assert!(error.contains("usr/lib/slipway/migrations.json make no sense"), "{error}");
}

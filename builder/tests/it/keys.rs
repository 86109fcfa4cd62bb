//! The ceremony of `keys/README.md`, walked through with the program itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use slipway_builder::keys::{KeyFolder, KeysError};
use slipway_trust::tuf::sign::TopRole;

/// Runs `slipway keys …` in `folder`; whether it went well, and what it printed.
fn keys(folder: &Path, passphrase: &str, arguments: &[&str]) -> (bool, String) {
    let mut slipway = Command::new(env!("CARGO_BIN_EXE_slipway"));
    // Without a terminal of its own it can't ask anybody.
    slipway.arg("keys").args(arguments).current_dir(folder).env("SLIPWAY_PASSPHRASE", passphrase);
    let output = slipway.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[track_caller]
fn done(folder: &Path, passphrase: &str, arguments: &[&str]) -> String {
    let (good, text) = keys(folder, passphrase, arguments);
    assert!(good, "{arguments:?}: {text}");
    text
}

#[track_caller]
fn refused(folder: &Path, passphrase: &str, arguments: &[&str], words: &str) {
    let (good, text) = keys(folder, passphrase, arguments);
    assert!(!good && text.contains(words), "{arguments:?}: {text}");
}

#[test]
fn the_ceremony_goes_as_it_is_written() {
    // Three machines: two that are never on a network, and the one that publishes.
    let [alice, bob, here] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [alice, bob, here] = [alice.path(), bob.path(), here.path()];
    let carry = |file: &str, from: &Path, to: &Path| assert!(fs::copy(from.join(file), to.join(file)).unwrap() > 0);

    // 1. Root keys.
    done(alice, "alice's own phrase", &["new", "alice.pem"]);
    done(bob, "bob's own phrase", &["new", "bob.pem"]);
    refused(bob, "short", &["new", "carol.pem"], "at least 8 characters");
    refused(bob, "bob's own phrase", &["new", "bob.pem"], "could not be written");
    let private = alice.join("alice.pem");
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&private).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));

    // 2. The first root.
    carry("alice.pub.pem", alice, here);
    carry("bob.pub.pem", bob, here);
    let init = ["init", "keys", "--root", "alice.pub.pem", "--root", "bob.pub.pem", "--threshold", "2"];
    refused(
        here,
        "online phrase",
        &["init", "keys", "--root", "alice.pub.pem", "--threshold", "2"],
        "needs 2 signatures",
    );
    assert!(!here.join("keys").exists());
    let told = done(here, "online phrase", &init);
    assert!(told.contains("0 of 2 signatures"), "{told}");
    refused(here, "online phrase", &init, "holds keys already");

    // 3. Signed on two machines, one after the other.
    let folder = here.join("keys");
    carry("1.root.draft.json", &folder, alice);
    refused(alice, "wrong phrase", &["sign", "1.root.draft.json", "--key", "alice.pem"], "can't be opened");
    let told = done(alice, "alice's own phrase", &["sign", "1.root.draft.json", "--key", "alice.pem"]);
    assert!(told.contains("1 of 2 signatures"), "{told}");
    carry("1.root.draft.json", alice, bob);
    done(bob, "bob's own phrase", &["sign", "1.root.draft.json", "--key", "bob.pem"]);
    fs::rename(bob.join("1.root.json"), here.join("copy.json")).unwrap();

    // 4. Brought home.
    refused(here, "", &["show", "nowhere"], "holds no root");
    let told = done(here, "", &["sign", "keys/1.root.draft.json", "--merge", "copy.json"]);
    assert!(told.contains("1.root.json is the root now"), "{told}");
    assert!(!folder.join("1.root.draft.json").exists());
    let told = done(here, "", &["show", "keys"]);
    assert!(told.contains("root version 1") && told.contains("root: 2 of"), "{told}");

    // 5. A year later: another timestamp key, and alice leaves. Copies are signed at the same time.
    done(bob, "carol's own phrase", &["new", "carol.pem"]);
    carry("carol.pub.pem", bob, here);
    let alices = KeyFolder::at(&folder).root().unwrap().root.key_ids[0].to_string();
    let rotate =
        ["rotate", "keys", "--replace", "timestamp", "--add-root", "carol.pub.pem", "--remove-root", &alices[..12]];
    done(here, "online phrase", &rotate);
    refused(here, "online phrase", &["rotate", "keys"], "waits for signatures");
    let old = fs::read(folder.join("timestamp.pub.pem")).unwrap();
    for (machine, phrase, key) in [(alice, "alice's own phrase", "alice.pem"), (bob, "bob's own phrase", "bob.pem")] {
        carry("2.root.draft.json", &folder, machine);
        // Without the root before, it can be signed all the same.
        let told = done(machine, phrase, &["sign", "2.root.draft.json", "--key", key]);
        assert!(told.contains("\n1.root.json isn't beside it") && !told.contains("of the root before\n"), "{told}");
    }
    let merge = |machine: &Path| machine.join("2.root.draft.json").to_str().unwrap().to_owned();
    let told = done(here, "", &["sign", "keys/2.root.draft.json", "--merge", &merge(alice), "--merge", &merge(bob)]);
    // Enough of the keys before, not enough of its own: carol's is missing.
    assert!(told.contains("1 of 2 signatures of its own keys, 2 of 2 of the root before"), "{told}");
    assert_eq!(fs::read(folder.join("timestamp.pub.pem")).unwrap(), old);
    carry("carol.pem", bob, here);
    let told = done(here, "carol's own phrase", &["sign", "keys/2.root.draft.json", "--key", "carol.pem"]);
    assert!(told.contains("2.root.json is the root now"), "{told}");
    assert_ne!(fs::read(folder.join("timestamp.pub.pem")).unwrap(), old);
    assert!(!folder.join("timestamp-next.pem").exists());

    // The folder's keys are those that the root names.
    let root = KeyFolder::at(&folder).root().unwrap();
    for role in [TopRole::Targets, TopRole::Snapshot, TopRole::Timestamp] {
        let ask = |_: &Path| Ok(slipway_builder::keys::Passphrase::known("online phrase".to_owned()));
        let key = KeyFolder::at(&folder).signing_key(role, &ask).unwrap();
        assert_eq!(role.of(&root).key_ids, [key.id()]);
    }
}

/// As the README says: the roots before travel with the draft.
#[test]
fn a_later_root_is_signed_elsewhere_as_well() {
    let [home, away] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [home, away] = [home.path(), away.path()];
    let carry = |name: &str, from: &Path, to: &Path| assert!(fs::copy(from.join(name), to.join(name)).unwrap() > 0);
    done(home, "", &["init", "k", "--development"]);
    let folder = home.join("k");
    carry("root.pem", &folder, away);
    fs::remove_file(folder.join("root.pem")).unwrap();
    for version in 2..=3 {
        let [draft, root] = ["draft.json", "json"].map(|rest| format!("{version}.root.{rest}"));
        done(home, "", &["rotate", "k", "--replace", "timestamp", "--unprotected"]);
        carry(&draft, &folder, away);
        let sign = ["sign", draft.as_str(), "--key", "root.pem"];
        let told = done(away, "", &sign);
        let before = format!("{}.root.json", version - 1);
        assert!(told.contains(&format!("\n{before} isn't beside it")) && !away.join(&root).exists(), "{told}");
        assert!(!told.contains("of the root before"), "{told}");
        carry(&before, &folder, away);
        let told = done(away, "", &sign);
        assert!(told.contains(&format!("{root} is the root now")), "{told}");
        fs::rename(away.join(&root), home.join(&root)).unwrap();
        let told = done(home, "", &["sign", &format!("k/{draft}"), "--merge", &root]);
        assert!(told.contains(&format!("k/{root} is the root now")), "{told}");
    }
}

#[test]
fn development_keys_are_made_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let told = done(folder.path(), "", &["init", "--development"]);
    assert!(told.contains("1.root.json is the root now") && told.contains("development keys"), "{told}");
    assert!(folder.path().join("keys/private/1.root.json").exists());
    let root = KeyFolder::at(&folder.path().join("keys/private")).root().unwrap();
    assert_eq!(root.header.version.number(), 1);
}

#[test]
fn a_folder_whose_first_keys_were_cut_off_says_what_to_delete() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("k").join(name);
    done(folder.path(), "alice's own phrase", &["new", "alice.pem"]);
    let ours = ["init", "k", "--root", "alice.pub.pem", "--unprotected"];
    let development = ["init", "k", "--development"];
    fs::create_dir(path("")).unwrap();
    // A root key with this name may be anybody's, unless one of that name is to be made.
    for (names, init) in [
        (&["targets.pem"][..], &ours[..]),
        (&["targets.pub.pem", "targets.pem", "snapshot.pub.pem"], &ours),
        (&["root.pem"], &development),
    ] {
        for name in names {
            fs::write(path(name), "left").unwrap();
        }
        let files = names.iter().map(|name| format!("k/{name}")).collect::<Vec<_>>().join(" ");
        refused(folder.path(), "", init, &format!("delete them to start again: {files}\n"));
        assert_eq!(fs::read_dir(path("")).unwrap().count(), names.len());
        for name in names {
            fs::remove_file(path(name)).unwrap();
        }
    }
    fs::write(path("root.pem"), "another").unwrap();
    done(folder.path(), "", &ours);
    refused(folder.path(), "", &ours, "holds keys already");
}

#[test]
fn a_draft_that_was_deleted_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let rotate = ["rotate", "k", "--replace", "timestamp", "--unprotected"];
    done(folder.path(), "", &["init", "k", "--development"]);
    done(folder.path(), "", &rotate);
    fs::remove_file(folder.path().join("k/2.root.draft.json")).unwrap();
    done(folder.path(), "", &rotate);
    let told = done(folder.path(), "", &["sign", "k/2.root.draft.json", "--key", "k/root.pem"]);
    assert!(told.contains("2.root.json is the root now"), "{told}");
}

/// Between the root that names a new key and that key's place, a machine may be switched off at any point.
#[test]
fn a_root_that_is_adopted_halfway_loses_none_of_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let rotate = ["rotate", "k", "--replace", "timestamp", "--unprotected"];
    let sign = ["sign", "k/2.root.draft.json", "--key", "k/root.pem"];
    done(folder.path(), "", &["init", "k", "--development"]);
    done(folder.path(), "", &rotate);
    let files =
        ["timestamp.pem", "timestamp.pub.pem", "timestamp-next.pem", "timestamp-next.pub.pem", "2.root.draft.json"];
    let path = |name: &str| folder.path().join("k").join(name);
    let [private, public, next, next_public, draft] = files.map(|name| fs::read(path(name)).unwrap());
    done(folder.path(), "", &sign);
    let root = KeyFolder::at(&path("")).root().unwrap();
    let nobody = |path: &Path| Err(KeysError::NobodyToAsk(path.to_owned()));
    let named = || {
        let key = slipway_builder::keys::read(&path("timestamp.pem"), &nobody).unwrap();
        root.timestamp.key_ids == [key.id()] && fs::read(path("timestamp.pub.pem")).unwrap() == next_public
    };
    assert!(named());
    // Nothing has its place yet; the private half does; all but the draft is done.
    let states = [
        [Some(&private), Some(&public), Some(&next), Some(&next_public), Some(&draft)],
        [Some(&next), Some(&public), None, Some(&next_public), Some(&draft)],
        [Some(&next), Some(&next_public), None, None, Some(&draft)],
    ];
    for (number, state) in states.into_iter().enumerate() {
        let cut_off = || {
            for (name, bytes) in files.iter().zip(state) {
                let _ = fs::remove_file(path(name));
                if let Some(bytes) = bytes {
                    fs::write(path(name), bytes).unwrap();
                }
            }
        };
        // Whatever comes next finishes it: the same again, a release, or the next rotation.
        cut_off();
        let told = done(folder.path(), "", &sign);
        assert!(
            told.contains("2.root.json is the root now") && named() && !path("2.root.draft.json").exists(),
            "{number}: {told}"
        );
        cut_off();
        KeyFolder::at(&path("")).signing_key(TopRole::Timestamp, &nobody).unwrap();
        assert!(named() && !path("timestamp-next.pem").exists(), "{number}");
        cut_off();
        done(folder.path(), "", &rotate);
        assert!(named() && path("timestamp-next.pem").exists(), "{number}");
        fs::remove_file(path("3.root.draft.json")).unwrap();
    }
}

/// A disk that was full, or a machine that was switched off, before there was a draft that names the new key.
#[test]
fn a_key_that_was_not_written_whole_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("k").join(name);
    done(folder.path(), "", &["init", "k", "--development"]);
    let nobody = |path: &Path| Err(KeysError::NobodyToAsk(path.to_owned()));
    let signing_key = || KeyFolder::at(&path("")).signing_key(TopRole::Timestamp, &nobody);
    for private in [None, Some("half")] {
        fs::write(path("timestamp-next.pub.pem"), "").unwrap();
        if let Some(private) = private {
            fs::write(path("timestamp-next.pem"), private).unwrap();
        }
        assert!(signing_key().is_ok());
        done(folder.path(), "", &["rotate", "k", "--replace", "timestamp", "--unprotected"]);
        done(folder.path(), "", &["sign", "k/2.root.draft.json"]);
        fs::remove_file(path("2.root.draft.json")).unwrap();
    }
    // What the root names can't be done without.
    done(folder.path(), "", &["rotate", "k", "--replace", "timestamp", "--unprotected"]);
    let next = fs::read(path("timestamp-next.pub.pem")).unwrap();
    let rest = [fs::read(path("timestamp.pub.pem")).unwrap(), fs::read(path("timestamp.pem")).unwrap()];
    done(folder.path(), "", &["sign", "k/2.root.draft.json", "--key", "k/root.pem"]);
    fs::write(path("timestamp-next.pub.pem"), &next[..7]).unwrap();
    fs::write(path("timestamp.pub.pem"), &rest[0]).unwrap();
    fs::write(path("timestamp.pem"), &rest[1]).unwrap();
    let refused = signing_key().unwrap_err();
    assert!(refused.to_string().contains("timestamp-next.pub.pem is no public"), "{refused}");
}

#[test]
fn a_key_file_is_there_whole_or_not_at_all_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Where the disk is full, and where the machine is switched off at the first byte.
    for signal in ["trap '' XFSZ", "trap - XFSZ"] {
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("ulimit -f 0; {signal}; exec \"$0\" keys new alice.pem --unprotected")]);
        let output = sh.arg(env!("CARGO_BIN_EXE_slipway")).current_dir(folder.path()).output().unwrap();
        assert!(!output.status.success() && !path("alice.pem").exists() && !path("alice.pub.pem").exists());
    }
    fs::write(path("alice.pub.pem"), "mine").unwrap();
    refused(folder.path(), "alice's own phrase", &["new", "alice.pem"], "alice.pub.pem could not be written");
    assert_eq!(fs::read_to_string(path("alice.pub.pem")).unwrap(), "mine");
}

#[test]
fn a_root_counts_for_days_that_make_sense() {
    let folder = tempfile::tempdir().unwrap();
    for days in ["0", "36501", "18446744073709551615"] {
        refused(folder.path(), "", &["init", "k", "--development", "--expires-in", days], "is not in 1..=36500");
    }
    assert!(!folder.path().join("k").exists());
}

#[test]
fn a_root_that_is_about_to_expire_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), "", &["init", "k", "--development", "--expires-in", "30"]);
    let told = done(folder.path(), "", &["show", "k"]);
    assert!(told.contains("the root expires in 29 days") || told.contains("the root expires in 30 days"), "{told}");
}

#[test]
fn a_changed_root_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), "", &["init", "k", "--development"]);
    let path = folder.path().join("k/1.root.json");
    let text =
        fs::read_to_string(&path).unwrap().replace("\"consistent_snapshot\": true", "\"consistent_snapshot\": false");
    fs::write(&path, text).unwrap();
    refused(folder.path(), "", &["show", "k"], "1.root.json is not to be trusted: it has 0 of the 1 signatures");
}

/// Other tools read and make the same files.
#[test]
fn openssl_reads_our_keys_and_we_read_its() {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    done(folder.path(), "a long phrase", &["new", "ours.pem"]);
    let public = openssl(&["pkey", "-in", "ours.pem", "-passin", "pass:a long phrase", "-pubout"]);
    assert_eq!(public, fs::read(folder.path().join("ours.pub.pem")).unwrap());

    openssl(&["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:their phrase", "-out", "theirs.pem"]);
    let public = openssl(&["pkey", "-in", "theirs.pem", "-passin", "pass:their phrase", "-pubout"]);
    fs::write(folder.path().join("theirs.pub.pem"), public).unwrap();
    done(folder.path(), "online phrase", &["init", "k", "--root", "theirs.pub.pem"]);
    let told = done(folder.path(), "their phrase", &["sign", "k/1.root.draft.json", "--key", "theirs.pem"]);
    assert!(told.contains("is the root now"), "{told}");
}

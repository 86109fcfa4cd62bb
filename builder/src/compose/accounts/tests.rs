#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::compose::fixture::{package, recipe, user};
use crate::recipe::Group;

const NONE: BTreeMap<String, u32> = BTreeMap::new();

fn base() -> Package {
    let passwd = "root:*:0:0:root:/root:/bin/bash\ndaemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";
    let group = "root:*:0:\ndaemon:*:1:\nshadow:*:42:\nnogroup:*:65534:\n";
    package(
        "base-passwd",
        &[("/usr/share/base-passwd/passwd.master", passwd), ("/usr/share/base-passwd/group.master", group)],
    )
}

fn services() -> Package {
    let text = "# comment\ng input -\nu messagebus - \"System Message Bus\" /nonexistent\nu sshd -:nogroup \"sshd user\" \
                /run/sshd\nu! systemd-network - \"systemd Network Management\"\nu www-data 33\nm messagebus input\n";
    package("services", &[("/usr/lib/sysusers.d/services.conf", text)])
}

#[test]
fn the_four_files_of_a_small_host() {
    let mut recipe = recipe();
    recipe.users.push(crate::recipe::User { groups: vec!["docker".to_owned()], ..user("core") });
    let packages = [base(), services(), package("docker.io", &[])];
    let accounts = assign(&packages, &recipe, (&NONE, &NONE)).unwrap();
    assert_eq!(
        passwd(&accounts),
        "root:x:0:0:root:/root:/bin/bash\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         messagebus:x:998:998:System Message Bus:/nonexistent:/usr/sbin/nologin\n\
         sshd:x:997:65534:sshd user:/run/sshd:/usr/sbin/nologin\n\
         systemd-network:x:996:996:systemd Network Management:/:/usr/sbin/nologin\n\
         www-data:x:33:33::/:/usr/sbin/nologin\n\
         core:x:1000:1000::/var/home/core:/bin/bash\n"
    );
    assert_eq!(
        group(&accounts),
        "root:x:0:\ndaemon:x:1:\nshadow:x:42:\nnogroup:x:65534:\ninput:x:999:messagebus\nmessagebus:x:998:\n\
         systemd-network:x:996:\nwww-data:x:33:\ndocker:x:995:core\ncore:x:1000:\n"
    );
    assert_eq!(
        shadow(&accounts),
        "root:*::0:99999:7:::\ndaemon:*::0:99999:7:::\nmessagebus:!*::0:99999:7:::\nsshd:!*::0:99999:7:::\n\
         systemd-network:!*::0:99999:7::1:\nwww-data:!*::0:99999:7:::\ncore:!*::0:99999:7:::\n"
    );
    assert!(gshadow(&accounts).contains("docker:!*::core\n"));
}

#[test]
fn pins_hold_when_packages_come_and_go() {
    let recipe = recipe();
    let before = assign(&[base(), services()], &recipe, (&NONE, &NONE)).unwrap();
    assert!(!before.pinned_users.contains_key("www-data"), "a fixed id needs no pin");
    assert_eq!(before.unpinned(&NONE, &NONE), ["input", "messagebus", "sshd", "systemd-network"]);
    let earlier = package("earlier", &[("/usr/lib/sysusers.d/a.conf", "u aaa -\n")]);
    let pins = (&before.pinned_users, &before.pinned_groups);
    let after = assign(&[base(), earlier.clone(), services()], &recipe, pins).unwrap();
    for (name, uid) in &before.pinned_users {
        assert_eq!(after.uid(name), Some(*uid), "{name}");
    }
    assert_eq!(after.unpinned(pins.0, pins.1), ["aaa"]);
    let without = assign(&[base(), earlier], &recipe, pins).unwrap();
    assert!(!before.pinned_users.values().any(|pin| Some(*pin) == without.uid("aaa")), "ids of the gone stay theirs");
}

#[test]
fn roots_password_is_the_recipes_or_none() {
    let mut recipe = recipe();
    let accounts = assign(&[base()], &recipe, (&NONE, &NONE)).unwrap();
    assert!(shadow(&accounts).starts_with("root:*:"));
    recipe.users.push(crate::recipe::User { password_hash: Some("$y$j9T$x$y".to_owned()), ..user("root") });
    let accounts = assign(&[base()], &recipe, (&NONE, &NONE)).unwrap();
    assert!(shadow(&accounts).starts_with("root:$y$j9T$x$y:"));
    assert!(passwd(&accounts).starts_with("root:x:0:0:root:/root:/bin/bash\n"), "its home stays");
}

#[test]
fn two_accounts_never_share_an_id() {
    let mut recipe = recipe();
    recipe.groups = vec![Group { name: "a".to_owned(), gid: Some(42) }];
    let error = assign(&[base()], &recipe, (&NONE, &NONE)).unwrap_err();
    assert_eq!(error.to_string(), "group id 42 is wanted by `shadow` and by `a`");
}

#[test]
fn a_user_in_a_group_that_nobody_makes_is_an_error() {
    let mut recipe = recipe();
    recipe.users.push(crate::recipe::User { groups: vec!["docker".to_owned()], ..user("core") });
    assert!(matches!(assign(&[base()], &recipe, (&NONE, &NONE)), Err(AccountError::UnknownGroup { .. })));
}

#[test]
fn text_that_would_add_an_account_is_refused() {
    let mut recipe = recipe();
    recipe.users.push(crate::recipe::User { password_hash: Some("x\nevil::0:0".to_owned()), ..user("core") });
    assert!(matches!(assign(&[base()], &recipe, (&NONE, &NONE)), Err(AccountError::BadText(_))));
}

#[test]
fn ranges_say_where_ids_come_from() {
    let ranged = package("r", &[("/usr/lib/sysusers.d/r.conf", "r - 300-310\nu one -\n")]);
    assert_eq!(assign(&[base(), ranged], &recipe(), (&NONE, &NONE)).unwrap().uid("one"), Some(310));
}

#[test]
fn what_only_the_machine_knows_is_refused() {
    for bad in ["u a /usr/bin/x", "u %u -", "u a 65535", "x a", "u", "m a", "u a \"open", "r - 9-3"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        parse("u a 5:7 - /x /bin/sh").unwrap()[0],
        Line::User {
            name: "a".to_owned(),
            uid: Some(5),
            group: GroupOf::Id(7),
            gecos: String::new(),
            home: Some("/x".to_owned()),
            shell: Some("/bin/sh".to_owned()),
            locked: false,
        }
    );
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[ugmr!\"'\\\\ a-z0-9:/%\n-]{0,200}") {
        let _ = parse(&text);
    }
}

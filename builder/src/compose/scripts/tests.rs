#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;

fn package(scripts: &[(&str, &str)]) -> Package {
    Package {
        name: "demo".into(),
        version: "1.0-1".to_owned(),
        control: BTreeMap::new(),
        scripts: scripts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        control_files: BTreeMap::new(),
        entries: Vec::new(),
    }
}

fn class_of(script: &str, text: &str) -> Class {
    check(&[package(&[(script, text)])], &[]).unwrap().verdicts.remove(0).class
}

#[test]
fn scripts_that_do_nothing_here_are_told_apart() {
    assert_eq!(class_of("postinst", "#!/bin/sh\nset -e\nexit 0\n"), Class::Empty);
    let debhelper =
        "#!/bin/sh\nset -e\n# Automatically added by dh_installtmpfiles/13\nx\n# End automatically added section\n";
    assert_eq!(class_of("postinst", debhelper), Class::DebhelperOnly);
    for script in ["prerm", "postrm", "config"] {
        assert_eq!(class_of(script, "rm -rf /var/lib/demo"), Class::NotRun);
    }
}

#[test]
fn a_known_text_is_modelled_whatever_its_comments() {
    let mut postinst = "pam-auth-update --package\n".to_owned();
    let systemd = |text: &str| Package { name: "libpam-systemd".into(), ..package(&[("postinst", text)]) };
    let report = check(&[systemd(&postinst)], &[]).unwrap();
    assert!(matches!(report.verdicts[0].class, Class::Modelled { effect: "pam", .. }));
    postinst.insert_str(0, "#!/bin/sh\n# Copyright\n\nset -e\n");
    check(&[systemd(&postinst)], &[]).unwrap();
    postinst.push_str("useradd mallory\n");
    let error = check(&[systemd(&postinst)], &[]).unwrap_err().to_string();
    assert!(error.contains("`postinst` of libpam-systemd 1.0-1 has changed"), "{error}");
}

#[test]
fn an_unknown_script_stops_with_what_to_write_and_accepting_it_helps() {
    let text = "#!/bin/sh\nmkdir -p /srv/demo\n";
    let packages = [package(&[("postinst", text)])];
    let error = check(&packages, &[]).unwrap_err().to_string();
    let sha256 = Digest::of(text.as_bytes());
    for expected in ["demo 1.0-1", "    mkdir -p /srv/demo\n", "[[accept-script]]", &format!("sha256 = \"{sha256}\"")] {
        assert!(error.contains(expected), "{expected} in {error}");
    }
    let mut accepted = AcceptedScript {
        package: "demo".to_owned(),
        script: "postinst".to_owned(),
        sha256,
        reason: "a [[directory]] does it".to_owned(),
    };
    let report = check(&packages, std::slice::from_ref(&accepted)).unwrap();
    assert_eq!(report.verdicts[0].class, Class::Accepted { reason: accepted.reason.clone() });
    assert!(report.unneeded.is_empty());
    accepted.sha256 = Digest::of(b"an older text");
    assert!(check(&packages, &[accepted.clone()]).is_err());
    assert_eq!(check(&[], &[accepted]).unwrap().unneeded, ["demo postinst"]);
}

#![allow(clippy::unwrap_used)]

use slipway_images::tree::Meta;

use super::*;

#[derive(Default)]
struct Made(RootTree);

impl Made {
    fn file(mut self, path: &str, text: &str) -> Self {
        let mode = if path.contains("bin/") { 0o755 } else { 0o644 };
        self.0.insert_file(TreePath::new(path).unwrap(), mode, text, Origin::Package("demo".into())).unwrap();
        self
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        self.0.insert_symlink(TreePath::new(path).unwrap(), target, Origin::Recipe).unwrap();
        self
    }

    fn found(&self) -> Vec<(Severity, String)> {
        check(&self.0).unwrap().into_iter().map(|finding| (finding.severity, finding.to_string())).collect()
    }

    /// The only finding.
    fn only(&self) -> (Severity, String) {
        let mut found = self.found();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }
}

#[test]
fn scripts_without_their_interpreter_are_found() {
    let made = Made::default().file("/usr/bin/a", "#!/usr/bin/perl -w\n").link("/bin", "usr/bin");
    let error = "`/usr/bin/a` (package demo) is a script for `/usr/bin/perl`, which isn't in the image";
    assert_eq!(made.only(), (Severity::Error, error.to_owned()));
    let made = made.file("/usr/bin/perl", "");
    assert_eq!(made.found(), []);
    let made = made.file("/usr/bin/b", "#!/bin/env -S X=1 python3 -u\n").file("/usr/bin/env", "");
    assert!(made.only().1.contains("`python3`"));
    let made = Made::default().file("/usr/share/x/bin/a", "#! /bin/nothing\n");
    assert_eq!(made.only().0, Severity::Warning);
}

#[test]
fn links_into_what_comes_at_run_time_are_no_finding() {
    let made = Made::default()
        .link("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
        .link("/etc/systemd/system/x.service", "/dev/null")
        .link("/usr/lib/ssl", "/etc/ssl");
    assert_eq!(made.only().1, "`/usr/lib/ssl` (recipe) is a link to `/etc/ssl`, which isn't in the image");
    let made = Made::default().link("/usr/bin/awk", "/etc/alternatives/awk").link("/etc/alternatives/awk", "awk");
    assert!(made.found().iter().all(|(severity, what)| *severity == Severity::Error && what.contains("circle")));
}

#[test]
fn programs_of_units_count_when_a_boot_starts_them() {
    let unit =
        "[Service]\nExecStartPre=-/usr/bin/optional\nExecStart=@+/usr/bin/missing name\nExecStop=/bin/sh -c %n\n";
    let made = Made::default().file("/usr/lib/systemd/system/x.service", unit).file("/bin/sh", "");
    let severities: Vec<Severity> = made.found().into_iter().map(|(severity, _)| severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Note], "nothing starts it");
    let made = made
        .file("/usr/lib/systemd/system/multi-user.target", "[Unit]\nWants=x.socket\n")
        .file("/usr/lib/systemd/system/x.socket", "[Socket]\n");
    assert_eq!(made.found()[0].0, Severity::Error);
    let drop_in = made.file("/etc/systemd/system/x.service.d/a.conf", "[Service]\nExecStart=\nExecStart=/bin/sh\n");
    assert_eq!(drop_in.only().0, Severity::Note);
}

#[test]
fn a_unit_whose_condition_never_holds_or_that_is_masked_needs_nothing() {
    let enabled = |text: &str| {
        Made::default()
            .file("/usr/lib/systemd/system/default.target", "")
            .file("/usr/lib/systemd/system/x@.service", text)
            .link("/etc/systemd/system/default.target.wants/x@1.service", "/usr/lib/systemd/system/x@.service")
    };
    let text = "[Service]\nExecStart=/usr/bin/missing\nRequires=y.service dev-x.device\n";
    // An empty unit file is a masked one, so the target needs a text to pull anything in.
    assert!(enabled(text).found().iter().all(|(severity, _)| *severity == Severity::Warning));
    let enabled = |text: &str| enabled(text).file("/usr/lib/systemd/system/default.target", "[Unit]\n");
    let found = enabled(text).found();
    assert!(found[0].1.contains("requires y.service") || found[1].1.contains("requires y.service"), "{found:?}");
    assert!(found.iter().all(|(severity, _)| *severity == Severity::Error));
    let conditional = "[Unit]\nConditionPathExists=/etc/missing\n[Service]\nExecStart=/usr/bin/missing\n";
    assert_eq!(enabled(conditional).found(), []);
    let negated = "[Unit]\nConditionPathExists=!/etc/missing\n[Service]\nExecStart=/usr/bin/missing\n";
    assert_eq!(enabled(negated).found().len(), 1);
    let masked = enabled(text).link("/etc/systemd/system/x@.service", "/dev/null");
    assert_eq!(masked.found(), []);
}

#[test]
fn pam_dbus_and_udev_are_looked_at() {
    let pam = "# comment\nauth required pam_unix.so\nauth [success=1 default=ignore] pam_gone.so x\n\
        -auth optional pam_maybe.so\n@include common\n";
    let made = Made::default()
        .file("/usr/lib/x86_64-linux-gnu/security/pam_unix.so", "")
        .file("/etc/pam.d/login", pam)
        .file("/usr/share/dbus-1/system-services/a.service", "[D-BUS Service]\nExec=/usr/bin/gone\n")
        .file(
            "/usr/lib/udev/rules.d/a.rules",
            "SUBSYSTEM==\"x\", IMPORT{program}=\"gone_id $devnode\", RUN{builtin}+=\"kmod\"\n",
        );
    let found = made.found();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].0 == Severity::Error && found[0].1.contains("pam_gone.so"));
    assert!(found[1].1.contains("runs `gone_id`") && found[2].1.contains("starts `/usr/bin/gone`"));
}

#[test]
fn errors_stop_and_say_what_to_do() {
    let made = Made::default().file("/usr/bin/a", "#!/usr/bin/perl\n").link("/usr/share/x", "y");
    let error = stop_on_errors(check(&made.0).unwrap()).unwrap_err();
    assert_eq!(error.0.len(), 1);
    assert!(error.to_string().contains("[prune] drop"), "{error}");
    let fine = stop_on_errors(check(&made.file("/usr/bin/perl", "").0).unwrap()).unwrap();
    assert_eq!(fine.len(), 1);
}

#[test]
fn a_plain_file_is_nothing_to_worry_about() {
    let mut tree = RootTree::new();
    let kind = Kind::File(Content::from_bytes(*b"#"));
    let node = Node { meta: Meta::root_owned(0o755), kind, origin: Origin::Recipe };
    tree.insert(TreePath::new("/usr/bin/x").unwrap(), node).unwrap();
    assert_eq!(check(&tree).unwrap(), []);
}

#![allow(clippy::unwrap_used)]

use super::*;

const UNIX: &str = "\
Name: Unix authentication
Default: yes
Priority: 256
Auth-Type: Primary
Auth:
\t[success=end default=ignore]\tpam_unix.so nullok try_first_pass
Auth-Initial:
\t[success=end default=ignore]\tpam_unix.so nullok
Session-Type: Additional
Session:
\trequired\tpam_unix.so
Session-Initial:
\trequired\tpam_unix.so
";
const SSS: &str = "\
Name: SSS
Default: yes
Priority: 128
Auth-Type: Primary
Auth-Final:
\t[success=end default=ignore]\tpam_sss.so use_first_pass
";
const SYSTEMD: &str = "\
Name: Register user sessions in the systemd control group hierarchy
Default: yes
Priority: 0
Session-Interactive-Only: yes
Session-Type: Additional
Session:
\toptional\tpam_systemd.so
";
const HOMES: &str = "Name: Homes\nDefault: no\nSession-Type: Additional\nSession:\n\toptional\tpam_mkhomedir.so\n";

fn template(word: &str) -> String {
    format!(
        "# head\n# here are the per-package modules (the \"Primary\" block)\n$x_primary\n\
         # here's the fallback if no module succeeds\n{word}\trequisite\tpam_deny.so\n\
         # and here are more per-package modules (the \"Additional\" block)\n$x_additional\n\
         # end of pam-auth-update config\n"
    )
}

fn body(kind: &str, word: &str) -> String {
    let named = [("homes", HOMES), ("systemd", SYSTEMD), ("sss", SSS), ("unix", UNIX)];
    let profiles = named.map(|(name, text)| Profile::parse(name, text));
    let text = fill(&template(word), &enabled(profiles.into()), kind, word).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn a_success_jumps_over_the_rest_of_the_block_and_the_denial() {
    assert_eq!(
        body("Auth", "auth"),
        "auth\t[success=2 default=ignore]\tpam_unix.so nullok\n\
         auth\t[success=1 default=ignore]\tpam_sss.so use_first_pass\n\
         auth\trequisite\tpam_deny.so\n"
    );
}

/// As on a real Debian 13, with the blank at the end of lines without options.
#[test]
fn sessions_of_people_and_of_services_are_told_apart() {
    let head =
        "session\t[default=1]\t\t\tpam_permit.so\nsession\trequisite\tpam_deny.so\nsession\trequired\tpam_unix.so \n";
    assert_eq!(body("Session", "session"), format!("{head}session\toptional\tpam_systemd.so \n"));
    assert_eq!(body("Session-noninteractive", "session"), head);
}

#[test]
fn of_two_profiles_in_conflict_the_higher_priority_stays() {
    let low = Profile::parse("low", "Default: yes\nPriority: 1\nAuth-Type: Primary\nAuth:\n\trequired a.so\n");
    let high = Profile::parse(
        "high",
        "Default: yes\nPriority: 9\nConflicts: low, other\nAuth-Type: Primary\nAuth:\n\trequired b.so\n",
    );
    let kept = enabled(vec![low, high]);
    assert_eq!(kept.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>(), ["high"]);
}

#[test]
fn a_template_without_its_marks_is_no_template() {
    assert!(fill("# nothing\n", &[], "Auth", "auth").is_none());
}

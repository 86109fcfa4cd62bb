//! The text of `passwd`, `group`, `shadow` and `gshadow` (passwd(5), shadow(5)).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Account, AccountError, Accounts, GroupAccount};

/// `/etc/passwd`
pub fn passwd(accounts: &Accounts) -> String {
    let mut text = String::new();
    for user in &accounts.users {
        let Account { name, uid, gid, gecos, home, shell, .. } = user;
        let _ = writeln!(text, "{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}");
    }
    text
}

/// `/etc/group`
pub fn group(accounts: &Accounts) -> String {
    let mut text = String::new();
    for group in &accounts.groups {
        let _ = writeln!(text, "{}:x:{}:{}", group.name, group.gid, members(group));
    }
    text
}

/// `/etc/shadow`. The date of the last change is left empty, which turns password ageing off: a date would differ from
/// build to build and expire passwords on a read-only root.
pub fn shadow(accounts: &Accounts) -> String {
    let mut text = String::new();
    for user in &accounts.users {
        let expiry = if user.expired { "1" } else { "" };
        let _ = writeln!(text, "{}:{}::0:99999:7::{expiry}:", user.name, user.password);
    }
    text
}

/// `/etc/gshadow`
pub fn gshadow(accounts: &Accounts) -> String {
    let mut text = String::new();
    for group in &accounts.groups {
        let _ = writeln!(text, "{}:!*::{}", group.name, members(group));
    }
    text
}

fn members(group: &GroupAccount) -> String {
    group.members.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// A line of `passwd.master`.
pub(super) fn parse_passwd(line: &str) -> Option<Account> {
    let [name, password, uid, gid, gecos, home, shell] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        gecos: gecos.to_owned(),
        home: home.to_owned(),
        shell: shell.to_owned(),
        password: password.to_owned(),
        expired: false,
    })
}

/// A line of `group.master`.
pub(super) fn parse_group(line: &str) -> Option<GroupAccount> {
    let [name, _, gid, members] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
    let members: BTreeSet<String> = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(GroupAccount { name: name.to_owned(), gid: gid.parse().ok()?, members })
}

/// Refuses what would add fields or lines.
pub(super) fn check_text(user: &Account) -> Result<(), AccountError> {
    check_name(&user.name)?;
    for text in [&user.gecos, &user.home, &user.shell, &user.password] {
        if text.contains([':', '\n', '\0']) {
            return Err(AccountError::BadText(text.clone()));
        }
    }
    Ok(())
}

/// Names as systemd and shadow accept them.
pub(super) fn check_name(name: &str) -> Result<(), AccountError> {
    let first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    let rest = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    if name.len() <= 31 && name.starts_with(first) && name.chars().all(rest) {
        Ok(())
    } else {
        Err(AccountError::BadText(name.to_owned()))
    }
}

//! Users and groups: from the distribution's master files, from sysusers.d of the packages, from what maintainer scripts
//! add, and from the recipe. Ids that nobody fixes are pinned in the lock, because `/var` outlives the image.

mod files;
mod sysusers;

use std::collections::{BTreeMap, BTreeSet};

use slipway_images::tree::{Kind, TreePath};

use crate::deb::Package;
use crate::recipe::Recipe;

pub use files::{group, gshadow, passwd, shadow};
pub use sysusers::{GroupOf, Line, SysusersError, parse};

/// Groups that hand-written maintainer scripts add (`addgroup --system NAME`).
const SCRIPT_GROUPS: [(&str, &str); 3] = [("docker.io", "docker"), ("docker-ce", "docker"), ("openssh-client", "_ssh")];

/// System ids: those below 1000, handed out downwards as systemd-sysusers(8) does.
const SYSTEM: std::ops::RangeInclusive<u32> = 1..=999;
/// Ids of people, handed out upwards as adduser(8) does.
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59_999;

/// A user account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Numeric id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Full name or purpose.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// The field of `/etc/shadow`: a crypt(5) hash, or `*`, `!*` for none.
    pub password: String,
    /// Whether the account itself is expired (`u!`), which bars key logins too.
    pub expired: bool,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAccount {
    /// Name.
    pub name: String,
    /// Numeric id.
    pub gid: u32,
    /// Users who are in it besides those whose primary group it is; sorted.
    pub members: BTreeSet<String>,
}

/// All accounts of an image, in the order of their files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Users.
    pub users: Vec<Account>,
    /// Groups.
    pub groups: Vec<GroupAccount>,
    /// Ids of users that nothing but a pin fixes: what the lock has to hold.
    pub pinned_users: BTreeMap<String, u32>,
    /// Ids of groups that nothing but a pin fixes.
    pub pinned_groups: BTreeMap<String, u32>,
}

/// Why accounts could not be assigned.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A file of a package could not be read.
    #[error("`{path}` of package `{package}` can't be read")]
    Read {
        /// The package.
        package: String,
        /// The file.
        path: TreePath,
        /// Why.
        source: std::io::Error,
    },
    /// A sysusers.d file that could not be understood.
    #[error("`{path}` of package `{package}`")]
    Sysusers {
        /// The package.
        package: String,
        /// The file.
        path: TreePath,
        /// What is wrong with it.
        source: SysusersError,
    },
    /// A line of a master file.
    #[error("`{path}` line {line} is no account")]
    Master {
        /// The file.
        path: TreePath,
        /// Counted from one.
        line: usize,
    },
    /// Two accounts want one id.
    #[error("{kind} id {id} is wanted by `{first}` and by `{second}`")]
    Taken {
        /// `user` or `group`.
        kind: &'static str,
        /// The id.
        id: u32,
        /// Who has it.
        first: String,
        /// Who wants it too.
        second: String,
    },
    /// A group that is named and doesn't exist.
    #[error("user `{user}` is to be in group `{group}`, which no package and no `[[group]]` makes")]
    UnknownGroup {
        /// The user.
        user: String,
        /// The group.
        group: String,
    },
    /// A name that is no account name, or text that would break the file's format.
    #[error("`{0}` can't stand in an account file")]
    BadText(String),
    /// No id is left.
    #[error("no id is left for `{0}`")]
    Exhausted(String),
}

/// Makes the accounts of an image. `pins` are the ids in the lock; what they lack is assigned anew, clear of all pins.
pub fn assign(
    packages: &[Package],
    recipe: &Recipe,
    pins: (&BTreeMap<String, u32>, &BTreeMap<String, u32>),
) -> Result<Accounts, AccountError> {
    let mut office = Office { accounts: Accounts::default(), pins, ranges: Vec::new() };
    office.master_files(packages)?;
    let lines = sysusers_lines(packages)?;
    office.sysusers(&lines)?;
    for (package, name) in SCRIPT_GROUPS {
        if packages.iter().any(|known| &*known.name == package) && office.gid_of(name).is_none() {
            office.add_group(name, None, Numbering::System, true)?;
        }
    }
    office.recipe(recipe)?;
    Ok(office.accounts)
}

impl Accounts {
    /// Id of the user called `name`, or `name` itself as a number.
    pub fn uid(&self, name: &str) -> Option<u32> {
        self.users.iter().find(|user| user.name == name).map(|user| user.uid).or_else(|| name.parse().ok())
    }

    /// Id of the group called `name`, or `name` itself as a number.
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|group| group.name == name).map(|group| group.gid).or_else(|| name.parse().ok())
    }

    /// The accounts whose ids neither a package nor the recipe nor these pins fix.
    pub fn unpinned(&self, users: &BTreeMap<String, u32>, groups: &BTreeMap<String, u32>) -> Vec<String> {
        let missing = |mine: &BTreeMap<String, u32>, theirs: &BTreeMap<String, u32>| -> Vec<String> {
            mine.keys().filter(|name| !theirs.contains_key(*name)).cloned().collect()
        };
        let mut names = missing(&self.pinned_users, users);
        names.extend(missing(&self.pinned_groups, groups));
        names.sort();
        names.dedup();
        names
    }
}

#[derive(Clone, Copy)]
enum Numbering {
    System,
    People,
}

struct Office<'a> {
    accounts: Accounts,
    pins: (&'a BTreeMap<String, u32>, &'a BTreeMap<String, u32>),
    /// `r` lines: where system ids come from, if any is given.
    ranges: Vec<(u32, u32)>,
}

impl Office<'_> {
    fn gid_of(&self, name: &str) -> Option<u32> {
        self.accounts.groups.iter().find(|group| group.name == name).map(|group| group.gid)
    }

    fn has_user(&self, name: &str) -> bool {
        self.accounts.users.iter().any(|user| user.name == name)
    }

    /// `passwd.master` and `group.master` of base-passwd; a root account and group where that package is missing.
    fn master_files(&mut self, packages: &[Package]) -> Result<(), AccountError> {
        for (path, text) in files_of(packages, |path| path == "/usr/share/base-passwd/group.master")? {
            for (number, line) in text.lines().enumerate() {
                let group = files::parse_group(line)
                    .ok_or_else(|| AccountError::Master { path: path.1.clone(), line: number + 1 })?;
                self.accounts.groups.push(group);
            }
        }
        for (path, text) in files_of(packages, |path| path == "/usr/share/base-passwd/passwd.master")? {
            for (number, line) in text.lines().enumerate() {
                let user = files::parse_passwd(line)
                    .ok_or_else(|| AccountError::Master { path: path.1.clone(), line: number + 1 })?;
                self.accounts.users.push(user);
            }
        }
        if self.gid_of("root").is_none() {
            self.add_group("root", Some(0), Numbering::System, false)?;
        }
        if !self.has_user("root") {
            self.accounts.users.push(Account {
                name: "root".to_owned(),
                uid: 0,
                gid: 0,
                gecos: "root".to_owned(),
                home: "/root".to_owned(),
                shell: "/bin/bash".to_owned(),
                password: "*".to_owned(),
                expired: false,
            });
        }
        Ok(())
    }

    /// Groups before users, as systemd-sysusers(8) does, so that a user finds its group.
    fn sysusers(&mut self, lines: &[Line]) -> Result<(), AccountError> {
        for line in lines {
            if let Line::Range { first, last } = line {
                self.ranges.push((*first, *last));
            }
        }
        for line in lines {
            if let Line::Group { name, gid } = line
                && self.gid_of(name).is_none()
            {
                self.add_group(name, *gid, Numbering::System, gid.is_none())?;
            }
        }
        for line in lines {
            let Line::User { name, uid, group, gecos, home, shell, locked } = line else { continue };
            if self.has_user(name) {
                continue;
            }
            let (uid, gid) = self.ids(name, *uid, group, Numbering::System)?;
            let shell = shell.clone().unwrap_or_else(|| default_shell(uid).to_owned());
            let home = home.clone().unwrap_or_else(|| "/".to_owned());
            self.add_user(Account {
                name: name.clone(),
                uid,
                gid,
                gecos: gecos.clone(),
                home,
                shell,
                password: "!*".to_owned(),
                expired: *locked,
            })?;
        }
        for line in lines {
            if let Line::Member { user, group } = line {
                self.add_member(user, group)?;
            }
        }
        Ok(())
    }

    fn recipe(&mut self, recipe: &Recipe) -> Result<(), AccountError> {
        for group in &recipe.groups {
            if self.gid_of(&group.name).is_none() {
                self.add_group(&group.name, group.gid, Numbering::People, group.gid.is_none())?;
            }
        }
        for user in &recipe.users {
            let password = user.password_hash.clone();
            if let Some(known) = self.accounts.users.iter_mut().find(|known| known.name == user.name) {
                known.password = password.unwrap_or_else(|| known.password.clone());
                if user.name != "root" {
                    user.home.as_str().clone_into(&mut known.home);
                }
                user.shell.as_str().clone_into(&mut known.shell);
                known.expired = false;
            } else {
                let group = user.group.clone().map_or(GroupOf::Own, GroupOf::Named);
                let (uid, gid) = self.ids(&user.name, user.uid, &group, Numbering::People)?;
                self.add_user(Account {
                    name: user.name.clone(),
                    uid,
                    gid,
                    gecos: String::new(),
                    home: user.home.as_str().to_owned(),
                    shell: user.shell.as_str().to_owned(),
                    password: password.unwrap_or_else(|| "!*".to_owned()),
                    expired: false,
                })?;
            }
            for group in &user.groups {
                self.add_member(&user.name, group)?;
            }
        }
        Ok(())
    }

    fn ids(
        &mut self,
        name: &str,
        uid: Option<u32>,
        group: &GroupOf,
        numbering: Numbering,
    ) -> Result<(u32, u32), AccountError> {
        let unknown = |group: &str| AccountError::UnknownGroup { user: name.to_owned(), group: group.to_owned() };
        let gid = match group {
            GroupOf::Own => self.gid_of(name),
            GroupOf::Id(gid) => Some(*gid),
            GroupOf::Named(group) => Some(self.gid_of(group).ok_or_else(|| unknown(group))?),
        };
        let fixed = uid.is_some();
        let uid = match uid.or_else(|| self.pins.0.get(name).copied()) {
            Some(uid) => uid,
            None => self.free_id(name, numbering, gid.filter(|_| matches!(group, GroupOf::Own)))?,
        };
        if !fixed {
            self.accounts.pinned_users.insert(name.to_owned(), uid);
        }
        if let Some(gid) = gid {
            return Ok((uid, gid));
        }
        let is_free = !self.accounts.groups.iter().any(|group| group.gid == uid);
        let own = match self.pins.1.get(name) {
            Some(pin) => *pin,
            None if is_free => uid,
            None => self.free_id(name, numbering, None)?,
        };
        self.add_group(name, Some(own), numbering, !fixed || own != uid)?;
        Ok((uid, own))
    }

    fn add_user(&mut self, user: Account) -> Result<(), AccountError> {
        files::check_text(&user)?;
        if let Some(other) = self.accounts.users.iter().find(|other| other.uid == user.uid) {
            return Err(taken("user", user.uid, &other.name, &user.name));
        }
        self.accounts.users.push(user);
        Ok(())
    }

    fn add_group(&mut self, name: &str, gid: Option<u32>, numbering: Numbering, pin: bool) -> Result<(), AccountError> {
        files::check_name(name)?;
        let gid = match gid.or_else(|| self.pins.1.get(name).copied()) {
            Some(gid) => gid,
            None => self.free_id(name, numbering, None)?,
        };
        if let Some(other) = self.accounts.groups.iter().find(|other| other.gid == gid) {
            return Err(taken("group", gid, &other.name, name));
        }
        if pin {
            self.accounts.pinned_groups.insert(name.to_owned(), gid);
        }
        self.accounts.groups.push(GroupAccount { name: name.to_owned(), gid, members: BTreeSet::new() });
        Ok(())
    }

    fn add_member(&mut self, user: &str, group: &str) -> Result<(), AccountError> {
        let found = self.accounts.groups.iter_mut().find(|known| known.name == group);
        let group =
            found.ok_or_else(|| AccountError::UnknownGroup { user: user.to_owned(), group: group.to_owned() })?;
        group.members.insert(user.to_owned());
        Ok(())
    }

    /// An id that no account and no pin has, as user or as group.
    fn free_id(&self, name: &str, numbering: Numbering, prefer: Option<u32>) -> Result<u32, AccountError> {
        let used = |id: u32| {
            self.accounts.users.iter().any(|user| user.uid == id)
                || self.pins.0.values().chain(self.pins.1.values()).any(|pin| *pin == id)
        };
        if let Some(id) = prefer.filter(|id| !used(*id)) {
            return Ok(id);
        }
        let free = |id: &u32| !used(*id) && !self.accounts.groups.iter().any(|group| group.gid == *id);
        let found = match numbering {
            Numbering::People => PEOPLE.clone().find(free),
            Numbering::System if self.ranges.is_empty() => SYSTEM.rev().find(free),
            Numbering::System => self.ranges.iter().rev().flat_map(|(first, last)| (*first..=*last).rev()).find(free),
        };
        found.ok_or_else(|| AccountError::Exhausted(name.to_owned()))
    }
}

fn default_shell(uid: u32) -> &'static str {
    if uid == 0 { "/bin/sh" } else { "/usr/sbin/nologin" }
}

fn taken(kind: &'static str, id: u32, first: &str, second: &str) -> AccountError {
    AccountError::Taken { kind, id, first: first.to_owned(), second: second.to_owned() }
}

type FileOf = (String, TreePath);

/// The text files of all packages whose paths `wanted` accepts, by path and package.
fn files_of(packages: &[Package], wanted: impl Fn(&str) -> bool) -> Result<Vec<(FileOf, String)>, AccountError> {
    let mut found = Vec::new();
    for package in packages {
        for (path, node) in &package.entries {
            let Kind::File(content) = &node.kind else { continue };
            if wanted(path.as_str()) {
                let text = content.to_text().map_err(|source| AccountError::Read {
                    package: package.name.to_string(),
                    path: path.clone(),
                    source,
                })?;
                found.push(((package.name.to_string(), path.clone()), text));
            }
        }
    }
    found.sort_by(|one, other| (one.0.1.name(), &one.0).cmp(&(other.0.1.name(), &other.0)));
    Ok(found)
}

fn sysusers_lines(packages: &[Package]) -> Result<Vec<Line>, AccountError> {
    let is_config =
        |path: &str| path.strip_prefix("/usr/lib/sysusers.d/").is_some_and(|name| name.strip_suffix(".conf").is_some());
    let mut lines = Vec::new();
    for ((package, path), text) in files_of(packages, is_config)? {
        let parsed = parse(&text).map_err(|source| AccountError::Sysusers { package, path, source })?;
        lines.extend(parsed);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests;

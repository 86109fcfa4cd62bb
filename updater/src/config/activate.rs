//! Makes a configuration that of the running machine: at boot before there is a network, or later at once.
//!
//! Each part stands for itself: one that can't be done is told, and the others are done.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::document::MachineConfig;
use super::runtime::{self, Files, PLACES, Part};
use crate::{process, replace};

/// What is known of the last activation of this boot.
const LAST: &str = "run/slipway/config.json";
/// How long a service may take to read its files again.
const RELOAD_LIMIT: Duration = Duration::from_mins(1);

/// When a configuration is activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While the machine starts, before the services that it is for.
    Boot,
    /// While they run.
    Now,
}

/// What only the running system can do.
pub trait System {
    /// Sets the kernel's host name.
    fn set_host_name(&self, name: &str) -> io::Result<()>;
    /// `systemctl VERB UNIT`, or why that failed.
    fn systemctl(&self, verb: &str, unit: &str) -> Result<(), String>;
}

/// The system that this program runs on.
#[derive(Clone, Copy, Debug)]
pub struct ThisSystem;

impl System for ThisSystem {
    fn set_host_name(&self, name: &str) -> io::Result<()> {
        Ok(rustix::system::sethostname(name.as_bytes())?)
    }

    fn systemctl(&self, verb: &str, unit: &str) -> Result<(), String> {
        match process::run(&["systemctl", verb, unit], RELOAD_LIMIT, 4096) {
            Ok(finished) if finished.succeeded() => Ok(()),
            Ok(finished) => Err(format!("systemctl {verb} {unit} {}", finished.failure())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What came of an activation, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Activation {
    /// What is in effect now and was not before.
    pub done: Vec<String>,
    /// What waits for the next boot.
    pub later: Vec<String>,
    /// What could not be done.
    pub failed: Vec<String>,
}

/// What was set in this boot, for the next activation, and what failed in the last one, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Last {
    hostname: Option<String>,
    timezone: Option<String>,
    sysctl: BTreeSet<String>,
    failed: Vec<String>,
}

/// Makes `config` that of the machine whose root is at `root`.
pub fn activate(root: &Path, config: &MachineConfig, when: When, system: &impl System) -> Activation {
    let mut work = Work { root, when, system, last: Last::load(root), activation: Activation::default() };
    work.host_name(config);
    work.time_zone(config);
    work.files(&runtime::files(config));
    work.sysctl(config);
    work.finish()
}

/// What the last activation could not do.
pub fn failures(root: &Path) -> Vec<String> {
    Last::load(root).failed
}

struct Work<'a, S> {
    root: &'a Path,
    when: When,
    system: &'a S,
    last: Last,
    activation: Activation,
}

impl<S: System> Work<'_, S> {
    fn done(&mut self, words: String) {
        self.activation.done.push(words);
    }

    fn later(&mut self, words: String) {
        self.activation.later.push(words);
    }

    fn attempt(&mut self, what: &str, done: &io::Result<()>) -> bool {
        if let Err(error) = done {
            self.activation.failed.push(format!("{what}: {error}"));
        }
        done.is_ok()
    }

    fn host_name(&mut self, config: &MachineConfig) {
        let Some(name) = &config.hostname else {
            if self.last.hostname.is_some() {
                self.later("the host name is the image's".to_owned());
            }
            return;
        };
        let name = name.as_str();
        if self.last.hostname.as_deref() == Some(name) {
            return;
        }
        let kernel = self.system.set_host_name(name);
        let file = replace::for_now(&self.root.join("etc/hostname"), format!("{name}\n").as_bytes());
        let hosts = self.hosts(name);
        if self.attempt("the host name can't be set", &kernel.and(file).and(hosts)) {
            self.last.hostname = Some(name.to_owned());
            self.done(format!("the host name is {name}"));
        }
    }

    /// The line of `/etc/hosts` by which the machine finds itself.
    fn hosts(&self, name: &str) -> io::Result<()> {
        let path = self.root.join("etc/hosts");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let names = match name.split_once('.') {
            Some((host, _)) => format!("{name} {host}"),
            None => name.to_owned(),
        };
        let own = |line: &str| line.split_whitespace().next() == Some("127.0.1.1");
        let lines =
            text.lines().map(|line| if own(line) { format!("127.0.1.1\t{names}\n") } else { format!("{line}\n") });
        replace::for_now(&path, lines.collect::<String>().as_bytes())
    }

    fn time_zone(&mut self, config: &MachineConfig) {
        let Some(zone) = &config.timezone else {
            if self.last.timezone.is_some() {
                self.later("the time zone is the image's".to_owned());
            }
            return;
        };
        if self.last.timezone.as_deref() == Some(zone.as_str()) {
            return;
        }
        let path = self.root.join("etc/localtime");
        let new = path.with_extension("new");
        let linked = fs::remove_file(&new)
            .or_else(none_is_fine)
            .and_then(|()| std::os::unix::fs::symlink(format!("../usr/share/zoneinfo/{zone}"), &new))
            .and_then(|()| fs::rename(&new, &path));
        if self.attempt("the time zone can't be set", &linked) {
            self.last.timezone = Some(zone.to_string());
            self.done(format!("the time zone is {zone}"));
        }
    }

    fn files(&mut self, files: &Files) {
        let mut changed: Vec<Part> = Vec::new();
        for (path, (part, text)) in files {
            let path = self.root.join(path);
            if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                continue;
            }
            let made = replace::for_now(&path, text.as_bytes());
            if self.attempt(&format!("can't write {}", path.display()), &made) {
                changed.push(*part);
            }
        }
        for (part, folder, start) in PLACES {
            let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
            for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
                let path = format!("{folder}/{name}");
                if name.starts_with(start) && !files.contains_key(&path) {
                    let removed = fs::remove_file(self.root.join(&path));
                    if self.attempt(&format!("can't remove {path}"), &removed) {
                        changed.push(part);
                    }
                }
            }
        }
        changed.sort();
        changed.dedup();
        for part in changed {
            self.tell(part);
        }
    }

    /// Tells the service that its files have changed. At boot, it has not read any yet.
    fn tell(&mut self, part: Part) {
        let (verb, unit, words) = match part {
            // By signal: there may be no D-Bus.
            Part::Network => ("try-reload-or-restart", "systemd-networkd.service", "the network is configured anew"),
            Part::Clock => ("try-restart", "systemd-timesyncd.service", "the clock is set by other servers"),
            Part::Keys => return self.done("other keys may log in".to_owned()),
            Part::Sysctl => return,
        };
        let told = if self.when == When::Boot { Ok(()) } else { self.system.systemctl(verb, unit) };
        match told {
            Ok(()) => self.done(words.to_owned()),
            Err(why) => self.activation.failed.push(why),
        }
    }

    fn sysctl(&mut self, config: &MachineConfig) {
        for (name, value) in &config.sysctl {
            let path = self.root.join(runtime::sysctl_path(name));
            self.last.sysctl.insert(name.to_string());
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            if fs::read_to_string(&path).is_ok_and(|there| words(&there) == words(value)) {
                continue;
            }
            // Not made where it isn't: there is no such parameter then.
            let opened = fs::OpenOptions::new().write(true).open(&path);
            let set = opened.and_then(|mut file| file.write_all(format!("{value}\n").as_bytes()));
            if self.attempt(&format!("can't set {name}"), &set) {
                self.done(format!("{name} is {value}"));
            }
        }
        for name in self.last.sysctl.clone() {
            if !config.sysctl.keys().any(|kept| kept.as_str() == name) {
                self.later(format!("{name} is the image's, or the kernel's"));
            }
        }
    }

    fn finish(mut self) -> Activation {
        self.last.failed = self.activation.failed.clone();
        let kept = serde_json::to_string(&self.last)
            .map_err(io::Error::from)
            .and_then(|text| replace::for_now(&self.root.join(LAST), text.as_bytes()));
        self.attempt("can't note what was done", &kept);
        self.activation
    }
}

impl Last {
    /// What was left, if anything was.
    fn load(root: &Path) -> Self {
        let text = fs::read_to_string(root.join(LAST)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn none_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
#[path = "activate_tests.rs"]
mod tests;

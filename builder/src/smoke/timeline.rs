//! Where the time of a boot went.
//!
//! The host's clock is the only one that is trusted: clocks of translated guests jump. The guest's own times, all counted from
//! the kernel's start, are placed on it by asking the guest once, after its boot, how long it is up. `systemd-analyze` isn't
//! used: it computes the same from the same properties, in many times the time.

use serde::{Deserialize, Serialize};

/// A point in a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Milestone {
    /// What had happened.
    pub name: String,
    /// Milliseconds since power-on or restart, by the host's clock.
    pub ms: u64,
}

/// A unit that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitTime {
    /// Its name.
    pub name: String,
    /// When its start began, in milliseconds since power-on or restart.
    pub started_ms: u64,
    /// When it was active.
    pub active_ms: u64,
}

/// Where the time of a boot went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Points in time, earliest first.
    pub milestones: Vec<Milestone>,
    /// Units, those that took longest first.
    pub units: Vec<UnitTime>,
}

/// What is known of a boot; times of the host in milliseconds since power-on or restart.
pub(super) struct Observed<'a> {
    /// The first line on the console.
    pub(super) first_line_ms: Option<u64>,
    /// The agent's hello.
    pub(super) hello_ms: u64,
    /// When the guest was asked how long it is up.
    pub(super) asked_ms: u64,
    /// `/proc/uptime`.
    pub(super) uptime: &'a str,
    /// The initrd's boot facts, JSON.
    pub(super) facts: &'a str,
    /// `systemctl show` of the manager.
    pub(super) manager: &'a str,
    /// `systemctl show` of all units.
    pub(super) units: &'a str,
}

/// The manager's properties that count, and what a reader calls them.
pub(super) const MANAGER_PROPERTIES: [(&str, &str); 4] = [
    ("UserspaceTimestampMonotonic", "systemd starts"),
    ("GeneratorsFinishTimestampMonotonic", "generators done"),
    ("UnitsLoadFinishTimestampMonotonic", "units loaded"),
    ("FinishTimestampMonotonic", "boot finished"),
];

/// Targets that are milestones.
const TARGETS: [&str; 4] = ["local-fs.target", "sysinit.target", "basic.target", "multi-user.target"];

/// The two times of the boot facts that matter here.
#[derive(Default, Deserialize)]
struct Facts {
    initrd_started_ms: Option<u64>,
    switch_root_ms: Option<u64>,
}

impl Timeline {
    /// Puts all on one clock. What isn't known or isn't understood is left out.
    pub(super) fn new(observed: &Observed<'_>) -> Self {
        let mut milestones = Vec::new();
        let mut milestone = |name: &str, ms: u64| milestones.push(Milestone { name: name.to_owned(), ms });
        if let Some(ms) = observed.first_line_ms {
            milestone("first line on the console", ms);
        }
        milestone("agent says hello", observed.hello_ms);
        let mut units = Vec::new();
        if let Some(up) = milliseconds_up(observed.uptime) {
            let kernel = observed.asked_ms.saturating_sub(up);
            milestone("kernel starts", kernel);
            let facts: Facts = serde_json::from_str(observed.facts).unwrap_or_default();
            if let Some(ms) = facts.initrd_started_ms {
                milestone("initrd starts", kernel.saturating_add(ms));
            }
            if let Some(ms) = facts.switch_root_ms {
                milestone("initrd hands over", kernel.saturating_add(ms));
            }
            for (property, name) in MANAGER_PROPERTIES {
                if let Some(ms) = blocks(observed.manager).next().and_then(|block| block.milliseconds(property)) {
                    milestone(name, kernel.saturating_add(ms));
                }
            }
            for block in blocks(observed.units) {
                if let Some(unit) = block.unit(kernel) {
                    if TARGETS.contains(&unit.name.as_str()) {
                        milestone(&unit.name, unit.active_ms);
                    }
                    units.push(unit);
                }
            }
        }
        milestones.sort_by_key(|milestone| milestone.ms);
        units.sort_by_key(|unit| std::cmp::Reverse(unit.active_ms - unit.started_ms));
        Self { milestones, units }
    }

    /// When a milestone was reached.
    pub fn at(&self, name: &str) -> Option<u64> {
        self.milestones.iter().find(|milestone| milestone.name == name).map(|milestone| milestone.ms)
    }
}

/// The first number of `/proc/uptime`, seconds with two digits behind the point.
fn milliseconds_up(uptime: &str) -> Option<u64> {
    let (seconds, hundredths) = uptime.split_ascii_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = hundredths.parse().ok().filter(|hundredths| *hundredths < 100)?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(hundredths * 10)
}

/// `Key=value` lines of one unit, as `systemctl show` prints them.
struct Block<'a>(&'a str);

fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    text.split("\n\n").map(Block)
}

impl Block<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    /// A time in microseconds; 0 means that it never came.
    fn milliseconds(&self, key: &str) -> Option<u64> {
        self.value(key)?
            .parse::<u64>()
            .ok()
            .filter(|microseconds| *microseconds > 0)
            .map(|microseconds| microseconds / 1000)
    }

    fn unit(&self, kernel: u64) -> Option<UnitTime> {
        let active = self.milliseconds("ActiveEnterTimestampMonotonic")?;
        let started = self.milliseconds("InactiveExitTimestampMonotonic").unwrap_or(active).min(active);
        Some(UnitTime {
            name: self.value("Id")?.to_owned(),
            started_ms: kernel.checked_add(started)?,
            active_ms: kernel.checked_add(active)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const MANAGER: &str = "UserspaceTimestampMonotonic=4100000\nGeneratorsFinishTimestampMonotonic=0\n\
                           UnitsLoadFinishTimestampMonotonic=4500000\nFinishTimestampMonotonic=20250999\n";
    const UNITS: &str = "Id=docker.service\nInactiveExitTimestampMonotonic=6000000\nActiveEnterTimestampMonotonic=19000000\n\n\
                         Id=never.service\nInactiveExitTimestampMonotonic=0\nActiveEnterTimestampMonotonic=0\n\n\
                         Id=multi-user.target\nInactiveExitTimestampMonotonic=20000000\nActiveEnterTimestampMonotonic=20000000\n";

    fn observed() -> Observed<'static> {
        Observed {
            first_line_ms: Some(1200),
            hello_ms: 12_000,
            asked_ms: 30_000,
            uptime: "24.50 40.12\n",
            facts: r#"{"disk":"vda","initrd_started_ms":3000,"switch_root_ms":3800}"#,
            manager: MANAGER,
            units: UNITS,
        }
    }

    #[test]
    fn all_times_are_on_the_hosts_clock() {
        let timeline = Timeline::new(&observed());
        let milestones: Vec<(&str, u64)> = timeline.milestones.iter().map(|m| (m.name.as_str(), m.ms)).collect();
        assert_eq!(
            milestones,
            [
                ("first line on the console", 1200),
                ("kernel starts", 5500),
                ("initrd starts", 8500),
                ("initrd hands over", 9300),
                ("systemd starts", 9600),
                ("units loaded", 10_000),
                ("agent says hello", 12_000),
                ("multi-user.target", 25_500),
                ("boot finished", 25_750),
            ]
        );
        assert_eq!(timeline.units.len(), 2);
        assert_eq!(
            timeline.units[0],
            UnitTime { name: "docker.service".into(), started_ms: 11_500, active_ms: 24_500 }
        );
        assert_eq!(timeline.at("kernel starts"), Some(5500));
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        let timeline = Timeline::new(&Observed { uptime: "soon", ..observed() });
        assert_eq!(timeline.milestones.len(), 2);
        let timeline = Timeline::new(&Observed {
            facts: "{",
            manager: "",
            units: "Id=x\nActiveEnterTimestampMonotonic=z",
            ..observed()
        });
        assert_eq!(timeline.milestones.len(), 3);
    }

    proptest! {
        #[test]
        fn a_guest_may_say_anything(uptime in "[0-9. ]{0,30}", facts in ".{0,40}", shown in "([A-Za-z]{0,5}=?[0-9]{0,25}\n{0,2}){0,9}") {
            let facts = if facts.len() % 2 == 0 { facts } else { format!("{{\"switch_root_ms\":{}}}", u64::MAX) };
            let manager = format!("FinishTimestampMonotonic=18446744073709551615\n{shown}");
            let units = format!("Id=a\nActiveEnterTimestampMonotonic=18446744073709551615\n\n{shown}");
            Timeline::new(&Observed { uptime: &uptime, facts: &facts, manager: &manager, units: &units, ..observed() });
        }
    }
}

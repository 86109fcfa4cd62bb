//! When a host's windows are open.
//!
//! What counts is the clock on the wall of the window's zone: a window is open exactly while that clock shows one of its times on
//! one of its days. So a night on which the clock is put forward has a shorter window, or none if all of it is skipped; one on
//! which the clock is put back has a longer one, or the same one twice. The rules of a zone are those of the image's own
//! `/usr/share/zoneinfo` (`TZif`, RFC 9636).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use slipway_images::calendar::Moment;
use slipway_images::window::{Weekday, Window, ZoneName};
use tz::TimeZone;

use crate::host::below;

/// The largest file of a zone has 4 KiB.
const ZONE_MAX: u64 = 64 << 10;
const DAY: i64 = 86_400;
/// How far ahead is looked. A window comes once a week; the clock may skip it that week.
const HORIZON: i64 = 15 * DAY;
/// A moment that only a zone's rule for the future knows of: 2100.
const FUTURE: i64 = 4_102_444_800;

/// Why it isn't known when windows are open.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// The image doesn't know the zone.
    #[error("window `{window}`: this image knows no time zone `{zone}`: can't read {path}")]
    Unknown {
        /// The window.
        window: String,
        /// Its zone.
        zone: ZoneName,
        /// Where the zone should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The zone's file makes no sense.
    #[error("window `{window}`: {path} is no time zone")]
    Damaged {
        /// The window.
        window: String,
        /// The file.
        path: PathBuf,
    },
}

/// The windows of a host, with the clocks that they go by.
#[derive(Clone, Debug, Default)]
pub struct Schedule(Vec<(Window, Zone)>);

/// A zone's rules; none for UTC.
#[derive(Clone, Debug)]
struct Zone(Option<TimeZone>);

impl Schedule {
    /// The windows, and their zones as the image whose root is at `root` knows them.
    pub fn load(root: &Path, windows: &[Window]) -> Result<Self, ZoneError> {
        windows.iter().map(|window| Ok((window.clone(), Zone::load(root, window)?))).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is any window. Without one, all of time is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a window is open at `now`.
    pub fn is_open(&self, now: Moment) -> bool {
        self.is_empty() || self.0.iter().any(|(window, zone)| is_open(window, zone, seconds(now)))
    }

    /// The first moment from `now` on at which a window is open, with that window; none within two weeks is never.
    pub fn next_open(&self, now: Moment) -> Option<(Moment, &Window)> {
        let open = |(window, zone): &'_ (Window, Zone)| next(window, zone, seconds(now), true);
        let first = self.0.iter().filter_map(|entry| Some((open(entry)?, &entry.0))).min_by_key(|(at, _)| *at)?;
        Some((moment(first.0), first.1))
    }

    /// The first moment from `now` on at which no window is open; none within two weeks is never.
    pub fn next_closed(&self, now: Moment) -> Option<Moment> {
        let mut at = seconds(now);
        // A window that closes may have another open beside it; each turn leaves one behind.
        while at - seconds(now) < HORIZON {
            match self.0.iter().find(|(window, zone)| is_open(window, zone, at)) {
                Some((window, zone)) => at = next(window, zone, at, false)?,
                None => return (!self.is_empty()).then(|| moment(at)),
            }
        }
        None
    }
}

impl Zone {
    fn load(root: &Path, window: &Window) -> Result<Self, ZoneError> {
        let zone = window.zone();
        if zone.is_utc() {
            return Ok(Self(None));
        }
        let path = below(root, &zone.path());
        let mut bytes = Vec::new();
        if let Err(source) = File::open(&path).and_then(|file| file.take(ZONE_MAX).read_to_end(&mut bytes)) {
            return Err(ZoneError::Unknown { window: window.to_string(), zone: zone.clone(), path, source });
        }
        let rules = TimeZone::from_tz_data(&bytes).ok().map(|rules| Self(Some(rules)));
        // A file that ends with its last change says nothing of what is to come.
        let rules = rules.filter(|rules| rules.offset(FUTURE).is_some());
        rules.ok_or_else(|| ZoneError::Damaged { window: window.to_string(), path })
    }

    /// What its clock is ahead of UTC, in seconds.
    fn offset(&self, at: i64) -> Option<i64> {
        match &self.0 {
            None => Some(0),
            Some(rules) => rules.find_local_time_type(at).ok().map(|found| i64::from(found.ut_offset())),
        }
    }
}

fn is_open(window: &Window, zone: &Zone, at: i64) -> bool {
    zone.offset(at).is_some_and(|offset| covers(window, at + offset))
}

/// Whether the window is open when the clock shows so many seconds since 1970.
fn covers(window: &Window, shown: i64) -> bool {
    let minute = u16::try_from(shown.rem_euclid(DAY) / 60).unwrap_or_default();
    window.covers(Weekday::of_day(shown.div_euclid(DAY)), minute)
}

/// The first moment from `from` on at which the window is open, or closed. Goes from one edge of the window, or change of the
/// clock, to the next; clocks are changed less often than twice a day.
fn next(window: &Window, zone: &Zone, from: i64, open: bool) -> Option<i64> {
    let mut at = from;
    while at - from < HORIZON {
        let offset = zone.offset(at)?;
        if covers(window, at + offset) == open {
            return Some(at);
        }
        let edge = next_edge(window, at + offset) - offset;
        at = if zone.offset(edge)? == offset { edge } else { change(zone, at, edge, offset)? };
    }
    None
}

/// The first edge of the window after the clock has shown `shown`, or the next midnight.
fn next_edge(window: &Window, shown: i64) -> i64 {
    let midnight = shown.div_euclid(DAY) * DAY;
    let (start, end) = window.edges();
    let edges = [start, end].map(|minutes| midnight + i64::from(minutes) * 60);
    edges.into_iter().filter(|edge| *edge > shown).fold(midnight + DAY, i64::min)
}

/// The first moment after `before`, at which the clock was so far ahead of UTC, up to `after` at which it is not.
fn change(zone: &Zone, mut before: i64, mut after: i64, offset: i64) -> Option<i64> {
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        *(if zone.offset(middle)? == offset { &mut before } else { &mut after }) = middle;
    }
    Some(after)
}

fn seconds(moment: Moment) -> i64 {
    // A moment is before the year 10000.
    i64::try_from(moment.seconds()).unwrap_or_default()
}

fn moment(seconds: i64) -> Moment {
    Moment::from_seconds(u64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;

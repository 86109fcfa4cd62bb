//! Maintenance windows: when a host may restart, by the clock on the wall of a time zone.
//!
//! ```text
//! Mon..Fri 02:00-04:00 Europe/Berlin
//! Sat,Sun 22:00-06:00 America/New_York
//! 03:00-05:00
//! ```
//!
//! Days first, every day without them; then the times, the end later than the start or on the day after; then a zone of the
//! IANA time zone database, UTC without one. The days are those on which a window starts. What the clock of a zone shows at
//! a moment is not known here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most windows of a host.
pub const WINDOWS_MAX: usize = 32;

/// Shortest window, in minutes: a host that wakes up for one must find it open.
const SHORTEST: u16 = 10;
const DAY: u16 = 24 * 60;

/// A text that is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It has other parts.
    #[error("`{0}` is no window of the form `Mon..Fri 02:00-04:00 Europe/Berlin`")]
    Form(String),
    /// Days that are none.
    #[error("`{0}` are no days of the form `Mon..Fri` or `Sat,Sun`")]
    Days(String),
    /// Times that are none.
    #[error("`{0}` are no times of the form `02:00-04:00`, from 00:00 to 24:00")]
    Times(String),
    /// It is over too soon.
    #[error("`{0}` is shorter than {SHORTEST} minutes")]
    Short(String),
    /// A zone that is none.
    #[error("`{0}` is no time zone of the form `Europe/Berlin`")]
    Zone(String),
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weekday {
    /// Monday
    Mon,
    /// Tuesday
    Tue,
    /// Wednesday
    Wed,
    /// Thursday
    Thu,
    /// Friday
    Fri,
    /// Saturday
    Sat,
    /// Sunday
    Sun,
}

impl Weekday {
    /// From Monday to Sunday.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The day of the week so many days after 1970-01-01, a Thursday; before it if negative.
    pub fn of_day(days: i64) -> Self {
        let index = usize::try_from((days + 3).rem_euclid(7)).unwrap_or_default();
        Self::ALL[index]
    }

    /// The day before.
    #[must_use]
    pub fn before(self) -> Self {
        Self::ALL[(self.index() + 6) % 7]
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|day| *day == self).unwrap_or_default()
    }

    fn name(self) -> &'static str {
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][self.index()]
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.name().eq_ignore_ascii_case(name))
    }
}

/// A name in the IANA time zone database: `Europe/Berlin`. As a path below `/usr/share/zoneinfo` it stays there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneName(Box<str>);

impl ZoneName {
    /// Where the database is.
    pub const FOLDER: &str = "/usr/share/zoneinfo";
    const UTC: &str = "UTC";
    const MAX_LEN: usize = 64;

    /// Checks and wraps `text`.
    pub fn new(text: &str) -> Result<Self, WindowError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-');
        let good =
            |part: &str| part.bytes().all(plain) && part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if text.len() <= Self::MAX_LEN && text.split('/').all(good) {
            Ok(Self(text.into()))
        } else {
            Err(WindowError::Zone(text.to_owned()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is UTC, which needs no database.
    pub fn is_utc(&self) -> bool {
        &*self.0 == Self::UTC
    }

    /// The file that tells of it.
    pub fn path(&self) -> String {
        format!("{}/{}", Self::FOLDER, self.0)
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A window. Serialised as its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// A bit for each day on which it starts, Monday's the lowest.
    days: u8,
    /// Minutes after midnight.
    start: u16,
    /// Minutes after midnight; of the next day unless it is after the start.
    end: u16,
    zone: ZoneName,
}

impl Window {
    /// The zone whose clock counts.
    pub fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// Whether it starts on this day, and how many minutes after midnight.
    pub fn starts_on(&self, day: Weekday) -> Option<u16> {
        (self.days & 1 << day.index() != 0).then_some(self.start)
    }

    /// Whether it is open when the clock shows this day and so many minutes after midnight.
    pub fn covers(&self, day: Weekday, minute: u16) -> bool {
        let today = self.starts_on(day).is_some();
        if self.is_over_midnight() {
            today && minute >= self.start || self.starts_on(day.before()).is_some() && minute < self.end
        } else {
            today && (self.start..self.end).contains(&minute)
        }
    }

    /// When it starts and ends, in minutes after midnight, up to 1440.
    pub fn edges(&self) -> (u16, u16) {
        (self.start, self.end)
    }

    /// Minutes from start to end, as the clock shows them.
    pub fn minutes(&self) -> u16 {
        if self.is_over_midnight() { self.end + DAY - self.start } else { self.end - self.start }
    }

    fn is_over_midnight(&self) -> bool {
        self.end <= self.start
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let form = || WindowError::Form(text.to_owned());
        let mut words = text.split_ascii_whitespace().peekable();
        let days = words.next_if(|word| !word.starts_with(|first: char| first.is_ascii_digit()));
        let times = words.next().ok_or_else(form)?;
        let zone = words.next().unwrap_or(ZoneName::UTC);
        if words.next().is_some() {
            return Err(form());
        }
        let (start, end) = parse_times(times).ok_or_else(|| WindowError::Times(times.to_owned()))?;
        let days = match days {
            Some(days) => parse_days(days).ok_or_else(|| WindowError::Days(days.to_owned()))?,
            None => 0x7f,
        };
        let window = Self { days, start, end, zone: ZoneName::new(zone)? };
        // A window from a minute to the same one is a mistake, rather than a whole day.
        if start == end || window.minutes() < SHORTEST { Err(WindowError::Short(text.to_owned())) } else { Ok(window) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut days: Vec<(Weekday, Weekday)> = Vec::new();
        for day in Weekday::ALL.into_iter().filter(|day| self.starts_on(*day).is_some()) {
            match days.last_mut() {
                Some((_, last)) if *last == day.before() => *last = day,
                _ => days.push((day, day)),
            }
        }
        let run = |(first, last): &(Weekday, Weekday)| match last.index() - first.index() {
            0 => first.name().to_owned(),
            1 => format!("{},{}", first.name(), last.name()),
            _ => format!("{}..{}", first.name(), last.name()),
        };
        if self.days != 0x7f {
            write!(f, "{} ", days.iter().map(run).collect::<Vec<_>>().join(","))?;
        }
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{}-{} {}", clock(self.start), clock(self.end), self.zone)
    }
}

impl TryFrom<String> for Window {
    type Error = WindowError;

    fn try_from(text: String) -> Result<Self, WindowError> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

/// `Mon..Fri`, `Sat,Sun`, `Fri..Mon,Wed`
fn parse_days(text: &str) -> Option<u8> {
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (Weekday::named(first)?.index(), Weekday::named(last)?.index());
        for step in 0..=(last + 7 - first) % 7 {
            days |= 1 << ((first + step) % 7);
        }
    }
    Some(days)
}

/// `02:00-04:00`; the end may be `24:00`.
fn parse_times(text: &str) -> Option<(u16, u16)> {
    let minutes = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        let number = |text: &str| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
    };
    let (start, end) = text.split_once('-')?;
    let (start, end) = (minutes(start)?, minutes(end)?);
    (start < DAY).then_some((start, end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    #[test]
    fn forms_that_are_taken_and_how_they_are_written() {
        for (text, written) in [
            ("Mon..Fri 02:00-04:00 Europe/Berlin", "Mon..Fri 02:00-04:00 Europe/Berlin"),
            ("03:00-05:00", "03:00-05:00 UTC"),
            ("  sat,SUN   22:00-06:00\tAmerica/New_York ", "Sat,Sun 22:00-06:00 America/New_York"),
            ("Fri..Mon,Wed 00:00-24:00 Etc/GMT+3", "Mon,Wed,Fri..Sun 00:00-24:00 Etc/GMT+3"),
            ("Mon..Sun 23:55-00:05", "23:55-00:05 UTC"),
        ] {
            assert_eq!(window(text).to_string(), written);
            assert_eq!(window(written), window(text));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| text.parse::<Window>().unwrap_err();
        assert_eq!(error(""), WindowError::Form(String::new()));
        assert_eq!(error("02:00-04:00 UTC x"), WindowError::Form("02:00-04:00 UTC x".into()));
        assert_eq!(error("Mon"), WindowError::Form("Mon".into()));
        assert_eq!(error("Mon-Fri 02:00-04:00"), WindowError::Days("Mon-Fri".into()));
        assert_eq!(error("Mon..Fri 2:00-04:00"), WindowError::Times("2:00-04:00".into()));
        for times in ["02:00", "02:60-04:00", "24:00-01:00", "02:00-24:01", "02:00-+4:00", "02:00–04:00"] {
            assert_eq!(error(times), WindowError::Times(times.into()));
        }
        assert_eq!(error("02:00-02:00"), WindowError::Short("02:00-02:00".into()));
        assert_eq!(error("23:59-00:08"), WindowError::Short("23:59-00:08".into()));
        for zone in ["../../etc/passwd", "/etc/x", "Europe//Berlin", "Europe/", "Europe/.x", "+01", "é"] {
            assert_eq!(error(&format!("02:00-04:00 {zone}")), WindowError::Zone(zone.into()));
        }
    }

    #[test]
    fn the_day_is_the_one_on_which_a_window_starts() {
        let night = window("Sat 22:00-06:00");
        for (day, minute, open) in [
            (Weekday::Sat, 22 * 60, true),
            (Weekday::Sat, 22 * 60 - 1, false),
            (Weekday::Sat, 5 * 60, false),
            (Weekday::Sun, 5 * 60 + 59, true),
            (Weekday::Sun, 6 * 60, false),
            (Weekday::Sun, 23 * 60, false),
        ] {
            assert_eq!(night.covers(day, minute), open, "{day:?} {minute}");
        }
        assert_eq!(night.minutes(), 8 * 60);
        assert!(window("Sun..Mon 23:00-00:30").covers(Weekday::Tue, 0));
        assert_eq!([0, 3, 4, -4].map(Weekday::of_day), [Weekday::Thu, Weekday::Sun, Weekday::Mon, Weekday::Sun]);
    }

    proptest! {
        #[test]
        fn a_window_is_open_for_its_minutes_on_each_of_its_days(
            days in 1_u8..0x80, start in 0..DAY, length in SHORTEST..=DAY,
        ) {
            let end = if start + length > DAY { start + length - DAY } else { start + length };
            prop_assume!(start != end);
            let made = Window { days, start, end, zone: ZoneName::new("UTC").unwrap() };
            let text = made.to_string();
            prop_assert_eq!(&window(&text), &made);
            let open = |day| (0..DAY).filter(|minute| made.covers(day, *minute)).count();
            let total: usize = Weekday::ALL.into_iter().map(open).sum();
            prop_assert_eq!(total, usize::from(made.minutes()) * made.days.count_ones() as usize);
        }

        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,40}|[MonTueFriSat.,]{0,9} ?[0-9:-]{0,12} ?[A-Za-z/+_.-]{0,12}") {
            if let Ok(made) = text.parse::<Window>() {
                prop_assert_eq!(window(&made.to_string()), made);
            }
        }
    }
}

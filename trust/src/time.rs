//! Moments, as signatures and expiry dates count them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in whole seconds since 1970-01-01 00:00:00 UTC, leap seconds not counted (POSIX time).
/// Shown as `2026-11-22 16:14:50 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment so many seconds after 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// What the machine's clock says; 1970 when it says something earlier.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// The moment at this date and time of day in UTC, or `None` when there is no such date, or none from 1970 to 9999.
    /// Months and days count from 1.
    pub fn from_civil(date: (u64, u64, u64), time: (u64, u64, u64)) -> Option<Self> {
        let ((year, month, day), (hour, minute, second)) = (date, time);
        let valid = (1970..10_000).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        if !valid {
            return None;
        }
        let days = days_before_year(year) + (1..month).map(|month| days_of_month(year, month)).sum::<u64>() + day - 1;
        Some(Self(days * SECS_PER_DAY + hour * 3600 + minute * 60 + second))
    }

    /// The moment that a text of the form `2026-11-22T16:14:50Z` names, which is the one that TUF takes (section 4.2.1 of
    /// its specification); `None` for anything else, other forms of ISO 8601 too.
    pub fn from_iso(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if bytes.len() != 20 || separators.iter().any(|&(at, byte)| bytes.get(at) != Some(&byte)) {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = bytes.get(from..to)?;
            digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
        };
        let date = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        Self::from_civil(date, (number(11, 13)?, number(14, 16)?, number(17, 19)?))
    }

    /// The moment in the form that [`UnixTime::from_iso`] reads.
    pub fn to_iso(self) -> String {
        let (year, month, day) = self.civil();
        let (hour, minute, second) = self.time_of_day();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The moment so many seconds later.
    #[must_use]
    pub const fn after(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    fn civil(self) -> (u64, u64, u64) {
        let mut days = self.0 / SECS_PER_DAY;
        // A year is at least 365 days, so this guess is never too early; a few steps back make it right.
        let mut year = (1970 + days / 365).min(LAST_YEAR);
        while days_before_year(year) > days {
            year -= 1;
        }
        days -= days_before_year(year);
        let mut month = 1;
        while month < 12 && days >= days_of_month(year, month) {
            days -= days_of_month(year, month);
            month += 1;
        }
        (year, month, days + 1)
    }

    const fn time_of_day(self) -> (u64, u64, u64) {
        let second = self.0 % SECS_PER_DAY;
        (second / 3600, second / 60 % 60, second % 60)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        let (hour, minute, second) = self.time_of_day();
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

const SECS_PER_DAY: u64 = 86_400;
/// Bounds the search in [`UnixTime::civil`]; later moments are shown as days of this year.
const LAST_YEAR: u64 = 9999;

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first day of `year`.
fn days_before_year(year: u64) -> u64 {
    let leaps = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    (year - 1970) * 365 + leaps(year) - leaps(1970)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn known_moments() {
        for (secs, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_364_090, "2026-11-22 16:14:50 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(UnixTime(secs).to_string(), text);
        }
    }

    #[test]
    fn civil_dates_go_there_and_back() {
        for day in (0..60_000).step_by(7) {
            let moment = UnixTime(day * SECS_PER_DAY + 3_661);
            assert_eq!(UnixTime::from_civil(moment.civil(), (1, 1, 1)), Some(moment));
        }
        assert_eq!(UnixTime::from_civil((2025, 2, 29), (0, 0, 0)), None);
        assert_eq!(UnixTime::from_civil((2025, 13, 1), (0, 0, 0)), None);
        assert_eq!(UnixTime::from_civil((2025, 1, 1), (24, 0, 0)), None);
    }

    #[test]
    fn iso_goes_there_and_back_and_nothing_else_is_taken() {
        let moment = UnixTime(1_795_364_090);
        assert_eq!(moment.to_iso(), "2026-11-22T16:14:50Z");
        assert_eq!(UnixTime::from_iso(&moment.to_iso()), Some(moment));
        for text in [
            "2026-11-22T16:14:50",
            "2026-11-22 16:14:50Z",
            "2026-11-22T16:14:50+00",
            "2026-11-22T16:14:5\u{b2}",
            "2026-11-22T16:14:50.5Z",
            "2026-02-30T00:00:00Z",
            "+026-11-22T16:14:50Z",
            "",
        ] {
            assert_eq!(UnixTime::from_iso(text), None, "{text}");
        }
    }

    #[test]
    fn the_end_of_time_is_shown_without_a_panic() {
        let _ = UnixTime(u64::MAX).to_string();
    }
}

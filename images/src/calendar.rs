//! Times of the epoch count as a person, and RFC 3339, writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A moment in UTC, to the second (proleptic Gregorian calendar, no leap seconds), from 1970 to 9999. Read and serialised
/// as `2026-11-22T16:40:05Z`, which is the only form of RFC 3339 that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(u64);

/// A text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no moment of the form 2026-11-22T16:40:05Z")]
pub struct MomentError(String);

impl Moment {
    /// The last one.
    pub const MAX: Self = Self(253_402_300_799);

    /// The moment this many seconds after 1970-01-01 00:00:00; the last one when it is later.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds).min(Self::MAX)
    }

    /// Seconds since 1970-01-01 00:00:00.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// `2026-11-22T16:40:05Z`
    pub fn rfc3339(self) -> String {
        self.format('T', "Z")
    }

    fn format(self, separator: char, zone: &str) -> String {
        let (year, month, day) = date(self.0 / 86_400);
        let second = self.0 % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{zone}")
    }
}

/// Year, month and day, so many days after 1970-01-01. After Howard Hinnant's `civil_from_days`: eras of 400 years that
/// begin on 0000-03-01.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Days from 1970-01-01 to this date, if there is such a date. After Hinnant's `days_from_civil`.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted_year = year.checked_sub(u64::from(month <= 2))?;
    let shifted_month = if month > 2 { month - 3 } else { month.checked_add(9)? };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let day_of_year = (153 * shifted_month + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (date(days) == (year, month, day)).then_some(days)
}

/// `2026-11-22 16:40:05 UTC`
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.format(' ', " UTC"))
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            digits?.parse::<u64>().ok()
        };
        let read = || {
            let date = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
            let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
            Some(Self(date * 86_400 + hour * 3600 + minute * 60 + second))
        };
        // A time of day that there isn't, and any other form, comes out as another text.
        read().filter(|moment| moment.rfc3339() == text).ok_or_else(|| MomentError(text.to_owned()))
    }
}

impl TryFrom<String> for Moment {
    type Error = MomentError;

    fn try_from(text: String) -> Result<Self, MomentError> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.rfc3339()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_read_as_date_says_them() {
        assert_eq!(Moment::from_seconds(0).to_string(), "1970-01-01 00:00:00 UTC");
        assert_eq!(Moment::from_seconds(951_782_400).to_string(), "2000-02-29 00:00:00 UTC");
        assert_eq!(Moment::from_seconds(1_795_365_605).rfc3339(), "2026-11-22T16:40:05Z");
        assert_eq!(Moment::from_seconds(u64::MAX).rfc3339(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn other_forms_and_days_that_there_are_not_are_refused() {
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T16:40:05",
            "2026-11-22T16:40:05+00:00",
            "2026-11-22 16:40:05Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T16:60:00Z",
            "2026-11-22T16:40:60Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "+026-11-22T16:40:05Z",
            "2026-11-22T16:40:0\u{b2}Z",
        ] {
            assert_eq!(bad.parse::<Moment>(), Err(MomentError(bad.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(seconds in 0..=Moment::MAX.0) {
            let moment = Moment::from_seconds(seconds);
            prop_assert_eq!(moment.rfc3339().parse(), Ok(moment));
        }

        #[test]
        fn no_text_makes_reading_panic(text in "[0-9TZ:-]{0,22}|\\PC{0,22}") {
            if let Ok(moment) = text.parse::<Moment>() {
                prop_assert_eq!(moment.rfc3339(), text);
            }
        }
    }
}

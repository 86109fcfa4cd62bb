//! Times of the epoch count as a person, and RFC 3339, writes them.

use std::fmt;

/// A moment in UTC, to the second (proleptic Gregorian calendar, no leap seconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Utc {
    /// The moment this many seconds after 1970-01-01 00:00:00.
    pub fn from_seconds(seconds: u64) -> Self {
        // After Howard Hinnant's `civil_from_days`: eras of 400 years that begin on 0000-03-01.
        let shifted = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            second_of_day: seconds % 86_400,
        }
    }

    /// `2026-11-22T16:40:05Z`
    pub fn rfc3339(self) -> String {
        self.format('T', "Z")
    }

    fn format(self, separator: char, zone: &str) -> String {
        let Self { year, month, day, second_of_day: s } = self;
        let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
        format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{zone}")
    }
}

/// `2026-11-22 16:40:05 UTC`
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(' ', " UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::Utc;

    #[test]
    fn times_read_as_date_says_them() {
        assert_eq!(Utc::from_seconds(0).to_string(), "1970-01-01 00:00:00 UTC");
        assert_eq!(Utc::from_seconds(951_782_400).to_string(), "2000-02-29 00:00:00 UTC");
        assert_eq!(Utc::from_seconds(1_795_365_605).rfc3339(), "2026-11-22T16:40:05Z");
    }
}

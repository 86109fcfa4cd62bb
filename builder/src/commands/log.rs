//! `slipway log`: what was built.

use std::fmt::Write as _;

use slipway_builder::report::bytes;
use slipway_builder::store::Store;

use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Lists the builds in the store, newest first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the builds of this image
    image: Option<String>,
}

impl Args {
    /// Prints them.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let store = Store::open(&context.out().join("store"))?;
        let entries = store.log(self.image.as_deref())?;
        if context.json() {
            for entry in &entries {
                context.print_json(entry)?;
            }
            return Ok(ExitCode::Success);
        }
        let mut text = String::new();
        for entry in &entries {
            writeln!(
                text,
                "{}  {}  {} {}  {} packages, {}",
                &entry.commit[..12],
                utc(entry.built),
                entry.image,
                entry.version,
                entry.packages,
                bytes(entry.size)
            )?;
        }
        context.print(&text)?;
        Ok(ExitCode::Success)
    }
}

/// `2026-11-22 16:40:05 UTC`, from seconds since 1970 (proleptic Gregorian calendar, no leap seconds).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days from civil, inverted after Hinnant: eras of 400 years from 0000-03-01.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn times_read_as_date_says_them() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_365_605), "2026-11-22 16:40:05 UTC");
    }
}

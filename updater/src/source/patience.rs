//! How long to wait before asking again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Waits between attempts that bring nothing: each twice as long as the one before it, give or take a quarter, so that hosts
/// that were cut off together don't come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Waits in a row after which it is given up. When they are counted anew is up to whoever waits.
    pub attempts: u32,
}

impl Default for Patience {
    /// 1 s to 1 min, eight in a row: some three minutes of waiting, give or take a quarter.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_mins(1), attempts: 8 }
    }
}

impl Patience {
    /// The wait number `attempt`, from 0; `None` when it is to be given up.
    pub fn wait(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled = self.first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(self.longest);
        // Each such hasher has another key, drawn by the system: random enough to spread hosts.
        let share = u32::try_from(RandomState::new().hash_one(attempt) % 1000).unwrap_or(0);
        Some(doubled.mul_f64(0.75 + f64::from(share) / 2000.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let patience = Patience::default();
        for (attempt, seconds) in [(0, 1.0), (1, 2.0), (5, 32.0), (6, 60.0), (7, 60.0)] {
            let wait = patience.wait(attempt).unwrap().as_secs_f64();
            assert!((0.75 * seconds..1.25 * seconds).contains(&wait), "{attempt}: {wait}");
        }
        assert_eq!(patience.wait(8), None);
        assert_ne!(patience.wait(3), patience.wait(3));
    }
}

//! Whether a root is about to expire.

use std::fmt;

use slipway_trust::time::UnixTime;

/// Days before its expiry from which on a root is warned of.
pub const WARN_DAYS: u64 = 60;
const DAY: u64 = 86_400;

/// How long metadata still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// For so many whole days, more than [`WARN_DAYS`].
    Far(u64),
    /// For so many whole days.
    Near(u64),
    /// No longer.
    Over,
}

impl Expiry {
    /// Of something that expires at `expires`, seen at `now`.
    pub fn of(expires: UnixTime, now: UnixTime) -> Self {
        match expires.as_secs().checked_sub(now.as_secs()) {
            None | Some(0) => Self::Over,
            Some(left) if left / DAY > WARN_DAYS => Self::Far(left / DAY),
            Some(left) => Self::Near(left / DAY),
        }
    }

    /// What a person must be told, if anything.
    pub fn warning(self) -> Option<String> {
        match self {
            Self::Far(_) => None,
            Self::Near(days) => {
                Some(format!("the root expires in {days} days: hosts take nothing after that; `slipway keys rotate`"))
            }
            Self::Over => Some(
                "the root has expired: hosts take nothing before there is a new one; `slipway keys rotate`".to_owned(),
            ),
        }
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Far(days) | Self::Near(days) => write!(f, "in {days} days"),
            Self::Over => f.write_str("over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_warned_of_in_time() {
        let now = UnixTime::from_secs(1_800_000_000);
        let at = |days: u64, secs: u64| Expiry::of(now.after(days * DAY + secs), now);
        assert_eq!(at(61, 0), Expiry::Far(61));
        assert_eq!(at(60, 5), Expiry::Near(60));
        assert_eq!(at(0, 1), Expiry::Near(0));
        assert_eq!(at(0, 0), Expiry::Over);
        assert_eq!(Expiry::of(UnixTime::from_secs(0), now), Expiry::Over);
        assert!(at(61, 0).warning().is_none() && at(60, 0).warning().is_some());
    }
}

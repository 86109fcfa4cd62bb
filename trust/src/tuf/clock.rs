//! What time it is, on a machine whose clock may be wrong.
//!
//! Expiry is what stops an attacker from serving old but well-signed metadata for ever. A machine without a battery starts in
//! 1970, where nothing has expired yet. So the clock is never believed when it reads earlier than a moment that is known to
//! have passed: the build time of the image that is running, or the moment at which trusted metadata says that it was signed
//! (`x-slipway-issued`). Such a machine treats the newest of these moments as now. It can't tell that metadata expired since,
//! but it takes nothing that was void already at that moment, and learns the time with the first timestamp that it fetches.
//! A clock that jumps back is the same case. One that is ahead makes everything expired: the error names what the clock
//! reads.

use crate::time::UnixTime;

/// The time of one refresh, fixed when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    reading: UnixTime,
    floor: UnixTime,
}

impl Clock {
    /// The clock reads `reading`, and `floor` is known to have passed (the build time of the running image, say).
    pub const fn new(reading: UnixTime, floor: UnixTime) -> Self {
        Self { reading, floor }
    }

    /// The machine's clock as it is, with no lower bound.
    pub fn of_machine() -> Self {
        Self::new(UnixTime::now(), UnixTime::from_secs(0))
    }

    /// The time that counts.
    pub fn now(self) -> UnixTime {
        self.reading.max(self.floor)
    }

    /// What the machine's clock reads.
    pub const fn reading(self) -> UnixTime {
        self.reading
    }

    /// Whether the machine's clock is known to be wrong, because it reads a time before the lower bound.
    pub fn is_behind(self) -> bool {
        self.reading < self.floor
    }

    /// Trusted metadata says that this moment has passed.
    pub(super) fn raise(&mut self, issued: Option<UnixTime>) {
        self.floor = self.floor.max(issued.unwrap_or(self.floor));
    }
}

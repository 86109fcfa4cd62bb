//! Moments at which something is cut off: random, and the same ones again for the same seed.

use std::time::Duration;

/// A source of moments.
#[derive(Debug)]
pub struct Moments {
    state: u64,
}

impl Moments {
    /// Moments by the number in `$SLIPWAY_SEED`, else by one that is fixed. It is printed.
    pub fn new() -> Self {
        let seed = std::env::var("SLIPWAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_128);
        println!("SLIPWAY_SEED={seed}");
        Self { state: seed }
    }

    /// A moment before `end`.
    pub fn before(&mut self, end: Duration) -> Duration {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = u32::try_from((mixed ^ (mixed >> 31)) >> 40).unwrap_or(0);
        end.mul_f64(f64::from(share) / f64::from(1 << 24))
    }
}

impl Default for Moments {
    fn default() -> Self {
        Self::new()
    }
}

//! What the disk can't say of itself: versions that failed and why, the floor, what is being installed, and what happened.
//!
//! It is kept [twice](crate::two_copies) on the state partition. Where it is lost, nothing is installed, the floor stays
//! unknown, what runs goes on. Only where both copies are missing, as at a first boot, the ledger is empty; the floor is then
//! raised to what runs.

mod contents;

use crate::two_copies::{Document, TwoCopies};

pub use self::contents::{
    BootId, Failure, FailureReason, Happening, LedgerContents, Record, Resume, Trouble, UnixSeconds, Waiting,
};
pub use crate::two_copies::{CopiesError as LedgerError, CopyFiles as LedgerFiles, CopyName, CopyStore as LedgerStore};

/// The ledger, as it is on the state partition.
pub type Ledger<S> = TwoCopies<S, LedgerContents>;

impl Document for LedgerContents {
    const NAME: &'static str = "ledger";
    const MAGIC: &'static str = "slipway-ledger-1";
}

#[cfg(test)]
mod tests;

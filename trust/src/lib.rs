//! Keys, signatures and their verification.

pub mod json;
pub mod key;
#[cfg(feature = "openpgp")]
pub mod openpgp;
pub mod time;
pub mod tuf;

//! Keys, signatures and their verification.

#[cfg(feature = "openpgp")]
pub mod openpgp;
pub mod time;

//! A machine under test.

//! The agent on disks in memory, whose power is cut at every write, and with servers that fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod esp;
mod host;
mod level_p;
mod update;

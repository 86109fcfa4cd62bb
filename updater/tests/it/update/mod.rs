//! Updates from a repository: what is chosen, and that what servers do wrong costs time and never a wrong byte; and when the
//! host restarts.

#![allow(clippy::single_range_in_vec_init, reason = "a list of ranges of blocks, of which there happens to be one")]
#![allow(clippy::type_complexity, reason = "tables of cases")]

mod choose;
mod fleet_lock;
#[path = "../../../../tests/src/http.rs"]
#[allow(dead_code, reason = "the scenarios on virtual machines use more of it")]
mod http;
#[path = "../../../../tests/src/updates/lock_server.rs"]
#[allow(dead_code, reason = "the scenarios on virtual machines use more of it")]
mod lock_server;
mod places;
mod publish;
mod run;
mod server;
mod source;
mod windows;

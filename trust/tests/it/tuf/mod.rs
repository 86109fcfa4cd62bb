//! The client against repositories in memory, with trusted metadata in real folders.

mod caps;
mod clock;
mod delegations;
mod repo;
mod rollback;
mod store;
mod workflow;

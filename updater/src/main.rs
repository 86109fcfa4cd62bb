//! The agent on the host.

fn main() {}

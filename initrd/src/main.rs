//! Opens the verified root, nothing else.

fn main() {}

//! From a recipe to a lock, a tree, an image.

fn main() {}

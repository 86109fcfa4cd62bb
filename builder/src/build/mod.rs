//! A build: from a recipe and its lock to the files of `out/ID_VERSION/`.

mod key;
mod output;

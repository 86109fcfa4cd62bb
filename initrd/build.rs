//! Strips the binary, whatever the profile says: the initrd is part of every boot and of every update.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    println!("cargo::rerun-if-changed=build.rs");
}

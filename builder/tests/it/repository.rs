//! A small package archive, made with `dpkg-deb` and signed with `gpg`, that tests can spoil.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use slipway_images::digest::Digest;
use slipway_trust::openpgp::Certificates;
use tempfile::TempDir;

/// A key with its own home folder of `gpg`.
pub struct Signer {
    home: TempDir,
}

impl Signer {
    pub fn new() -> Self {
        let signer = Self { home: TempDir::with_prefix("gpg").unwrap() };
        signer.gpg(&["--quick-generate-key", "archive", "ed25519", "sign", "5y"], b"");
        signer
    }

    fn gpg(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args(["--faked-system-time", "20250101T000000!"]);
        command.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("gpg (package gnupg) is there");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub fn certificate(&self) -> Vec<u8> {
        self.gpg(&["--armor", "--export"], b"")
    }

    pub fn certificates(&self) -> Certificates {
        Certificates::parse(&self.certificate()).unwrap()
    }

    pub fn clear_sign(&self, text: &str) -> Vec<u8> {
        self.gpg(&["--clear-sign", "--armor"], text.as_bytes())
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

/// Makes a `.deb` with these control fields and one small file.
pub fn deb(folder: &Path, name: &str, version: &str, fields: &str) -> PathBuf {
    let tree = TempDir::new().unwrap();
    let control = tree.path().join("DEBIAN");
    fs::create_dir(&control).unwrap();
    fs::create_dir_all(tree.path().join("usr/share")).unwrap();
    fs::write(tree.path().join("usr/share").join(name), version).unwrap();
    let text = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <n@example.org>\nDescription: none\n{fields}"
    );
    fs::write(control.join("control"), text).unwrap();
    let path = folder.join(format!("{name}_{version}_amd64.deb"));
    let mut command = Command::new("dpkg-deb");
    // The same package at any time.
    command.env("SOURCE_DATE_EPOCH", "1700000000");
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(tree.path()).arg(&path).stdout(Stdio::null());
    assert!(command.status().expect("dpkg-deb is there").success());
    path
}

/// Files of an archive by path, as a server has them.
pub struct Repository {
    pub files: BTreeMap<String, Vec<u8>>,
    packages: String,
}

impl Repository {
    /// An archive with packages given as (name, version, further control fields).
    pub fn new(packages: &[(&str, &str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut repository = Self { files: BTreeMap::new(), packages: String::new() };
        for (name, version, fields) in packages {
            let bytes = fs::read(deb(folder.path(), name, version, fields)).unwrap();
            let path = format!("pool/main/{name}_{version}_amd64.deb");
            let paragraph = format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{fields}Filename: {path}\nSize: {}\nSHA256: {}\n\n",
                bytes.len(),
                Digest::of(&bytes)
            );
            repository.packages.push_str(&paragraph);
            repository.files.insert(format!("/debian/{path}"), bytes);
        }
        repository
    }

    /// Writes and signs the index of a suite. `fields` go to the release file.
    pub fn sign(&mut self, suite: &str, fields: &str, signer: &Signer) {
        let mut xz = Vec::new();
        liblzma::read::XzEncoder::new(self.packages.as_bytes(), 6).read_to_end(&mut xz).unwrap();
        let list = "main/binary-amd64/Packages";
        let row = |bytes: &[u8], path: &str| format!(" {} {} {path}\n", Digest::of(bytes), bytes.len());
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\nDate: Wed, 01 Jan 2025 00:00:00 UTC\nComponents: main\nArchitectures: amd64\n{fields}SHA256:\n{}{}",
            row(self.packages.as_bytes(), list),
            row(&xz, &format!("{list}.xz"))
        );
        self.files.insert(format!("/debian/dists/{suite}/{list}.xz"), xz);
        self.files.insert(format!("/debian/dists/{suite}/InRelease"), signer.clear_sign(&release));
    }
}

//! A package archive with the shared image's packages, signed by a key of its own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use slipway_builder::deb::{Package, UnpackedCache};
use slipway_builder::fetch::Cache;
use slipway_builder::lock::LockedPackage;
use slipway_builder::progress::Silent;
use slipway_images::digest::Digest;
use tempfile::TempDir;

use crate::image::minimal;
use crate::server::{Served, Server};
use crate::workplace::{recipe_and_lock, recipe_with};

/// A signing key in a home folder of `gpg` that goes with it.
pub struct Signer {
    home: TempDir,
}

impl Signer {
    /// A new key, as if made at the begin of 2025, for the signatures of that year and those after it.
    pub fn new() -> Self {
        // The socket of its agent must have a short path.
        let signer = Self { home: TempDir::with_prefix_in("gpg", env::temp_dir()).unwrap() };
        let _ = signer.gpg(&["--quick-generate-key", "archive", "ed25519", "sign", "never"], b"");
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

    /// What verifies its signatures.
    pub fn certificate(&self) -> Vec<u8> {
        self.gpg(&["--armor", "--export"], b"")
    }

    fn clear_sign(&self, text: &str, options: &[&str]) -> Vec<u8> {
        self.gpg(&[options, &["--clear-sign", "--armor"]].concat(), text.as_bytes())
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

/// The archive.
pub struct Archive {
    /// Serves it.
    pub server: Server,
    signer: Signer,
    list: String,
    /// Further fields of the release file.
    fields: &'static str,
    options: &'static [&'static str],
}

/// Path of the index.
pub const RELEASE: &str = "/archive/dists/e2e/InRelease";
/// Path of the list of packages.
pub const PACKAGES: &str = "/archive/dists/e2e/main/binary-amd64/Packages";

impl Archive {
    /// An archive with every package of the shared image, and with those whose control fields `more` has, which can't be
    /// fetched.
    pub fn with(more: &str) -> Self {
        let (recipe, lock) = recipe_and_lock(&minimal().recipe);
        let cache = Cache::of_user().unwrap();
        let unpacked = UnpackedCache::open(cache.root()).unwrap();
        let server = Server::start();
        let mut list = String::new();
        for locked in &lock.packages {
            let deb = cache.get(&locked.sha256).expect("the shared build fetched all packages");
            let package = Package::open(&deb, locked.sha256, &unpacked, &Silent).unwrap();
            list.push_str(&paragraph(&package, locked));
            server.put(&format!("/archive/{}", locked.path), Served::File(deb));
        }
        // What the recipe drops must be there to be dropped: it is what others depend on.
        let dropped: String = recipe.packages.drop.iter().map(|name| dropped(name)).collect();
        for fields in dropped.split("\n\n").chain(more.split("\n\n")).map(str::trim).filter(|fields| !fields.is_empty())
        {
            let digest = Digest::of(fields.as_bytes());
            write!(list, "{fields}\nFilename: pool/none.deb\nSize: 1\nSHA256: {digest}\n\n").unwrap();
        }
        let archive = Self { server, signer: Signer::new(), list, fields: "", options: &[] };
        archive.publish();
        archive
    }

    /// The archive, with these fields in its release file.
    #[must_use]
    pub fn with_fields(mut self, fields: &'static str) -> Self {
        self.fields = fields;
        self.publish();
        self
    }

    /// The archive, signed with these options of `gpg`.
    #[must_use]
    pub fn signed_with(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self.publish();
        self
    }

    fn publish(&self) {
        let list = self.list.as_bytes();
        let release = format!(
            "Suite: e2e\nCodename: e2e\nDate: Wed, 01 Jan 2025 00:00:00 UTC\nComponents: main\nArchitectures: amd64\n{}\
             SHA256:\n {} {} main/binary-amd64/Packages\n",
            self.fields,
            Digest::of(list),
            list.len()
        );
        self.server.put(PACKAGES, Served::Bytes(list.to_vec()));
        self.server.put(RELEASE, Served::Bytes(self.signer.clear_sign(&release, self.options)));
    }

    /// A copy of the shared image's recipe in `folder`, with `more` at its end, that takes all packages from here. It has
    /// no lock yet.
    pub fn recipe(&self, folder: &Path, more: &str) -> PathBuf {
        self.recipe_with_key(folder, more, &self.signer.certificate())
    }

    /// The same with this key.
    pub fn recipe_with_key(&self, folder: &Path, more: &str, key: &[u8]) -> PathBuf {
        let url = self.server.url("/archive");
        let archive = format!(
            "\n[archive]\nsuites = []\n\n[[repository]]\nname = \"e2e\"\nurl = \"{url}\"\nsuite = \"e2e\"\nkey = \"e2e.asc\"\n"
        );
        let recipe = recipe_with(folder, &(archive + more));
        fs::write(folder.join("e2e.asc"), key).unwrap();
        fs::remove_file(recipe.with_extension("lock")).unwrap();
        recipe
    }
}

/// The paragraph of a package that nobody takes.
fn dropped(name: &str) -> String {
    let provides = if name == "mawk" { "Provides: awk\n" } else { "" };
    format!("Package: {name}\nVersion: 9:9\nArchitecture: amd64\n{provides}\n")
}

/// The paragraph of a list for a package: its control fields, and where it is.
fn paragraph(package: &Package, locked: &LockedPackage) -> String {
    let mut text = String::new();
    for (name, value) in package.control.iter().filter(|(name, _)| *name != "Description") {
        writeln!(text, "{name}: {value}").unwrap();
    }
    text + &format!("Filename: {}\nSize: {}\nSHA256: {}\n\n", locked.path, locked.size, locked.sha256)
}

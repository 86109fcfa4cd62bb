//! GnuPG, the independent implementation that makes keys and signatures here.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A GnuPG home folder of its own.
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub fn new() -> Self {
        Self { home: TempDir::with_prefix("gpg").unwrap() }
    }

    /// Runs GnuPG at `time` (`20250101T000000`) and gives what it prints.
    pub fn run(&self, time: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).arg("--faked-system-time").arg(format!("{time}!"));
        command.args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("gpg (package gnupg) is there");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Makes a primary key, such as (`ed25519`, `sign`, `2y`), and gives its fingerprint.
    pub fn key(&self, time: &str, user: &str, algorithm: &str, usage: &str, expires: &str) -> String {
        self.run(time, &["--quick-generate-key", user, algorithm, usage, expires], b"");
        let listing = String::from_utf8(self.run(time, &["--with-colons", "--list-keys", user], b"")).unwrap();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub fn export(&self, user: &str) -> Vec<u8> {
        self.run("20250601T000000", &["--export", user], b"")
    }

    pub fn clear_sign(&self, time: &str, users: &[&str], extra: &[&str], text: &str) -> String {
        let mut args = vec!["--clear-sign", "--armor"];
        for user in users {
            args.extend(["--local-user", user]);
        }
        args.splice(0..0, extra.iter().copied());
        String::from_utf8(self.run(time, &args, text.as_bytes())).unwrap()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

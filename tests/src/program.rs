//! The programs under test, and what a run of one came to.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a folder of the workspace").to_owned()
}

/// The programs of a build, as paths below [`binaries`].
pub const PROGRAMS: [&str; 3] = ["slipway", "guest/slipway-agent", "guest/slipway-initrd"];

/// The folder with the built programs: `$SLIPWAY_BIN`, else `target/release` of the workspace.
pub fn binaries() -> PathBuf {
    let folder = env::var_os("SLIPWAY_BIN").map_or_else(|| workspace().join("target/release"), PathBuf::from);
    for name in PROGRAMS {
        assert!(
            folder.join(name).is_file(),
            "there is no `{name}` in {}: run `make build` first, or set SLIPWAY_BIN to the folder that has it",
            folder.display()
        );
    }
    folder
}

/// `slipway`, to be given arguments. Nothing of the caller's settings reaches it but the cache and the mirror.
pub fn slipway() -> Command {
    let mut command = Command::new(binaries().join("slipway"));
    command.env_remove("SLIPWAY_OUT").env_remove("SLIPWAY_COMPONENTS").stdin(Stdio::null());
    // Servers of the tests are on this machine, whatever proxy leads to others.
    let direct = env::var("no_proxy").map_or_else(|_| "127.0.0.1".to_owned(), |list| list + ",127.0.0.1");
    command.env("no_proxy", direct);
    command
}

/// `slipway --json --cache CACHE lock RECIPE`
pub fn lock(cache: &Path, recipe: &Path) -> Command {
    let mut command = slipway();
    command.arg("--json").arg("--cache").arg(cache).arg("lock").arg(recipe);
    command
}

/// `slipway --json --out OUT build RECIPE`
pub fn build(out: &Path, recipe: &Path) -> Command {
    let mut command = slipway();
    command.arg("--json").arg("--out").arg(out).arg("build").arg(recipe);
    command
}

/// What a run came to.
pub struct Outcome {
    /// The command line, for messages.
    pub command: String,
    /// The exit status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed as results.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(f, "{command}\nexit status {code:?}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

impl Outcome {
    /// Runs `command` to its end. A program that isn't installed fails the test, and is named.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output();
        let line = format!("{command:?}");
        Self::from_output(line.clone(), output.unwrap_or_else(|error| panic!("{line} can't be run: {error}")))
    }

    /// What came of a run of `command`.
    pub fn from_output(command: String, output: Output) -> Self {
        let Output { status, stdout, stderr } = output;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { command, code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// This, if it succeeded.
    #[must_use]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// This, if it ended with `code` and its error, told with `--json`, says every one of `words` and nothing twice.
    #[must_use]
    pub fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        let error = self.error();
        assert_eq!(error["exit_code"], code, "{self}");
        let texts = |list: &Value| list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        let mut said = vec![text(&error["message"])];
        said.extend(texts(&error["causes"]));
        for (at, message) in said.iter().enumerate() {
            assert!(!said[..at].iter().any(|outer| outer.contains(message)), "`{message}` is said twice:\n{self}");
        }
        for problem in error["problems"].as_array().into_iter().flatten() {
            said.extend([text(&problem["message"]), text(&problem["help"])]);
        }
        for word in words {
            assert!(said.iter().any(|message| message.contains(word)), "`{word}` is not said:\n{self}");
        }
        self
    }

    /// The error that `--json` told.
    fn error(&self) -> Value {
        let mut events = self.stderr.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let error = events.find(|event| event["event"] == "error");
        error.unwrap_or_else(|| panic!("no error is told: {self}"))
    }

    /// The result that `--json` printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Runs an oracle, which must be content.
pub fn oracle(program: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Outcome {
    let mut command = Command::new(program);
    // Some of them are an administrator's, and not in a user's path.
    let path = env::var("PATH").unwrap_or_default();
    command.args(args.iter().map(AsRef::as_ref)).env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    Outcome::of(&mut command).succeeded()
}

//! The machine under test: its disk lasts from one start to the next, as a real one's does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use slipway_qemu::{Credential, Disk, GuestError, Machine, Network, Output, QemuError, Running, Stopped};

use super::edition::Build;
use super::esp::EspFiles;
use super::repository::Repository;
use super::server::Server;
use crate::program::Outcome;
use crate::workplace::scratch;

/// An emulated machine on a busy host takes minutes for what takes a real one seconds.
pub const PATIENCE: Duration = Duration::from_mins(8);

/// The timer would come in the midst of a scenario; the service that it starts is started by the scenario.
const NO_TIMER: &str = "[Timer]\nOnBootSec=\nOnBootSec=12h\n";

/// Ends when there is a default route.
const HAS_ROUTE: &str = r"until [[ $(</proc/net/route) == *$'\t'00000000$'\t'* ]]; do sleep 0.2; done";

/// Command lines of agents that run, but for the one through which the test speaks to the machine.
const AGENTS: &str = r#"for file in /proc/[0-9]*/cmdline; do
    { mapfile -d "" -t words <"$file"; } 2>/dev/null
    [[ ${words[0]} != *slipway-agent || ${words[1]} == guest ]] || echo "${words[*]}"
done"#;

/// A machine that updates itself from a repository.
pub struct Host {
    name: String,
    place: PathBuf,
    disk: PathBuf,
    document: String,
    timer: String,
    watchdog: bool,
    starts: usize,
    running: Option<Running>,
}

impl Host {
    /// A machine for the scenario `name` that was never switched on, with a copy of this version's disk. It asks `server`.
    pub fn new(name: &str, build: &Build, server: &Server) -> Self {
        let place = scratch(&format!("scenarios/{name}/host"));
        let disk = place.join("disk.raw");
        let mut copy = Command::new("cp");
        let _ = Outcome::of(copy.args(["--sparse=always", "--reflink=auto"]).arg(build.path("disk.raw")).arg(&disk))
            .succeeded();
        let document = format!("[update]\nurls = [\"{}\"]\n", server.url_in_guest());
        let (name, timer) = (name.to_owned(), NO_TIMER.to_owned());
        Self { name, place, disk, document, timer, watchdog: false, starts: 0, running: None }
    }

    /// The same, switched on and settled.
    pub fn booted(name: &str, build: &Build, server: &Server) -> Self {
        let mut host = Self::new(name, build, server);
        host.start();
        host.wait_until_runs(&build.version);
        host
    }

    /// The same, and `new` is offered to it, with a patch.
    pub fn offered(name: &str, old: &Build, new: &Build) -> (Self, Repository, Server) {
        let mut repository = Repository::new(name);
        repository.publish(new, &[old]);
        let server = Server::start(repository.folder());
        (Self::booted(name, old, &server), repository, server)
    }

    /// With a hardware watchdog.
    #[must_use]
    pub fn with_watchdog(self) -> Self {
        Self { watchdog: true, ..self }
    }

    /// With a timer that comes so many seconds after each boot.
    #[must_use]
    pub fn with_timer(self, seconds: u32) -> Self {
        let timer = format!("[Timer]\nOnBootSec=\nOnBootSec={seconds}s\nRandomizedDelaySec=0\n");
        Self { timer, ..self }
    }

    /// Switches it on.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} is on", self.name);
        self.starts += 1;
        let config = Credential::new("slipway.config", self.document.as_str()).unwrap();
        let timer = Credential::new("systemd.unit-dropin.slipway-update.timer~scenario", self.timer.as_str()).unwrap();
        let mut machine = Machine::new(self.name.as_str())
            .with_guest_channel()
            .network(Network::User { restricted: false, forwards: Vec::new() })
            .credential(config)
            .credential(timer)
            .serial_file(self.place.join(format!("console-{}.log", self.starts)))
            .disk(Disk::raw(&self.disk));
        if self.watchdog {
            machine = machine.with_watchdog();
        }
        self.running = Some(machine.start().unwrap());
    }

    /// The machine, which is on.
    pub fn machine(&mut self) -> &mut Running {
        self.running.as_mut().expect("the machine is on")
    }

    /// Pulls the plug.
    pub fn cut_power(&mut self) -> Stopped {
        self.running.take().expect("the machine is on").cut_power().unwrap()
    }

    /// Switches it off in order. There is nobody in the image who listens to the power button.
    pub fn power_off(&mut self) -> Stopped {
        // The answer may be cut off.
        let _ = self.try_run(&["systemctl", "poweroff"], PATIENCE);
        self.running.take().expect("the machine is on").wait_until_off(PATIENCE).unwrap()
    }

    /// The file with its disk. Only a machine that is off doesn't mind when it is written to.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Its ESP; the machine is off.
    pub fn esp(&self) -> EspFiles {
        assert!(self.running.is_none(), "{} is on", self.name);
        EspFiles::of(&self.disk)
    }

    /// How often it has restarted since it was switched on.
    pub fn resets(&mut self) -> usize {
        self.machine().events().iter().filter(|event| event.name == "RESET").count()
    }

    /// What the console said since it was switched on.
    pub fn console(&mut self) -> Vec<String> {
        self.machine().serial().lines().into_iter().map(|line| line.text).collect()
    }

    /// Waits until it has started, whatever that is, and restarts by itself.
    pub fn starts_and_restarts(&mut self) {
        self.machine().guest().unwrap().wait_for_hello(PATIENCE).unwrap();
        let before = self.machine().events().len();
        self.machine().wait_for_reset(before, PATIENCE).unwrap();
    }

    /// Runs a command in it, unless it restarts meanwhile.
    pub fn try_run(&mut self, command: &[&str], timeout: Duration) -> Result<Output, QemuError> {
        self.machine().guest()?.run(command, timeout)
    }

    /// Runs a command in it.
    pub fn run(&mut self, command: &[&str]) -> Output {
        self.try_run(command, PATIENCE).unwrap()
    }

    /// What a command prints, which must succeed.
    pub fn output(&mut self, command: &[&str]) -> String {
        let output = self.run(command);
        assert!(output.succeeded(), "{command:?}: {output:?}");
        output.stdout
    }

    /// What a line of `bash` prints, which must succeed.
    pub fn shell(&mut self, line: &str) -> String {
        self.output(&["/bin/bash", "-c", line])
    }

    /// What `slipway-agent status --json` says of the update: state, slots, ledger.
    pub fn status(&mut self) -> Value {
        let output = self.run(&["slipway-agent", "status", "--json"]);
        // 3: something is not as it should be.
        assert!(matches!(output.status, Some(0 | 3)), "{output:?}");
        let mut status: Value = serde_json::from_str(&output.stdout).unwrap();
        let update = status["update"].take();
        assert!(update.is_object(), "the agent can't say how updates stand: {status}");
        update
    }

    /// The versions that failed here, each with the reason as JSON has it.
    pub fn failures(&mut self) -> Vec<(String, Value)> {
        let failures = self.status()["ledger"]["failures"].as_array().cloned().unwrap_or_default();
        let label = |failure: &Value| failure["label"].as_str().unwrap_or_default().to_owned();
        failures.iter().map(|failure| (label(failure), failure["reason"].clone())).collect()
    }

    /// What is not as it should be.
    pub fn problems(&mut self) -> Vec<String> {
        let output = self.run(&["slipway-agent", "status", "--json"]);
        let status: Value = serde_json::from_str(&output.stdout).unwrap();
        serde_json::from_value(status["problems"].clone()).unwrap()
    }

    /// The agents that run in it now: command lines.
    pub fn agents(&mut self) -> Vec<String> {
        self.shell(AGENTS).lines().map(str::to_owned).collect()
    }

    /// Whether systemd had to check `/var` before it mounted it: otherwise the initrd has mounted it.
    pub fn state_was_checked(&mut self) -> bool {
        let ran = self.output(&["systemctl", "show", "-P", "ConditionResult", "slipway-check-state.service"]);
        ran.trim() == "yes"
    }

    /// What `slipway-agent explain` says.
    pub fn explain(&mut self) -> String {
        let output = self.run(&["slipway-agent", "explain"]);
        assert!(matches!(output.status, Some(0 | 3)), "{output:?}");
        output.stdout
    }

    /// Lets the service that the timer starts do its pass, which ends with a restart.
    pub fn update_and_restart(&mut self) {
        let before = self.machine().events().len();
        let _ = self.output(&["systemctl", "start", "--no-block", "slipway-update.service"]);
        if let Err(error) = self.machine().wait_for_reset(before, PATIENCE) {
            let log = self.run(&["journalctl", "--no-pager", "-u", "slipway-update.service"]);
            panic!("{error}\nthe service said: {}", log.stdout);
        }
    }

    /// Lets the service do its pass, which ends without a restart. Gives what it said.
    pub fn pass(&mut self) -> String {
        let _ = self.run(&["systemctl", "start", "slipway-update.service"]);
        self.shell("journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID slipway-update.service)")
    }

    /// Restarts it in order.
    pub fn restart(&mut self) {
        let before = self.machine().events().len();
        match self.try_run(&["systemctl", "reboot"], PATIENCE) {
            Ok(_) | Err(QemuError::Guest { error: GuestError::Restarted(_), .. }) => {}
            Err(error) => panic!("{error}"),
        }
        self.machine().wait_for_reset(before, PATIENCE).unwrap();
    }

    /// Waits until this version has started and its boot is done, whatever is tried before it.
    pub fn wait_until_runs(&mut self, version: &str) {
        let deadline = Instant::now() + 2 * PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let hello = self.machine().guest().unwrap().wait_for_hello(left);
            hello.unwrap_or_else(|error| panic!("{version} doesn't come up, but {seen:?}: {error}"));
            match self.version_after_boot(Some(version)) {
                Ok(found) if found == version => return,
                Ok(found) => seen.push(found),
                // It has restarted, or is about to.
                Err(_) => seen.push("a restart".to_owned()),
            }
        }
    }

    /// Waits until a boot is done, of whichever version, and says which that is.
    pub fn wait_until_settled(&mut self) -> String {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.machine().guest().unwrap().wait_for_hello(left).unwrap();
            // Otherwise it has restarted, or is about to.
            if let Ok(version) = self.version_after_boot(None) {
                return version;
            }
        }
    }

    /// The version that has started; of the one that is waited for, or of any, when its boot is done.
    fn version_after_boot(&mut self, awaited: Option<&str>) -> Result<String, QemuError> {
        let short = Duration::from_mins(1);
        let line = ". /usr/lib/os-release; echo $IMAGE_VERSION";
        let version = self.try_run(&["/bin/bash", "-c", line], short)?.stdout.trim().to_owned();
        if awaited.is_none_or(|awaited| version == awaited) {
            // Whatever the state is called, the boot is done then, and a version on trial is kept.
            self.try_run(&["systemctl", "is-system-running", "--wait"], PATIENCE)?;
            // No service waits for an address, and an update by hand needs one.
            self.try_run(&["/bin/bash", "-c", HAS_ROUTE], PATIENCE)?;
        }
        Ok(version)
    }
}

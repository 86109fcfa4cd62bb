//! A machine that runs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::accelerator::Choice;
use crate::command::{Files, arguments, shell_quoted};
use crate::disk::Disk;
use crate::error::{Context, QemuError};
use crate::fault::{DiskFault, Nodes, can_break};
use crate::guest::{Channel, Guest, GuestError};
use crate::machine::{Console, Machine};
use crate::prepare;
use crate::process::Process;
use crate::program::Program;
use crate::qmp::{Event, Monitor};
use crate::serial::{Mark, SerialLine, SerialLog};
use crate::smbios;
use crate::stopped::Stopped;

/// QEMU connects to its sockets, and answers commands, within a fraction of a second; much slower on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many lines an error shows of stderr and of the console.
const TAIL: usize = 15;

/// Paths of sockets have at most 107 bytes (`unix(7)`).
const SOCKET_PATH_MAX: usize = 107;

/// A machine that runs. Dropping it switches it off at once and removes its temporary files.
pub struct Running {
    // In this order: the process ends before its folder goes.
    process: Process,
    monitor: Monitor,
    console: Option<JoinHandle<()>>,
    channel: Option<Channel>,
    evidence: Evidence,
    forwards: Vec<(u16, u16)>,
    disks: Vec<Disk>,
    /// Those of `disks` that have faults.
    broken: BTreeSet<usize>,
    choice: Choice,
    name: String,
    start: Instant,
    _folder: TempDir,
}

/// What an error tells of a machine.
pub(crate) struct Evidence {
    command: String,
    stderr: PathBuf,
    serial: SerialLog,
}

impl Evidence {
    #[expect(clippy::unnecessary_box_returns, reason = "it is boxed in every error")]
    fn context(&self) -> Box<Context> {
        let stderr = fs::read(&self.stderr).unwrap_or_default();
        let stderr: Vec<String> = String::from_utf8_lossy(&stderr).lines().map(str::to_owned).collect();
        Box::new(Context {
            command: self.command.clone(),
            stderr: stderr[stderr.len().saturating_sub(TAIL)..].to_vec(),
            serial: self.serial.tail(TAIL),
        })
    }

    pub(crate) fn guest(&self, error: GuestError) -> QemuError {
        QemuError::Guest { error, context: self.context() }
    }

    fn monitor(&self, what: String) -> QemuError {
        QemuError::Monitor { what, context: self.context() }
    }

    fn deadline(&self, waiting: &str, after: Duration) -> QemuError {
        QemuError::Deadline { waiting: waiting.to_owned(), after, context: self.context() }
    }

    fn ended(&self, waiting: &str, status: Option<ExitStatus>) -> QemuError {
        let status = status.map_or_else(|| "unknown status".to_owned(), |status| status.to_string());
        QemuError::Ended { waiting: waiting.to_owned(), status, context: self.context() }
    }
}

impl Running {
    pub(crate) fn start(machine: &Machine) -> Result<Self, QemuError> {
        let program = Program::find()?;
        let choice = Choice::new(machine.accel, &program)?;
        let folder = temporary_folder()?;
        let at = |name: &str| folder.path().join(name);
        let (disks, flash) = (prepare::disks(machine, folder.path())?, prepare::flash(machine, folder.path())?);
        let host_ports = prepare::host_ports(machine)?;
        let files = Files {
            monitor: at("qmp"),
            console: at("console"),
            channel: at("channel"),
            flash,
            disks,
            smbios: smbios::arguments(&machine.credentials, folder.path())?,
            host_ports: host_ports.iter().map(|(host, _)| *host).collect(),
        };
        // QEMU is the one that connects: then nothing has to be polled for.
        let monitor_listener = listen(&files.monitor)?;
        let captured = machine.console == Console::Captured;
        let console_listener = captured.then(|| listen(&files.console)).transpose()?;
        let channel_listener = machine.guest_channel.then(|| listen(&files.channel)).transpose()?;
        let serial_file = match &machine.serial_file {
            Some(path) if captured => Some(File::create(path).map_err(QemuError::io("create", path))?),
            _ => None,
        };

        let mut command = Command::new(program.path());
        command.args(arguments(machine, choice.accelerator, &files));
        let stderr = at("stderr");
        if captured {
            let errors = File::create(&stderr).map_err(QemuError::io("create", &stderr))?;
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        }
        let start = Instant::now();
        let serial = SerialLog::new(start);
        let evidence = Evidence { command: shell_quoted(&command), stderr, serial: serial.clone() };
        let mut process = Process::spawn(&mut command).map_err(QemuError::io("start", program.path()))?;

        let deadline = Instant::now() + PATIENCE;
        let mut accept = |listener: &UnixListener, what: &'static str| -> Result<UnixStream, QemuError> {
            match process.accept(listener, deadline).map_err(QemuError::io("accept a connection at", what))? {
                Some(stream) => Ok(stream),
                None if process.status().is_some() => Err(evidence.ended("it was starting", process.status())),
                None => Err(evidence.deadline("QEMU to connect its sockets", PATIENCE)),
            }
        };
        let monitor_stream = accept(&monitor_listener, "the monitor's socket")?;
        let console = match &console_listener {
            Some(listener) => {
                let stream = accept(listener, "the console's socket")?;
                Some(thread::spawn(move || serial.follow(stream, serial_file)))
            }
            None => None,
        };
        let channel = match &channel_listener {
            Some(listener) => {
                let stream = accept(listener, "the channel's socket")?;
                Some(Channel::new(stream).map_err(QemuError::io("use", &files.channel))?)
            }
            None => None,
        };
        let handshake = Monitor::connect(monitor_stream, start, PATIENCE).and_then(|mut monitor| {
            monitor.command("cont", &Value::Null, PATIENCE)?;
            Ok(monitor)
        });
        let monitor = handshake.map_err(|what| {
            // It may have ended just now, over a disk that another machine has, say; then that is the news.
            match process.ended_by(Instant::now() + Duration::from_millis(200)) {
                Ok(true) => evidence.ended("it was starting", process.status()),
                _ => evidence.monitor(what),
            }
        })?;
        let name = machine.name.clone();
        Ok(Self {
            process,
            monitor,
            console,
            channel,
            evidence,
            forwards: host_ports,
            disks: machine.disks.clone(),
            broken: BTreeSet::new(),
            choice,
            name,
            start,
            _folder: folder,
        })
    }

    /// Id of QEMU's process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// What executes the guest, and why.
    pub fn accelerator(&self) -> &Choice {
        &self.choice
    }

    /// The command line, quoted for a shell.
    pub fn command_line(&self) -> &str {
        &self.evidence.command
    }

    /// The port of the host, on 127.0.0.1, that leads to that of the guest.
    pub fn host_port(&self, guest: u16) -> Option<u16> {
        self.forwards.iter().find(|(_, to)| *to == guest).map(|(host, _)| *host)
    }

    /// Since the machine was switched on.
    pub fn up_time(&self) -> Duration {
        self.start.elapsed()
    }

    /// CPU time, of user and system, that QEMU used so far.
    pub fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// What the console said so far.
    pub fn serial(&self) -> &SerialLog {
        &self.evidence.serial
    }

    /// The first line of the console that has `pattern` in it.
    pub fn wait_for_serial(&self, pattern: &str, within: Duration) -> Result<SerialLine, QemuError> {
        self.wait_for_serial_after(Mark::default(), pattern, within).map(|(line, _)| line)
    }

    /// The first line after `after` that has `pattern` in it, and the place behind it.
    pub fn wait_for_serial_after(
        &self,
        after: Mark,
        pattern: &str,
        within: Duration,
    ) -> Result<(SerialLine, Mark), QemuError> {
        self.serial()
            .wait_for(pattern, after, Instant::now() + within)
            .ok_or_else(|| self.evidence.deadline(&format!("`{pattern}` on the console"), within))
    }

    /// All that QEMU reported so far.
    pub fn events(&self) -> Vec<Event> {
        self.monitor.events()
    }

    /// The first event of that name (`RESET`, `WATCHDOG`, …) that isn't among the first `after` ones: count [`Self::events`]
    /// before causing one.
    pub fn wait_for_event(&self, name: &str, after: usize, within: Duration) -> Result<Event, QemuError> {
        self.monitor
            .wait_for_event(name, after, Instant::now() + within)
            .ok_or_else(|| self.evidence.deadline(&format!("event {name}"), within))
    }

    /// Waits until the guest restarts. Count [`Self::events`] before causing it.
    pub fn wait_for_reset(&self, after: usize, within: Duration) -> Result<Event, QemuError> {
        self.wait_for_event("RESET", after, within)
    }

    /// The agent in the guest. An error if the machine was described without [`Machine::with_guest_channel`].
    pub fn guest(&mut self) -> Result<Guest<'_>, QemuError> {
        match &mut self.channel {
            Some(channel) => Ok(Guest::new(channel, &self.evidence)),
            None => Err(QemuError::Description {
                machine: self.name.clone(),
                what: "it has no channel into the guest".into(),
            }),
        }
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<(), QemuError> {
        self.command("system_reset", &Value::Null).map(drop)
    }

    /// Gives a QMP command.
    pub fn command(&mut self, name: &str, arguments: &Value) -> Result<Value, QemuError> {
        self.monitor.command(name, arguments, PATIENCE).map_err(|what| self.evidence.monitor(what))
    }

    /// From now on a disk, by its place in the machine's description, has these faults and no others; none mend it. It is a raw
    /// image that is written directly.
    pub fn break_disk(&mut self, index: usize, faults: &[DiskFault]) -> Result<(), QemuError> {
        if !self.disks.get(index).is_some_and(can_break) {
            let what = format!("disk {index} is no raw image that is written directly");
            return Err(QemuError::Description { machine: self.name.clone(), what });
        }
        for (name, arguments) in Nodes::of(index).commands(faults, self.broken.contains(&index)) {
            self.command(name, &arguments)?;
        }
        if faults.is_empty() {
            self.broken.remove(&index)
        } else {
            self.broken.insert(index)
        };
        Ok(())
    }

    /// Presses the power button (ACPI) and waits until the guest has switched itself off.
    pub fn power_off(mut self, within: Duration) -> Result<Stopped, QemuError> {
        self.command("system_powerdown", &Value::Null)?;
        self.wait_until_off(within)
    }

    /// Waits until the machine is off, by whatever means.
    pub fn wait_until_off(mut self, within: Duration) -> Result<Stopped, QemuError> {
        if !self.process.ended_by(Instant::now() + within).map_err(QemuError::io("await", "QEMU"))? {
            return Err(self.evidence.deadline("the machine to be off", within));
        }
        self.stopped()
    }

    /// Waits until the machine is off, however long that takes: for a person at the console.
    pub fn wait(mut self) -> Result<Stopped, QemuError> {
        self.process.wait().map_err(QemuError::io("await", "QEMU"))?;
        self.stopped()
    }

    /// Pulls the plug: SIGKILL. What the guest had not flushed may be lost, as with a real disk.
    pub fn cut_power(mut self) -> Result<Stopped, QemuError> {
        self.process.kill().map_err(QemuError::io("kill", "QEMU"))?;
        self.stopped()
    }

    fn stopped(mut self) -> Result<Stopped, QemuError> {
        let status = self.process.kill().map_err(QemuError::io("await", "QEMU"))?;
        let up_time = self.start.elapsed();
        // The sockets are closed now: what was said last is read to its end.
        self.monitor.join();
        if let Some(console) = self.console.take() {
            // It only panics if this crate is wrong; the log is there anyway.
            let _ = console.join();
        }
        let serial = self.evidence.serial.clone();
        Ok(Stopped { status, serial, events: self.monitor.events(), cpu_time: self.process.cpu_time(), up_time })
    }
}

/// A folder whose path leaves room for the names of sockets.
fn temporary_folder() -> Result<TempDir, QemuError> {
    let usual = std::env::temp_dir();
    let room =
        |folder: &Path| folder.as_os_str().as_bytes().len() + "/slipway-vm-XXXXXX/channel".len() <= SOCKET_PATH_MAX;
    let parent = if room(&usual) { usual } else { PathBuf::from("/tmp") };
    tempfile::Builder::new()
        .prefix("slipway-vm-")
        .tempdir_in(&parent)
        .map_err(QemuError::io("make a folder in", parent))
}

fn listen(path: &Path) -> Result<UnixListener, QemuError> {
    UnixListener::bind(path)
        .and_then(|listener| listener.set_nonblocking(false).map(|()| listener))
        .map_err(|error: io::Error| QemuError::io("listen at", path)(error))
}

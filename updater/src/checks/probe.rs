//! One look at what a check is about.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use slipway_images::checks::CheckKind;

use super::http;
use crate::process::{self, Finished};

/// How much of a command's output is searched.
const OUTPUT_LIMIT: usize = 1 << 20;

/// What timesyncd makes when the clock was set.
pub(super) const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// When the checks are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// By a unit that is part of the boot: the system can't be fully started before it is done.
    Booting,
    /// After the boot.
    Running,
}

/// What was seen, or why it is not as it should be. Takes no longer than `time`.
pub(super) fn look(kind: &CheckKind, phase: Phase, time: Duration) -> Result<String, String> {
    match kind {
        CheckKind::Unit(unit) => unit_is_active(unit, time),
        CheckKind::NoFailedUnits => no_failed_units(phase, time),
        CheckKind::Command { argv, prints } => command_succeeds(argv, prints.as_deref(), time),
        CheckKind::Tcp(address) => accepts(address, time),
        CheckKind::Http(url) => http::get(url, Instant::now() + time).map_err(|error| error.to_string()),
        CheckKind::Container(name) => container_runs(name, time),
        CheckKind::Disk { path, free } => disk_has(Path::new(path), *free),
        CheckKind::Clock => clock_is_set(Path::new(SYNCHRONIZED), time),
    }
}

fn tool(argv: &[&str], time: Duration) -> Result<Finished, String> {
    process::run(argv, time, OUTPUT_LIMIT).map_err(|error| error.to_string())
}

fn unit_is_active(unit: &str, time: Duration) -> Result<String, String> {
    let shown = tool(&["systemctl", "show", "--property=LoadState,ActiveState,SubState,Result", "--", unit], time)?;
    if !shown.succeeded() {
        return Err(format!("systemctl {}", shown.failure()));
    }
    judge_unit(unit, &shown.text())
}

/// Reads what `systemctl show` printed.
fn judge_unit(unit: &str, shown: &str) -> Result<String, String> {
    let value = |key: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or("unknown")
    };
    match (value("LoadState"), value("ActiveState")) {
        ("not-found", _) => Err(format!("there is no {unit}")),
        (_, "active") => Ok(format!("active ({})", value("SubState"))),
        (_, state) => Err(format!("{unit} is {state} ({}, result {})", value("SubState"), value("Result"))),
    }
}

fn no_failed_units(phase: Phase, time: Duration) -> Result<String, String> {
    let started = Instant::now();
    let failed = tool(&["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"], time)?;
    if !failed.succeeded() {
        return Err(format!("systemctl {}", failed.failure()));
    }
    let text = failed.text();
    let units: Vec<&str> = text.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    if !units.is_empty() {
        return Err(format!("failed: {}", units.join(", ")));
    }
    // It ends with a status other than 0 for every state but `running`: the text is what counts.
    let state = tool(&["systemctl", "is-system-running"], time.saturating_sub(started.elapsed()))?.text();
    match (state.trim(), phase) {
        ("running", _) => Ok("none failed, system running".to_owned()),
        ("starting", Phase::Booting) => Ok("none failed so far".to_owned()),
        ("", _) => Err("systemctl doesn't say whether the system is running".to_owned()),
        (other, _) => Err(format!("no unit failed, and the system is {other}")),
    }
}

fn command_succeeds(argv: &[String], prints: Option<&str>, time: Duration) -> Result<String, String> {
    let finished = process::run(argv, time, OUTPUT_LIMIT).map_err(|error| error.to_string())?;
    if !finished.succeeded() {
        return Err(finished.failure());
    }
    match prints {
        Some(text) if !finished.text().contains(text) => {
            let said = finished.text().trim().lines().last().unwrap_or("nothing").to_owned();
            Err(format!("printed `{said}`, where `{text}` was expected"))
        }
        Some(text) => Ok(format!("printed `{text}`")),
        None => Ok("succeeded".to_owned()),
    }
}

fn accepts(address: &str, time: Duration) -> Result<String, String> {
    connect(address, Instant::now() + time).map(|_| "accepts connections".to_owned()).map_err(|error| error.to_string())
}

/// Connects to `HOST:PORT`. The host is an address or `localhost`: names are looked up by nobody here, since a check of
/// the host must not depend on the name servers, and a static program can't use the system's resolver.
pub(super) fn connect(address: &str, deadline: Instant) -> io::Result<TcpStream> {
    let addresses = match (address.parse::<SocketAddr>(), address.strip_prefix("localhost:").map(str::parse::<u16>)) {
        (Ok(address), _) => vec![address],
        (_, Some(Ok(port))) => vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()],
        _ => {
            let reason = format!("`{address}` is not ADDRESS:PORT, such as 127.0.0.1:80, or localhost:PORT");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
    };
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

fn container_runs(name: &str, time: Duration) -> Result<String, String> {
    let format = "{{.State.Running}} {{.State.Status}} {{.State.ExitCode}}";
    let inspected = tool(&["docker", "container", "inspect", "--format", format, "--", name], time)?;
    if !inspected.succeeded() {
        return Err(format!("docker {}", inspected.failure()));
    }
    judge_container(&inspected.text())
}

/// Reads what `docker container inspect` printed: whether it runs, its state, its last exit code.
fn judge_container(inspected: &str) -> Result<String, String> {
    match inspected.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        ["true", state, _] => Ok(state.to_owned()),
        ["false", state, code] => Err(format!("{state}, exit code {code}")),
        _ => Err(format!("docker says `{}`", inspected.trim())),
    }
}

fn disk_has(path: &Path, free: u64) -> Result<String, String> {
    let stat = rustix::fs::statvfs(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let available = stat.f_bavail.saturating_mul(stat.f_frsize);
    let said = format!("{} MB free on {}", available / 1_000_000, path.display());
    if available >= free { Ok(said) } else { Err(format!("{said}, and {} MB are wanted", free.div_ceil(1_000_000))) }
}

pub(super) fn clock_is_set(mark: &Path, time: Duration) -> Result<String, String> {
    if mark.exists() {
        return Ok("synchronised".to_owned());
    }
    // Another time service than timesyncd leaves no mark, but tells the kernel.
    let shown = tool(&["timedatectl", "show", "--property=NTPSynchronized", "--value"], time)?;
    match shown.text().trim() {
        "yes" => Ok("synchronised".to_owned()),
        _ if !shown.succeeded() => Err(format!("timedatectl {}", shown.failure())),
        _ => Err("the clock is not synchronised".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    fn command(argv: &[&str], prints: Option<&str>) -> Result<String, String> {
        let argv = argv.iter().map(ToString::to_string).collect();
        look(&CheckKind::Command { argv, prints: prints.map(ToOwned::to_owned) }, Phase::Running, TIME)
    }

    #[test]
    fn a_command_must_succeed_and_print() {
        assert!(command(&["true"], None).is_ok());
        assert!(command(&["echo", "hello world"], Some("lo wo")).is_ok());
        assert_eq!(command(&["echo", "hi"], Some("x")).unwrap_err(), "printed `hi`, where `x` was expected");
        assert_eq!(command(&["sh", "-c", "echo no >&2; exit 4"], None).unwrap_err(), "ended with status 4: no");
        assert!(command(&["/nonexistent"], None).unwrap_err().contains("/nonexistent"));
    }

    #[test]
    fn a_hanging_command_is_killed() {
        let kind = CheckKind::Command { argv: vec!["sleep".into(), "60".into()], prints: None };
        let reason = look(&kind, Phase::Running, Duration::from_millis(100)).unwrap_err();
        assert_eq!(reason, "was killed when its time was up");
    }

    #[test]
    fn a_port_is_open_or_says_why_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tcp = |address: String| look(&CheckKind::Tcp(address), Phase::Running, TIME);
        assert!(tcp(format!("127.0.0.1:{port}")).is_ok());
        assert!(tcp(format!("localhost:{port}")).is_ok());
        drop(listener);
        assert!(tcp(format!("127.0.0.1:{port}")).unwrap_err().contains("refused"));
        assert!(tcp("example.com:80".into()).unwrap_err().contains("ADDRESS:PORT"));
    }

    #[test]
    fn a_unit_is_judged_by_its_states() {
        let judge = |text| judge_unit("a.service", text);
        assert_eq!(judge("LoadState=loaded\nActiveState=active\nSubState=running\n").unwrap(), "active (running)");
        let failed = "Result=exit-code\nLoadState=loaded\nActiveState=failed\nSubState=failed\n";
        assert_eq!(judge(failed).unwrap_err(), "a.service is failed (failed, result exit-code)");
        assert_eq!(judge("LoadState=not-found\nActiveState=inactive\n").unwrap_err(), "there is no a.service");
        assert!(judge("").is_err());
    }

    #[test]
    fn a_container_is_judged_by_its_state() {
        assert_eq!(judge_container("true running 0\n").unwrap(), "running");
        assert_eq!(judge_container("false exited 137\n").unwrap_err(), "exited, exit code 137");
        assert!(judge_container("").is_err());
    }

    #[test]
    fn free_space_is_what_others_than_root_may_use() {
        assert!(disk_has(Path::new("/"), 1).is_ok());
        assert!(disk_has(Path::new("/"), u64::MAX).unwrap_err().contains("are wanted"));
        assert!(disk_has(Path::new("/nonexistent"), 1).is_err());
    }

    #[test]
    fn the_mark_of_the_time_service_is_enough() {
        let mark = tempfile::NamedTempFile::new().unwrap();
        assert!(clock_is_set(mark.path(), TIME).is_ok());
    }
}

//! The serial port that the channel runs over.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};

/// Why a port can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't {what} {path}: {source}")]
pub struct PortError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Opens a port for reading and writing; a terminal is made to pass on bytes as they are, without echo.
pub fn open_port(path: &Path) -> Result<File, PortError> {
    let error = |what| move |errno: rustix::io::Errno| PortError { what, path: path.to_owned(), source: errno.into() };
    // Not to become this process's controlling terminal: a hang-up would end it.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let port: OwnedFd = open(path, flags, Mode::empty()).map_err(error("open"))?;
    if isatty(&port) {
        let mut settings = tcgetattr(&port).map_err(error("read the settings of"))?;
        settings.make_raw();
        tcsetattr(&port, OptionalActions::Now, &settings).map_err(error("change the settings of"))?;
    }
    Ok(port.into())
}

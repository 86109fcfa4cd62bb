//! Local `.deb` files: their control paragraph, read for the solver.
//!
//! The user chose the files, yet they may be damaged: what is unpacked has a limit, and a form that isn't that of deb(5)
//! is an error with the file's name.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use slipway_images::digest::Digest;

use crate::apt::{LOCAL, PackageRecord, RecordError, record_from_control};
use crate::archive::ArchiveError;
use crate::archive::compression::{Compression, Threads};
use crate::archive::tar::{Limits, MemberKind, read_members};
use crate::deb::ar::{self, MemberReader};
use crate::deb::control::{self, ControlError};

/// How much a control archive may hold.
const CONTROL_LIMITS: Limits = Limits { bytes: 32 << 20, members: 1000 };

/// Why a local package can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalPackageError {
    /// It can't be read.
    #[error("the package {path} can't be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no package.
    #[error("{path} is no Debian package: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Its control paragraph is no good.
    #[error("the package {path} can't be used")]
    Control {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RecordError,
    },
}

/// The record of the file at `path`, whose path in the lock is relative to `recipe_folder`.
pub(super) fn record(path: &Path, recipe_folder: &Path) -> Result<PackageRecord, LocalPackageError> {
    let read = |source| LocalPackageError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let (sha256, size) = Digest::of_reader(&mut file).map_err(read)?;
    let text = control_text(&file);
    let text = text.map_err(|Damage(reason)| LocalPackageError::Form { path: path.to_owned(), reason })?;
    let control = |source| LocalPackageError::Control { path: path.to_owned(), source };
    let paragraph = control::paragraph(&text).map_err(|error: ControlError| control(error.into()))?;
    let place: (Arc<str>, Arc<str>) = (LOCAL.into(), LOCAL.into());
    let relative = relative(path, recipe_folder);
    record_from_control(&paragraph, place, &relative.to_string_lossy(), (size, sha256)).map_err(control)
}

/// `path` as seen from `folder`; both absolute.
pub(super) fn relative(path: &Path, folder: &Path) -> PathBuf {
    let (path, folder): (Vec<Component<'_>>, Vec<_>) = (path.components().collect(), folder.components().collect());
    let common = path.iter().zip(&folder).take_while(|(a, b)| a == b).count();
    let up = folder[common..].iter().map(|_| Component::ParentDir);
    up.chain(path[common..].iter().copied()).collect()
}

/// `file:` URL of an absolute path.
pub(super) fn file_url(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+:@=,".contains(byte) {
            url.push(char::from(*byte));
        } else {
            url.push_str(&["%", &hex::encode_upper([*byte])].concat());
        }
    }
    url
}

fn control_text(file: &File) -> Result<String, Damage> {
    let members = ar::members(file).map_err(|error| Damage(error.to_string()))?;
    let member = members.iter().find(|member| member.name.starts_with("control.tar"));
    let member = member.ok_or_else(|| Damage("it has no control archive".to_owned()))?;
    let reader = BufReader::new(MemberReader::new(file, member));
    let tar = Compression::by_name(&member.name, "control.tar")?.decoder(reader, member.len, Threads::One)?;
    let mut control = None;
    read_members(tar, &CONTROL_LIMITS, |member, content| {
        if member.path == "control" && member.kind == MemberKind::File {
            let mut text = String::new();
            content.read_to_string(&mut text).map_err(ArchiveError::Read)?;
            control = Some(text);
        }
        Ok::<_, Damage>(())
    })?;
    control.ok_or_else(|| Damage("its control archive has no file `control`".to_owned()))
}

/// Why a file is no package.
struct Damage(String);

impl From<ArchiveError> for Damage {
    fn from(error: ArchiveError) -> Self {
        let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
        Self(format!("{error}{source}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_seen_from_the_recipe() {
        let seen = |path: &str, folder: &str| relative(Path::new(path), Path::new(folder)).display().to_string();
        assert_eq!(seen("/a/b/debs/x.deb", "/a/b"), "debs/x.deb");
        assert_eq!(seen("/a/c/x.deb", "/a/b/d"), "../../c/x.deb");
        assert_eq!(file_url(Path::new("/a b/ü.deb")), "file:///a%20b/%C3%BC.deb");
    }
}

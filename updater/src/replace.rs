//! Small files, replaced as a whole: whoever reads one finds the old content or the new.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Replaces a file, and makes its folder if that is missing. When this returns, the new content is on the disk; a power cut before
/// that leaves the old one or the new one, whole.
pub fn durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let (folder, new) = beside(path)?;
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    // The name is in the folder, and lasts only when that is on the disk too.
    File::open(folder)?.sync_all()
}

/// Replaces a file, and makes its folder if that is missing, for one that need not outlast a power cut. Everybody may read it,
/// whatever the mask is under which it is written.
pub fn for_now(path: &Path, content: &[u8]) -> io::Result<()> {
    let (_, new) = beside(path)?;
    fs::write(&new, content)?;
    fs::set_permissions(&new, Permissions::from_mode(0o644))?;
    fs::rename(new, path)
}

/// The folder of a file, and a name in it under which the new content is written.
fn beside(path: &Path) -> io::Result<(&Path, PathBuf)> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(folder)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((folder, folder.join(format!(".{}.new", name.to_string_lossy()))))
}

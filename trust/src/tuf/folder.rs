//! A repository in folders, such as those of a USB stick.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::transport::{RemoteFile, Transport, TransportError};

/// Metadata below one folder, targets below another. Only plain files are opened: a pipe or a device would block or never
/// end.
#[derive(Clone, Debug)]
pub struct FolderTransport {
    metadata: PathBuf,
    targets: PathBuf,
}

impl FolderTransport {
    /// The folders.
    pub fn new(metadata: &Path, targets: &Path) -> Self {
        Self { metadata: metadata.to_owned(), targets: targets.to_owned() }
    }
}

impl Transport for FolderTransport {
    fn open(&mut self, file: &RemoteFile) -> Result<Option<Box<dyn Read + '_>>, TransportError> {
        let folder = match file {
            RemoteFile::Metadata(_) => &self.metadata,
            RemoteFile::Target(_) => &self.targets,
        };
        // A file is called what a web server would call it; encoded, a name can't hide what leads out of the folder.
        let Some(name) = super::name::decode(file.url()) else { return Ok(None) };
        if !name.split('/').all(|part| !matches!(part, "" | "." | "..")) || name.contains('\0') {
            return Ok(None);
        }
        let path = folder.join(name);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(Box::new(File::open(&path)?))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_decoded_and_stay_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let targets = folder.path().join("targets");
        fs::create_dir(&targets).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(targets.join("00.web_1^2.release.json"), "document").unwrap();
        fs::create_dir(targets.join("folder")).unwrap();
        let mut transport = FolderTransport::new(folder.path(), &targets);
        let mut read = |name: &str| {
            let mut text = String::new();
            let file = RemoteFile::Target(name.to_owned());
            transport.open(&file).unwrap().map(|mut body| body.read_to_string(&mut text).unwrap()).map(|_| text)
        };
        assert_eq!(read("00.web_1%5E2.release.json").as_deref(), Some("document"));
        for name in
            ["../secret", "%2E%2E/secret", "..%2Fsecret", "folder", "/etc/passwd", "%2Fetc/passwd", "a%00", "%5"]
        {
            assert_eq!(read(name), None, "{name}");
        }
    }
}

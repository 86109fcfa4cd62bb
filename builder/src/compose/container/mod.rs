//! Container images that the root carries: whatever form they come in, one archive form goes out.
//!
//! The archive is an OCI image layout (image-spec 1.1) in a tar and, by its `manifest.json`, at the same time what
//! `docker save` writes and `docker load` takes with either image store. Configuration and layers stay as they are, so
//! the image keeps its id. Same image, same bytes: names sorted, times the lock's epoch, owners root.
//!
//! Images are untrusted. Expected are: blobs that aren't what their names say (every digest and size is compared, and
//! layers are decompressed once to compare them with the configuration's `diff_ids`, as the engine will at first boot,
//! where nobody is there to read the error); bombs (limits on archives, layers and JSON); names that leave the archive
//! (a name is only looked up, never opened as a path); indexes that nest or point at themselves (depth is limited).

mod import;
mod layer;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use slipway_images::content::Content;
use slipway_images::digest::Digest;
use slipway_images::tree::TreeError;

use crate::archive::ArchiveError;
use crate::archive::spool::Spool;
use crate::deb::Package;
use crate::recipe::{Container, ContainerImage};

/// Why an image can't be carried.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// A file can't be read.
    #[error("container `{name}`: can't read `{path}`")]
    Read {
        /// The container.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive is malformed.
    #[error("container `{name}`: `{path}`")]
    Archive {
        /// The container.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ArchiveError,
    },
    /// The image is not one that can be carried.
    #[error("container `{name}`: {what}")]
    Image {
        /// The container.
        name: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Temporary files can't be written.
    #[error("container `{name}`: can't write a temporary file")]
    Write {
        /// The container.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A package's files contradict each other.
    #[error("container `{name}`")]
    Tree {
        /// The container.
        name: String,
        /// What is wrong.
        source: TreeError,
    },
}

/// An image, taken apart.
pub(super) struct Image {
    /// The configuration, byte for byte; its digest is the image's id.
    config: Content,
    /// The layers, lowest first.
    layers: Vec<Layer>,
}

pub(super) struct Layer {
    blob: Content,
    media_type: &'static str,
}

/// The archive of the image of `container`. For [`ContainerImage::Package`], `package` is that package, unpacked, and
/// `epoch` its time of creation, in seconds since 1970. Large contents go to nameless temporary files in `scratch`.
pub fn pack(
    container: &Container,
    package: Option<&Package>,
    epoch: u64,
    scratch: &Path,
) -> Result<Content, ContainerError> {
    let name = || container.name.clone();
    let mut spool = Spool::new(scratch).map_err(|source| ContainerError::Write { name: name(), source })?;
    let image = match (&container.image, package) {
        (ContainerImage::Local(path), _) => import::import(&container.name, path, &mut spool)?,
        (ContainerImage::Package(wanted), Some(package)) if *package.name == **wanted => {
            layer::image_of(container, package, epoch, &mut spool)?
        }
        (ContainerImage::Package(wanted), _) => {
            let what = format!("its package `{wanted}` is not among the locked packages; run `slipway lock`");
            return Err(ContainerError::Image { name: name(), what });
        }
    };
    write::archive(&container.name, &image, epoch, &mut spool)
        .map_err(|source| ContainerError::Write { name: name(), source })
}

/// `sha256:…`
fn oci_digest(digest: Digest) -> String {
    format!("sha256:{digest}")
}

#[cfg(test)]
mod tests;

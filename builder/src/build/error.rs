//! Why there is no image.

use std::io;
use std::path::PathBuf;

use slipway_images::manifest::ManifestError;
use slipway_images::names::NameError;
use slipway_images::version::VersionError;

use super::{ImageError, InitrdError, OutputError, PackagesError};
use crate::compose::ComposeError;
use crate::compose::closure::{BrokenRoot, ClosureError};
use crate::compose::container::ContainerError;
use crate::compose::download::DownloadError;
use crate::compose::scripts::UnrecognisedScripts;
use crate::store::StoreError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A name that doesn't fit where it has to go.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A version that can't be one.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A program that goes into every image is missing.
    #[error("`{0}` is missing: `make build` makes it; `--components DIR` says where it is")]
    Component(PathBuf),
    /// A program that goes into every image needs libraries, which an initrd doesn't have.
    #[error("`{0}` is not statically linked: `make build` makes one that is; `--components DIR` says where it is")]
    Dynamic(PathBuf),
    /// A file that the recipe names, or a component, can't be read.
    #[error("can't read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Packages.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// Maintainer scripts that nobody has read.
    #[error(transparent)]
    Scripts(#[from] UnrecognisedScripts),
    /// The root.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// A file that the boot package or the root has to bring isn't there.
    #[error("no `{path}` in {place}")]
    Lacking {
        /// The file.
        path: String,
        /// Where it was looked for.
        place: String,
    },
    /// The root could not be checked.
    #[error(transparent)]
    Check(#[from] ClosureError),
    /// The root lacks something that it needs.
    #[error(transparent)]
    Broken(#[from] BrokenRoot),
    /// The initrd.
    #[error(transparent)]
    Initrd(#[from] InitrdError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image files.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The output folder.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What a download becomes.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A container's image.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A text output can't be serialised.
    #[error("can't write `{name}`")]
    Serialise {
        /// Which.
        name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

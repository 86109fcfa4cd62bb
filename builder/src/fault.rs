//! What kind of failure an error is. A program turns that into its exit status; nothing else depends on it.

use std::error::Error;

use crate::apt::RepositoryError;
use crate::build::{BuildError, ImageError, PackagesError};
use crate::compose::ComposeError;
use crate::compose::container::ContainerError;
use crate::compose::download::DownloadError;
use crate::compose::units::UnitError;
use crate::deb::DebError;
use crate::fetch::FetchError;
use crate::keys::KeysError;
use crate::lock::LockError;
use crate::release::ReleaseError;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None of the others: a disk that is full, a file that can't be read.
    Other,
    /// The recipe is wrong.
    Recipe,
    /// There is no lock, it doesn't match the recipe, or it can't be read.
    Lock,
    /// No set of packages satisfies the recipe.
    Unsatisfiable,
    /// A signature, digest, size or date is not what it must be.
    Untrusted,
    /// The build won't go on with what it has: nothing is broken but what went in.
    Refused,
    /// The network or the mirror can't be reached, or doesn't have what is wanted.
    Unreachable,
    /// A component that goes into every image is missing.
    Missing,
}

impl From<&FetchError> for Fault {
    fn from(error: &FetchError) -> Self {
        match error {
            FetchError::WrongDigest { .. } | FetchError::WrongSize { .. } | FetchError::TooLong { .. } => {
                Self::Untrusted
            }
            FetchError::Status { .. } | FetchError::Transfer { .. } => Self::Unreachable,
            FetchError::Scheme { .. }
            | FetchError::NoUrl { .. }
            | FetchError::NoPlace
            | FetchError::Cache { .. }
            | FetchError::DiskFull { .. } => Self::Other,
        }
    }
}

impl From<&RepositoryError> for Fault {
    fn from(error: &RepositoryError) -> Self {
        match error {
            RepositoryError::Signature { .. } | RepositoryError::Release { .. } | RepositoryError::Index { .. } => {
                Self::Untrusted
            }
            RepositoryError::NoMirror(_) | RepositoryError::NoRelease { .. } => Self::Unreachable,
            RepositoryError::Fetch(error) => error.into(),
            RepositoryError::UnknownRepository(_) | RepositoryError::Key { .. } | RepositoryError::KeyFile { .. } => {
                Self::Other
            }
        }
    }
}

impl From<&LockError> for Fault {
    fn from(error: &LockError) -> Self {
        match error {
            LockError::Missing { .. }
            | LockError::Mismatch { .. }
            | LockError::Broken { .. }
            | LockError::NotLocked(_)
            | LockError::File { what: "read", .. } => Self::Lock,
            LockError::Solve(_) => Self::Unsatisfiable,
            LockError::Archive(error) => error.into(),
            LockError::Accounts(error) => of_packages(&**error),
            LockError::File { .. } | LockError::Text(_) | LockError::Local(_) => Self::Other,
        }
    }
}

/// Ids are assigned by whoever locks; what stops that as a rule is a package that can't be had.
fn of_packages(error: &(dyn Error + Send + Sync + 'static)) -> Fault {
    error.downcast_ref::<PackagesError>().map_or(Fault::Other, Fault::from)
}

impl From<&DebError> for Fault {
    fn from(error: &DebError) -> Self {
        match error {
            DebError::Digest { .. } => Self::Untrusted,
            DebError::Ar { .. } | DebError::Shape { .. } | DebError::Archive { .. } => Self::Refused,
            DebError::Read { .. } | DebError::Cache { .. } => Self::Other,
        }
    }
}

impl From<&PackagesError> for Fault {
    fn from(error: &PackagesError) -> Self {
        match error {
            PackagesError::Mirror(error) => error.into(),
            PackagesError::Fetch(error) => error.into(),
            PackagesError::Unpack(error) => error.into(),
            PackagesError::Damaged { source, .. } => (&**source).into(),
            PackagesError::Unpacked { .. } => Self::Other,
        }
    }
}

impl From<&ComposeError> for Fault {
    fn from(error: &ComposeError) -> Self {
        match error {
            ComposeError::NotPinned(_) => Self::Lock,
            ComposeError::LocalFile(_) | ComposeError::Read { .. } | ComposeError::Units(UnitError::Read { .. }) => {
                Self::Other
            }
            _ => Self::Refused,
        }
    }
}

impl From<&DownloadError> for Fault {
    fn from(error: &DownloadError) -> Self {
        match error {
            DownloadError::Digest { .. } => Self::Untrusted,
            DownloadError::Archive { .. } | DownloadError::Shape { .. } | DownloadError::Tree { .. } => Self::Refused,
            DownloadError::Read { .. } | DownloadError::Write { .. } => Self::Other,
        }
    }
}

impl From<&BuildError> for Fault {
    fn from(error: &BuildError) -> Self {
        match error {
            BuildError::Name(_) | BuildError::Version(_) => Self::Recipe,
            BuildError::Component(_) | BuildError::Dynamic(_) => Self::Missing,
            BuildError::Packages(error) => error.into(),
            BuildError::Compose(error) => error.into(),
            BuildError::Download(error) => error.into(),
            BuildError::Scripts(_)
            | BuildError::Broken(_)
            | BuildError::Lacking { .. }
            | BuildError::Container(
                ContainerError::Image { .. } | ContainerError::Archive { .. } | ContainerError::Tree { .. },
            )
            | BuildError::Image(ImageError::Layout(_) | ImageError::Budget(_)) => Self::Refused,
            BuildError::Read { .. }
            | BuildError::Check(_)
            | BuildError::Container(_)
            | BuildError::Initrd(_)
            | BuildError::Store(_)
            | BuildError::Image(_)
            | BuildError::Output(_)
            | BuildError::Manifest(_)
            | BuildError::Serialise { .. } => Self::Other,
        }
    }
}

impl From<&ReleaseError> for Fault {
    fn from(error: &ReleaseError) -> Self {
        match error {
            ReleaseError::TooLong { .. }
            | ReleaseError::Missing(_)
            | ReleaseError::Damaged { .. }
            | ReleaseError::Metadata { .. }
            | ReleaseError::Document { .. }
            | ReleaseError::Misnamed(_)
            | ReleaseError::Keys(KeysError::Root { .. })
            | ReleaseError::Sign(_)
            | ReleaseError::Host(_)
            | ReleaseError::Manifest { .. }
            | ReleaseError::Tree { .. }
            | ReleaseError::Frames(_)
            | ReleaseError::WrongPatch { .. } => Self::Untrusted,
            ReleaseError::Taken(_)
            | ReleaseError::Newer(_)
            | ReleaseError::Draft { .. }
            | ReleaseError::OtherImage { .. }
            | ReleaseError::TooManyPatches { .. }
            | ReleaseError::Reused(_)
            | ReleaseError::Offered { .. }
            | ReleaseError::TakenBack { .. }
            | ReleaseError::OldKeys(_)
            | ReleaseError::Expired { .. }
            | ReleaseError::NotOffered { .. } => Self::Refused,
            ReleaseError::Io { .. }
            | ReleaseError::LastVersion(_)
            | ReleaseError::Time { .. }
            | ReleaseError::Keys(_)
            | ReleaseError::Store(_)
            | ReleaseError::Compress(_)
            | ReleaseError::Patch { .. }
            | ReleaseError::Nothing(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_decides() {
        let unreachable = || FetchError::Status { url: "http://x".into(), status: 404 };
        let damaged = PackagesError::Damaged { label: "a".into(), source: Box::new(unreachable().into()) };
        assert_eq!(Fault::from(&BuildError::from(damaged)), Fault::Unreachable);
        let boxed = Box::new(PackagesError::from(unreachable()));
        assert_eq!(Fault::from(&LockError::Accounts(boxed)), Fault::Unreachable);
        assert_eq!(Fault::from(&ComposeError::NotPinned(Vec::new())), Fault::Lock);
    }
}

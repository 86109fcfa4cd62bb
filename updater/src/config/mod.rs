//! The lasting configuration of a machine: one document in TOML on the state partition, with its history.
//!
//! `/` is the image's and `/etc` is the image's again at every boot, so what is to last has to be said in the document: host name,
//! network, who may log in, kernel parameters, and how the machine updates itself. At boot, before there is a network, it becomes files
//! below `/run`. It is the machine's and not the image's: updates and rollbacks leave it as it is.

mod activate;
mod diff;
mod document;
mod edit;
mod network;
mod problem;
mod reader;
mod runtime;
mod standing;
mod store;
mod trial;

use std::path::Path;

pub use self::activate::{Activation, System, ThisSystem, When, activate};
pub use self::diff::diff;
pub use self::document::{Known, MachineConfig, NtpServer, Reading, TimeZone, User, UserName};
pub use self::edit::{EditError, set, unset};
pub use self::problem::{Place, Problem, nearest};
pub use self::reader::MAX_BYTES;
pub use self::standing::{Standing, in_effect};
pub use self::store::{
    DOCUMENT, Effect, Entry, Folder, Found, HostFolder, InEffect, Number, Source, Store, StoreError,
};
pub use self::trial::{Trial, TrialError};
use crate::host::below;

/// The folder of the document and its history.
pub const CONFIG_FOLDER: &str = "/var/lib/slipway/config";
/// The document.
pub const CONFIG_PATH: &str = "/var/lib/slipway/config/host.toml";
/// The systemd credential that a machine gets its first document from.
pub const CREDENTIAL: &str = "slipway.config";

/// The documents of the host whose root is at `root`.
pub fn store(root: &Path) -> Result<Store<HostFolder>, StoreError> {
    Store::open(HostFolder::new(&below(root, CONFIG_FOLDER)))
}

//! What the scenarios of updates share: versions of an image ([`Edition`]), a repository that has them ([`Repository`]), the web
//! server in front of it ([`Server`]), the fleet's lock manager ([`LockServer`]), and the machine under test ([`Host`]).

mod edition;
mod esp;
mod host;
mod lock_server;
mod moments;
mod repository;
mod server;

use crate::http;

pub use edition::{Build, Edition};
pub use esp::EspFiles;
pub use host::{Host, PATIENCE};
pub use lock_server::{Asked, LockFault, LockServer};
pub use moments::Moments;
pub use repository::Repository;
pub use server::{Fault, Server};

//! Where a repository is, with which keys it is signed, and for how long that counts.

use std::path::{Path, PathBuf};

use slipway_builder::keys::{Expiry, KeyFolder};
use slipway_builder::release::{Keys, LockedRepository, Publisher, ReleaseError, Repository, Terms};
use slipway_images::calendar::Moment;
use slipway_trust::time::UnixTime;

use crate::context::Context;
use crate::exit_codes::OrFault as _;
use crate::ui::passphrase;

/// Options of every subcommand that signs.
#[derive(Debug, clap::Args)]
pub struct Signing {
    /// The repository
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// The key folder, as `slipway keys` makes it
    #[arg(long, value_name = "DIR", default_value = "keys/private")]
    keys: PathBuf,
    /// File whose first line is the passphrase of the keys [env: `SLIPWAY_PASSPHRASE`, the passphrase itself]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Moment of signing; same moment, same bytes [default: now]
    #[arg(long, value_name = "2026-11-22T16:40:05Z")]
    time: Option<Moment>,
    /// Days for which hosts believe the timestamp; `slipway release refresh` has to run oftener
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=3650))]
    timestamp_days: u64,
    /// Days for which hosts believe the list of targets
    #[arg(long, value_name = "DAYS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=3650))]
    snapshot_days: u64,
    /// Days for which hosts believe the targets
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3650))]
    targets_days: u64,
}

impl Signing {
    /// The moment of signing.
    pub fn now(&self) -> UnixTime {
        self.time.map_or_else(UnixTime::now, |time| UnixTime::from_secs(time.seconds()))
    }

    /// The repository.
    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// Locks the repository, which is made if it isn't there, and does `publish` with it.
    pub fn publish<T>(
        &self,
        context: &Context,
        publish: impl FnOnce(Publisher<'_>) -> Result<T, ReleaseError>,
    ) -> anyhow::Result<T> {
        let folder = KeyFolder::at(&self.keys);
        let ask = |path: &Path| passphrase::known(self.passphrase_file.as_deref(), path);
        let published = lock(&self.repo, context).and_then(|repository| {
            // The time is taken when it's our turn, not before the wait for it.
            let terms = Terms {
                now: self.now(),
                targets_days: self.targets_days,
                snapshot_days: self.snapshot_days,
                timestamp_days: self.timestamp_days,
            };
            let publisher = Publisher::begin(repository, Keys { folder: &folder, ask: &ask }, terms)?;
            if let Some(warning) = Expiry::of(publisher.roots().newest().header.expires, terms.now).warning() {
                context.note(&warning);
            }
            if !publisher.published().replaced.is_empty() {
                context.note("what is published was signed with keys that a newer root has replaced");
            }
            publish(publisher)
        });
        published.or_fault()
    }

    /// The same where something was published before: nothing is made where there is no repository.
    pub fn change<T>(
        &self,
        context: &Context,
        change: impl FnOnce(Publisher<'_>) -> Result<T, ReleaseError>,
    ) -> anyhow::Result<T> {
        self.is_there()?;
        self.publish(context, change)
    }

    /// That there is a repository.
    pub fn is_there(&self) -> anyhow::Result<()> {
        let found = self.repo.join("metadata").exists();
        found.then_some(()).ok_or_else(|| ReleaseError::Nothing(self.repo.clone())).or_fault()
    }
}

/// Locks a repository, and says so when that takes a while.
pub fn lock(repo: &Path, context: &Context) -> Result<LockedRepository, ReleaseError> {
    Repository::at(repo).lock(|| context.note("another slipway works on this repository; waiting for it"))
}

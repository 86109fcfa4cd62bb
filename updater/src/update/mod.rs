//! An update from the first question to a slot that the next boot tries: what the repository offers, which of it this host
//! takes, and where the bytes come from.

mod catalog;
mod choose;
mod costs;
mod last_check;
mod pass;
mod settings;

use std::path::{Path, PathBuf};

use serde::Serialize;
use slipway_images::calendar::Moment;
use slipway_images::names::{BootTries, TriesLeft};
use slipway_images::release::{ChannelDocument, Offer, ReleaseDocument};
use slipway_images::update::TRUSTED_ROOT_PATH;
use slipway_images::verity::RootHash;
use slipway_images::version::Version;
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::Clock;
use thiserror::Error;

pub use self::catalog::{Catalog, CatalogError, TRUST_FOLDER};
pub use self::choose::{Choice, Considered, Reason, Standing, choose, floor};
pub use self::costs::{Costs, Tier};
pub use self::last_check::{LAST_CHECK_PATH, LastCheck};
pub use self::pass::{PassError, Passed, Then, look, prepare, proceed};
pub use self::settings::{FleetLock, MachineFleetLock, MachineSettings, Settings, SettingsError};
use crate::agent::{Agent, AgentError, Surroundings};
use crate::disk::device::BlockDevice;
use crate::host::below;
use crate::ledger::LedgerStore;
use crate::machine::Refused;
use crate::net::Client;
use crate::release::{Target, Terms, VerifiedRelease};
use crate::source::{Parts, PatchedSource, Patience, Place, Traffic};
use crate::stage::Origin;

/// Why there was no update.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// Where updates come from isn't known.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// What is offered isn't known.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The agent can't, or won't.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// Where an update comes from, and how it is looked for.
#[derive(Clone, Debug)]
pub struct Updater {
    /// The root of the host's file system.
    pub root: PathBuf,
    /// The same repository in several places, the best one first.
    pub places: Vec<Place>,
    /// The channel, and what else the host's owner wants.
    pub settings: Settings,
    /// What asks web servers.
    pub client: Client,
    /// How long to wait for them.
    pub patience: Patience,
    /// An operator asks: rollouts and waits don't count.
    pub by_hand: bool,
}

/// What a look at the repository came to.
#[derive(Debug)]
pub struct Check {
    catalog: Catalog,
    channel: ChannelDocument,
    choice: Choice,
    armed: Option<RootHash>,
}

/// What an installation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// The version.
    pub version: Version,
    /// The boot entry.
    pub entry: String,
    /// Where its blocks came from.
    pub blocks: Origin,
    /// What was fetched for it.
    pub traffic: Traffic,
    /// Why a patch could not be used, if one was tried.
    pub patch_failure: Option<String>,
    /// Places that were given up, and why.
    pub given_up: Vec<String>,
}

impl Updater {
    /// The updater of the host whose root is at `root`, from a folder instead of the network if `offline` says so: no URLs need
    /// be known then.
    pub fn of_host(root: &Path, offline: Option<&Path>, by_hand: bool) -> Result<Self, SettingsError> {
        let settings = match (offline, Settings::load(root)) {
            (None, Ok(settings)) if settings.urls.is_empty() => Err(SettingsError::NoRepository),
            (None, Err(SettingsError::NoChannel)) => Err(SettingsError::NoRepository),
            (_, loaded) => loaded,
        }?;
        let places = match offline {
            Some(folder) => vec![Place::Folder(folder.to_owned())],
            None => settings.urls.iter().cloned().map(Place::Url).collect(),
        };
        let (client, patience) = (Client::default(), Patience::default());
        Ok(Self { root: root.to_owned(), places, settings, client, patience, by_hand })
    }

    /// Asks what is offered, and chooses. Nothing is written but trusted metadata.
    pub fn check<D: BlockDevice, S: LedgerStore, W: Surroundings>(
        &self,
        agent: &Agent<D, S, W>,
    ) -> Result<Check, UpdateError> {
        let ledger = agent.ledger().map_err(|_| AgentError::from(Refused::Stuck))?;
        let survey = agent.survey().map_err(AgentError::from)?;
        let anchor = below(&self.root, TRUSTED_ROOT_PATH);
        let clock = Clock::new(UnixTime::from_secs(agent.now().0), built(&self.root));
        let mut catalog = Catalog::refresh(&self.root, &anchor, &self.places, &self.client, self.patience, clock)?;
        let channel = catalog.channel(survey.running_label.id(), &self.settings.channel)?;
        let other = survey.other();
        let has_tries = |tries| matches!(tries, BootTries::Counted { left, .. } if left > TriesLeft(0));
        let is_armed = other.entry.as_ref().is_some_and(|entry| has_tries(entry.tries()));
        let armed = other.root_hash().filter(|_| is_armed);
        let machine_id = std::fs::read_to_string(self.root.join("etc/machine-id")).unwrap_or_default();
        let choice = choose(
            &channel,
            &Standing {
                running: &survey.running_label,
                root_hash: agent.disk().booted(),
                armed,
                ledger,
                machine_id: &machine_id,
                now: Moment::from_seconds(catalog.now().as_secs()),
                by_hand: self.by_hand,
            },
        );
        Ok(Check { catalog, channel, choice, armed })
    }

    /// The release that was chosen.
    pub fn release(&self, check: &mut Check) -> Result<Option<ReleaseDocument>, UpdateError> {
        let Some(offer) = check.chosen().cloned() else { return Ok(None) };
        Ok(Some(check.catalog.release(&check.channel.id, &offer)?))
    }

    /// Installs what was chosen into the slot that doesn't run, so that the next boot tries it.
    pub fn install<D: BlockDevice, S: LedgerStore, W: Surroundings>(
        &self,
        agent: &mut Agent<D, S, W>,
        check: &Check,
        release: &ReleaseDocument,
    ) -> Result<Installed, UpdateError> {
        let ledger = agent.ledger().map_err(|_| AgentError::from(Refused::Stuck))?.clone();
        let leaves = check.choice.running_withdrawn.is_some();
        let terms = Terms {
            by_hand: self.by_hand,
            instead_of_withdrawn: leaves,
            lowered_floor: floor(&check.channel, &ledger, leaves),
        };
        let verified = VerifiedRelease::from_document_verified_by_caller(target(release));
        let admitted = agent.admit_on(&verified, &terms)?;
        let mut parts = Parts::new(check.catalog.places().cloned().collect(), self.client.clone(), self.patience);
        let running = agent.disk().booted();
        let by_patch = Costs::of(release, running).choose() == Tier::Patch;
        // Without it, the kernel image comes whole.
        let kernel = agent.disk().running_kernel().ok();
        let armed = agent.install(admitted, &mut PatchedSource::new(release, &mut parts, running, by_patch, kernel))?;
        Ok(Installed {
            version: release.label.version().clone(),
            entry: armed.entry.to_string(),
            blocks: agent.origin().unwrap_or_default(),
            traffic: parts.traffic(),
            patch_failure: agent.patch_failure().map(str::to_owned),
            given_up: parts.given_up().collect(),
        })
    }
}

impl Check {
    /// What was chosen, and why.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// What the channel says of the version that waits for the next boot, if there is one and the channel knows it.
    pub fn armed(&self) -> Option<&Offer> {
        let armed = self.armed?;
        self.channel.offers.iter().find(|offer| offer.root_hash == armed)
    }

    /// What the channel says of the version that was chosen.
    pub fn chosen(&self) -> Option<&Offer> {
        self.channel.offer(self.choice.version.as_ref()?)
    }

    /// Where the repository was read.
    pub fn place(&self) -> &Place {
        self.catalog.place()
    }
}

/// What a release puts into the slot and on the ESP.
fn target(release: &ReleaseDocument) -> Target {
    Target {
        label: release.label.clone(),
        root_hash: release.root.root_hash,
        root_size: release.root.size,
        tree_size: release.verity.size,
        tree: release.verity.sha256,
        kernel_size: release.uki.size,
        kernel: release.uki.sha256,
    }
}

/// When the running image was built, at the earliest: its files have that time. The epoch, if it can't be told.
pub(crate) fn built(root: &Path) -> UnixTime {
    let modified = std::fs::metadata(root.join("usr/lib/os-release")).and_then(|found| found.modified());
    let since = modified.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    UnixTime::from_secs(since.unwrap_or_default().as_secs())
}

//! Which of the versions that a channel offers this host takes, and why not the others. Pure: nothing is read or asked here.
//!
//! The newest version that may be taken is. Where the running one was withdrawn, an older one may be, too, as far down as the
//! floor, which the channel can lower for that.

use serde::{Deserialize, Serialize};
use slipway_images::calendar::Moment;
use slipway_images::names::PartitionLabel;
use slipway_images::release::{ChannelDocument, HostPlace, Offer};
use slipway_images::verity::RootHash;
use slipway_images::version::Version;
use thiserror::Error;

use crate::ledger::{LedgerContents, UnixSeconds};

/// What counts about a host.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What runs.
    pub running: &'a PartitionLabel,
    /// What authenticates it.
    pub root_hash: RootHash,
    /// What waits for the next boot.
    pub armed: Option<RootHash>,
    /// What happened here.
    pub ledger: &'a LedgerContents,
    /// Which host it is, `/etc/machine-id`.
    pub machine_id: &'a str,
    /// The time.
    pub now: Moment,
    /// An operator asks: stages and starts of rollouts, and waits after failed installations, don't count.
    pub by_hand: bool,
}

/// Why a version is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Reason {
    /// It runs.
    #[error("runs")]
    Running,
    /// It waits for the next boot.
    #[error("is installed, and the next boot tries it")]
    Armed,
    /// It was taken back.
    #[error("was withdrawn: {reason}")]
    Withdrawn {
        /// Why.
        reason: String,
    },
    /// It is older than what runs.
    #[error("is older than what runs")]
    Older,
    /// It is below the floor.
    #[error("is older than {floor}, which was found good here once")]
    BelowFloor {
        /// The floor.
        floor: Version,
    },
    /// It failed here.
    #[error("failed here: {reason}; `slipway-agent allow` lets it be tried again")]
    Failed {
        /// Why.
        reason: String,
    },
    /// Installing it went wrong.
    #[error("could not be installed ({attempts} times), the last time: {reason}; tried again from {not_before} on")]
    Waiting {
        /// How often.
        attempts: u32,
        /// The last error.
        reason: String,
        /// From when on it is tried again.
        not_before: Moment,
    },
    /// Only newer versions may take it.
    #[error("is for hosts with {min_from} or newer: a version between comes first")]
    SteppingStone {
        /// The oldest that may.
        min_from: Version,
    },
    /// Its rollout is paused.
    #[error("its rollout is paused")]
    Paused,
    /// It isn't this host's turn.
    #[error("it is this host's turn from {at} on")]
    NotYet {
        /// When it will be.
        at: Moment,
    },
    /// No stage of its rollout reaches this host.
    #[error("no stage of its rollout reaches this host so far")]
    NoStage,
}

/// A version, and whether it may be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The version.
    pub version: Version,
    /// Why not; nothing if it may be taken.
    #[serde(flatten)]
    pub reason: Option<Reason>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The version to take, if any.
    pub version: Option<Version>,
    /// Why what runs is to be left, if it was withdrawn.
    pub running_withdrawn: Option<String>,
    /// All that are offered, the newest first.
    pub considered: Vec<Considered>,
}

impl Choice {
    /// Why the newest version isn't taken, in a line; what is taken, otherwise.
    pub fn summary(&self) -> String {
        match (&self.version, self.considered.first()) {
            (Some(version), _) => format!("{version} is to be taken"),
            (None, None) => "the channel offers nothing".to_owned(),
            (None, Some(Considered { version, reason: Some(Reason::Running) })) => {
                format!("{version} runs, and nothing newer is offered")
            }
            (None, Some(Considered { version, reason })) => {
                format!("{version} {}", reason.as_ref().map(ToString::to_string).unwrap_or_default())
            }
        }
    }
}

/// Chooses.
pub fn choose(channel: &ChannelDocument, host: &Standing<'_>) -> Choice {
    let running = channel.offers.iter().find(|offer| offer.root_hash == host.root_hash);
    let withdrawn = running.and_then(|offer| offer.withdrawn.as_ref()).map(|withdrawal| withdrawal.reason.clone());
    let floor = floor(channel, host.ledger, withdrawn.is_some());
    let consider = |offer: &Offer| Considered {
        version: offer.version.clone(),
        reason: refuse(offer, host, floor, withdrawn.is_some()),
    };
    let considered: Vec<Considered> = channel.offers.iter().rev().map(consider).collect();
    // What waits for the next boot is replaced by a newer version only.
    let mut newer = considered.iter().take_while(|offer| offer.reason != Some(Reason::Armed));
    let version = newer.find(|offer| offer.reason.is_none()).map(|offer| offer.version.clone());
    Choice { version, running_withdrawn: withdrawn, considered }
}

/// The version below which nothing is taken. The channel lowers it only for hosts that have to leave what they run.
pub fn floor<'a>(channel: &'a ChannelDocument, ledger: &'a LedgerContents, leaves: bool) -> Option<&'a Version> {
    let own = ledger.floor.as_ref()?;
    Some(channel.floor.as_ref().filter(|_| leaves).map_or(own, |lowered| lowered.min(own)))
}

fn refuse(offer: &Offer, host: &Standing<'_>, floor: Option<&Version>, leaves: bool) -> Option<Reason> {
    let Offer { version, root_hash, rollout, min_from, withdrawn } = offer;
    let running = host.running.version();
    if *root_hash == host.root_hash || version == running {
        // Of a withdrawn version that runs, that it was withdrawn is the news.
        let withdrawn = withdrawn.as_ref().map(|withdrawal| Reason::Withdrawn { reason: withdrawal.reason.clone() });
        return Some(withdrawn.unwrap_or(Reason::Running));
    }
    if let Some(withdrawal) = withdrawn {
        return Some(Reason::Withdrawn { reason: withdrawal.reason.clone() });
    }
    if version < running && !leaves {
        return Some(Reason::Older);
    }
    if let Some(floor) = floor.filter(|floor| version < *floor) {
        return Some(Reason::BelowFloor { floor: floor.clone() });
    }
    if let Some(failure) = host.ledger.failure(*root_hash) {
        return Some(Reason::Failed { reason: failure.reason.to_string() });
    }
    if host.armed == Some(*root_hash) {
        return Some(Reason::Armed);
    }
    if let Some(min_from) = min_from.as_ref().filter(|from| running < *from) {
        return Some(Reason::SteppingStone { min_from: min_from.clone() });
    }
    if host.by_hand {
        return None;
    }
    if rollout.paused {
        return Some(Reason::Paused);
    }
    // Who has to leave what was withdrawn doesn't wait for a turn among those who may stay.
    let turn = if leaves { Some(rollout.start) } else { rollout.turn_of(HostPlace::of(host.machine_id, version)) };
    match turn {
        None => return Some(Reason::NoStage),
        Some(at) if host.now < at => return Some(Reason::NotYet { at }),
        Some(_) => {}
    }
    let trouble = host.ledger.trouble(*root_hash).filter(|trouble| trouble.holds(UnixSeconds(host.now.seconds())))?;
    Some(Reason::Waiting {
        attempts: trouble.attempts,
        reason: trouble.reason.clone(),
        not_before: Moment::from_seconds(trouble.not_before.0),
    })
}

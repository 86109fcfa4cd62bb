//! Takes the lock before a restart, and gives it back after: whatever is cut off in between.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fleet_lock::{LockId, LockManager, LockPlace};
use super::lock_note::{Delay, LockNote};
use crate::ledger::UnixSeconds;
use crate::net::{BaseUrl, Client};
use crate::update::FleetLock;

/// On what a restart goes ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permit {
    /// No lock manager is to be asked.
    NotNeeded,
    /// The manager gave the lock.
    Locked,
    /// The manager has not been reached for so long that the settings say to go ahead.
    WithoutServer,
}

/// Why there was no permit.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It can't be written down that the lock is claimed: then it must not be claimed.
    #[error("can't write down that the lock is claimed")]
    Note(#[source] io::Error),
    /// The manager says no, or says nothing.
    #[error("{}", .0.words)]
    Delayed(Delay),
}

/// The locks of a host.
#[derive(Debug)]
pub struct LockKeeper<'a> {
    root: &'a Path,
    client: &'a Client,
    id: LockId,
    now: UnixSeconds,
    note: LockNote,
}

impl<'a> LockKeeper<'a> {
    /// The locks of the host whose root is at `root`.
    pub fn new(root: &'a Path, client: &'a Client, now: UnixSeconds) -> Self {
        let machine_id = std::fs::read_to_string(root.join("etc/machine-id")).unwrap_or_default();
        Self { root, client, id: LockId::of(&machine_id), now, note: LockNote::load(root) }
    }

    /// What is remembered of them.
    pub fn note(&self) -> &LockNote {
        &self.note
    }

    /// Takes the lock of the settings. Who has it gets it again. A manager that said no, or nothing, a short while ago is not
    /// asked, unless an operator is waiting (`by_hand`). Whether the time for which it has been away counts depends on the
    /// clock: `clock_is_set`.
    pub fn take(&mut self, lock: &FleetLock, by_hand: bool, clock_is_set: bool) -> Result<Permit, LockError> {
        if let Some(delay) = self.note.delay.as_ref().filter(|delay| !by_hand && delay.holds(self.now)) {
            return Err(LockError::Delayed(delay.clone()));
        }
        let place = place(lock);
        // First it is written down: an answer that is never read may be a yes.
        self.note.add_claim(&place, self.now);
        self.note.keep(self.root).map_err(LockError::Note)?;
        let Err(refusal) = self.manager(&lock.url, &place).lock() else {
            self.note.delay = None;
            for claim in self.note.claims.iter_mut().filter(|claim| claim.place == place) {
                (claim.certain, claim.delay) = (true, None);
            }
            self.note.keep(self.root).map_err(LockError::Note)?;
            return Ok(Permit::Locked);
        };
        let delay = Delay::after(self.note.delay.as_ref(), refusal.to_string(), refusal.is_away(), self.now);
        self.note.delay = Some(delay.clone());
        if refusal.is_certain() {
            self.note.remove_claim(&place);
        }
        self.note.keep(self.root).map_err(LockError::Note)?;
        let away = delay.away_since.map(|since| self.now.0.saturating_sub(since.0));
        match (away, lock.without_server_after) {
            (Some(away), Some(limit)) if clock_is_set && away >= limit.duration().as_secs() => {
                Ok(Permit::WithoutServer)
            }
            _ => Err(LockError::Delayed(delay)),
        }
    }

    /// Nothing is to be restarted: gives back every lock that this host has, or may have. One that can't be given back is tried
    /// again later, for ever. Says whether none is left. `configured` is the lock of the settings, if they can be read.
    pub fn release(&mut self, configured: Option<&FleetLock>) -> io::Result<bool> {
        if self.note.is_lost {
            if let Some(lock) = configured {
                self.note.add_claim(&place(lock), self.now);
            }
            self.note.is_lost = false;
            self.note.keep(self.root)?;
        }
        for mut claim in self.note.claims.clone() {
            if claim.delay.as_ref().is_some_and(|delay| delay.holds(self.now)) {
                continue;
            }
            // What is no address can't have been asked.
            let unlocked = match BaseUrl::new(&claim.place.url) {
                Ok(url) => self.manager(&url, &claim.place).unlock(),
                Err(_) => Ok(()),
            };
            self.note.remove_claim(&claim.place);
            match unlocked {
                Ok(()) => {}
                Err(refusal) if refusal.is_certain() => {}
                Err(refusal) => {
                    let (words, is_away) = (refusal.to_string(), refusal.is_away());
                    claim.delay = Some(Delay::after(claim.delay.as_ref(), words, is_away, self.now));
                    self.note.claims.push(claim);
                }
            }
            self.note.keep(self.root)?;
        }
        Ok(self.note.claims.is_empty())
    }

    /// Nothing waits for a restart any more: why the lock was not given is of no interest.
    pub fn forget_delay(&mut self) -> io::Result<()> {
        if self.note.delay.take().is_some() { self.note.keep(self.root) } else { Ok(()) }
    }

    fn manager<'m>(&'m self, url: &'m BaseUrl, place: &'m LockPlace) -> LockManager<'m> {
        LockManager { client: self.client, url, group: &place.group, id: &self.id }
    }
}

fn place(lock: &FleetLock) -> LockPlace {
    LockPlace { url: lock.url.to_string(), group: lock.group.clone() }
}
